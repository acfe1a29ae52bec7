"""What the operator says to a run that is at work, from another terminal or by a key: go, abort, and how fast.

A word is written beside the run's records (said.py), and whoever does the work obeys: the container that copies, or the
worker in the host's unit. So it does not matter which of them has the run just now.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from entrypoint.commands.line.cli import typed
from entrypoint.console.command import has_terminal
from entrypoint.console.errors import ExitCode, Left, PreflightError
from entrypoint.console.events import Phase, log
from entrypoint.host.machine.persistence import until
from entrypoint.host.machine.standing import PARENT, our_containers
from entrypoint.journal.record import Event, Outcome, Record, Run
from entrypoint.journal.said import Said, said, say
from entrypoint.journal.unfinished import KEPT
from entrypoint.move.context import Context
from entrypoint.move.recovery import is_at_work
from entrypoint.move.worker import departure, handover, hold
from entrypoint.move.worker.worker import CODES
from entrypoint.preflight.request import Request

LISTENING = 0.2  # seconds between two looks at what was said
FOREVER = float("inf")
YES = "y"
NOTHING = "Nothing was done."


def go(context: Context) -> ExitCode:
    """Let a held run go on to its freeze. Raises PreflightError where there is none, or something speaks against it."""
    run = at_work(context, "No run is held.")
    records, word = run.records(), said(run)
    if word.aborts:
        raise PreflightError(f"Run {run.number} is being ended: somebody has said `relocator abort`.", NOTHING)
    if word.goes or (hold.is_to_be(records) and not hold.is_open(records)):
        log.info("going.already", run=run.number, wait=handover.outcome_line())
        return ExitCode.HANDED_OVER
    if not hold.is_held(records):
        raise not_held(run, records)
    release(context, run)
    return ExitCode.HANDED_OVER


def release(context: Context, run: Run) -> None:
    """Look at the host as it is now, and say go. Raises PreflightError: then it is held as before."""
    hold.release(context, run, our_containers() | frozenset(run.plan()["ours"]))
    log.info("handed_over", unit=handover.UNIT, wait=handover.outcome_line())


def abort(context: Context, *, keeps: bool) -> ExitCode:
    """End a run before it switches, and say what became of it. Raises PreflightError where it is too late."""
    run = at_work(context, "No run is at work.")
    if has_switched(run.records()):
        raise too_late(run)
    say(run, aborts=True, keeps=keeps)
    try:
        until(lambda: is_answered(context, run), waiting_for="the run to end", seconds=FOREVER, interval=LISTENING)
    except KeyboardInterrupt:
        raise left() from None
    return ended(run)


def is_answered(context: Context, run: Run) -> bool:
    """Whether it has ended, cannot be ended any more, or is about to take this container along."""
    if run.outcome():
        return not is_busy(context)
    return has_switched(run.records()) or departure.is_engine_going(context.journal)


def ended(run: Run) -> ExitCode:
    outcome = run.outcome() or {}
    match outcome.get("outcome"):
        case Outcome.INTERRUPTED:
            log.info("aborted", run=run.number, copy=copy_is(str(outcome.get("left", ""))))
            return ExitCode.DONE
        case Outcome.ROLLED_BACK:
            log.info("aborted.back", run=run.number)
            return ExitCode.ROLLED_BACK
        case None if not has_switched(run.records()):
            raise left()
        case _:
            raise too_late(run)


def copy_is(left: str) -> str:
    return "is kept: the same command goes on with it" if left == KEPT else left or "was removed"


def left() -> Left:
    return Left("The word is given. If the run has not switched, it ends, or is taken back.",
                resolution=f"How it ended:\n    {handover.outcome_line()}")  # fmt: skip


def has_switched(records: list[Record]) -> bool:
    """Whether the worker is past the place where it last listens."""
    steps = {(record["event"], record.get("step")) for record in records}
    return bool(steps & {(Event.INTENT, Phase.SWITCH), (Event.INTENT, Phase.START)})


def too_late(run: Run) -> PreflightError:
    return PreflightError(f"Run {run.number} is past the switch; it cannot be ended any more.",
                          resolution="How it ends: relocator status. To go back then: relocator rollback")  # fmt: skip


def at_work(context: Context, otherwise: str) -> Run:
    """The run that is at work. Raises PreflightError."""
    runs = context.journal.runs()
    if runs and not runs[-1].outcome() and is_busy(context):
        return runs[-1]
    arrived = bool(runs) and runs[-1].has_arrived
    raise PreflightError(
        f"{otherwise} {NOTHING}",
        details=f"Run {runs[-1].number} has moved the engine already." if arrived else "",
        resolution="To go back: relocator rollback" if arrived else "See: relocator status",
    )


def is_busy(context: Context) -> bool:
    return is_at_work(context.services) or context.journal.is_locked()


def not_held(run: Run, records: list[Record]) -> PreflightError:
    if hold.is_to_be(records):
        return PreflightError(f"Run {run.number} is not ready yet: its copy is still being made. {NOTHING}",
                              resolution="See: relocator status")  # fmt: skip
    return PreflightError(f"Run {run.number} is not held; it goes by itself. {NOTHING}",
                          resolution="Wait for it with `relocator status --wait`.")  # fmt: skip


def pace(context: Context, **words: object) -> ExitCode:
    """Say how fast the copy may be from here on. Raises PreflightError where nothing is copied with the engine up."""
    run = at_work(context, "No run is at work.")
    records = run.records()
    if departure.is_handed_over(context.journal) and not hold.is_open(records):
        raise PreflightError(f"Run {run.number} copies no more with the engine up. {NOTHING}",
                             resolution="Wait for it with `relocator status --wait`.")  # fmt: skip
    _, word = say(run, **words)
    log.info("pace", run=run.number, pace=told(word))
    return ExitCode.DONE


def told(word: Said) -> str:
    """The pace in words, as far as somebody has said one."""
    if word.is_paused:
        return "is paused"
    limits = {None: "goes on as it was begun", "": "has no limit"}
    return limits.get(word.limit, f"is limited to {word.limit} a second")


def is_for(context: Context, request: Request) -> bool:
    """Whether the run that is held now is what is asked for: then there is nothing to copy again.

    Raises PreflightError where it is one to the same target that goes at another time, or otherwise.
    """
    runs = context.journal.runs()
    if not (request.waits and runs and hold.is_open(runs[-1].records()) and is_at_work(context.services)):
        return False
    begun = next((one for one in runs[-1].records() if one["event"] == Event.BEGUN), {})
    if begun.get("target") != str(context.host.resolve(request.target)):
        return False
    known = hold.terms_of(runs[-1]).request
    if replace(known, target=request.target) != request:
        raise PreflightError(
            f"Run {runs[-1].number} is held with other options. {NOTHING}",
            details=f"It was begun with: {typed(known)}",
            resolution="To switch now: relocator go. To hold it with these options, with the copy as it is: "
            "relocator abort --keep, and the same command again.",
        )
    return True


def watch(context: Context) -> ExitCode:
    """A run that the host's unit holds: on a terminal a key is waited for, and in a pipe it is said how to go on."""
    run = context.journal.runs()[-1]
    log.info("held.by_unit", run=run.number, unit=handover.UNIT)
    if has_terminal() and PARENT not in os.environ:  # a sibling's terminal has no keys
        try:
            with keys():
                await_key(context, run)
        except KeyboardInterrupt:
            log.info("held.left", run=run.number)
    return ended_meanwhile(run)


def ended_meanwhile(run: Run) -> ExitCode:
    """How it ended while somebody waited for it; it is handed over as long as it has not."""
    outcome = run.outcome() or {}
    if outcome:
        log.warning("held.ended", run=run.number, why=outcome.get("reason", ""))
    return CODES.get(outcome.get("outcome"), ExitCode.HANDED_OVER)  # type: ignore[arg-type]


def await_key(context: Context, run: Run) -> None:
    """Until somebody says go, here or elsewhere, or it has ended."""
    told = False
    while hold.is_open(run.records()) and not said(run).goes and is_at_work(context.services):
        if not told and hold.is_held(run.records()):
            log.info("held.ready", key=YES)
            told = True
        if key(LISTENING) == YES and told:
            try:
                return release(context, run)
            except PreflightError as error:
                log.warning("held.against", why=error.text())
    return None


@contextmanager
def keys() -> Iterator[None]:
    """A key is heard at once, without the end of a line."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def key(seconds: float) -> str:
    """What was pressed, if something was; a terminal that has gone is no key, and is not asked again at once."""
    terminal = sys.stdin.fileno()
    if not select.select([terminal], [], [], seconds)[0]:
        return ""
    with suppress(OSError):
        if pressed := os.read(terminal, 1):
            return pressed.decode(errors="replace")
    time.sleep(seconds)
    return ""

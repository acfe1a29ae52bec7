"""A run that is held: the copy is ready and kept close to the source, with the engine up, until the operator says go.

The worker does it, in the host's unit: no terminal and no container is needed meanwhile, and an engine that is started
again, or removes the image, changes nothing (memory.py). What the operator says comes by said.py.

    hand-over ▶ pass ▶ held ▶ pass … ▶ going ▶ freeze
                        └ abort: the run ends, and nothing was changed

A pass takes what it takes, and then nothing is done for nine times as long: the host's disks are for its containers.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from entrypoint.console import wording
from entrypoint.console.errors import JournalError, MoveError, PreflightError, RelocatorError
from entrypoint.console.events import log, quietly
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.machine.persistence import until
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Record, Run
from entrypoint.journal.said import say
from entrypoint.move import safety_net
from entrypoint.move.context import Context, Move
from entrypoint.move.roots import renewal
from entrypoint.move.roots.old_roots import plan_of
from entrypoint.move.worker.hearing import ending, heard
from entrypoint.move.worker.last_look import look_again
from entrypoint.plan.when import LATE
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootKind, Source

NAME = "held.json"
AT_ONCE = 0.0  # as soon as it is ready
IDLE = 9  # times as long as a pass took nothing is done
LONGEST = 3600.0  # seconds without a pass
NOT_GONE = ("The engine was not stopped, and the run is held as before. To plan it anew, with the copy as it is: "
            "relocator abort --keep, and the command by which it was begun.")  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """What a held run is asked with when it goes: kept with the plan. `downtime` are seconds, from and to, as they were
    foreseen, without what is left to copy. It goes by itself `at` an instant (seconds since 1970), but not where the
    engine may be away for more than the `longest`, in seconds."""

    request: Request
    sources: Mapping[RootKind, Source]
    downtime: tuple[float, float]
    at: float | None = None
    longest: float | None = None


@dataclass(frozen=True)
class Held:
    """How it stands: `at` is when the last pass ended (seconds since 1970), and what it found and took (`seconds`).
    What is `against` its going kept it when it was to go."""

    at: float
    passes: int
    size: int
    files: int
    seconds: float
    against: str = ""


def terms_of(run: Run) -> Terms:
    """Raises JournalError."""
    try:
        return from_json(Terms, run.plan()["hold"])
    except (KeyError, ValueError) as error:
        raise run.unreadable("is not held", repr(error)) from error


def held(run: Run) -> Held | None:
    """How a held run stands, if a pass has ended."""
    try:
        return from_json(Held, json.loads((run.place / NAME).read_bytes()))
    except (OSError, ValueError):
        return None


def downtime(terms: Terms, stands: Held | None) -> tuple[float, float]:
    """In seconds, from and to, if it went now: what is left is looked for, copied and compared with the engine down."""
    least, most = terms.downtime
    again = stands.seconds if stands else 0.0
    return least + again, most + 2 * again


def is_to_be(records: Sequence[Record]) -> bool:
    """Whether a run was begun as one that is to be held."""
    return any(record["event"] == Event.BEGUN and record.get("hold") for record in records)


def is_open(records: Sequence[Record]) -> bool:
    """Whether a run is to be held, or is, and does not go yet: nothing of the host has been changed by it."""
    events = {record["event"] for record in records}
    return is_to_be(records) and not events & {Event.GOING, Event.INTENT, Event.ROLLBACK, Event.OUTCOME}


def is_waiting(records: Sequence[Record]) -> bool:
    """Whether a run that is to be held has not gone: nobody has to leave for it, also while it is being ended."""
    return is_to_be(records) and not {record["event"] for record in records} & {Event.GOING, Event.INTENT}


def is_untouched(records: Sequence[Record]) -> bool:
    """Whether a run that was to be held has not begun to stop the engine: who takes over goes on with it."""
    return is_to_be(records) and not {record["event"] for record in records} & {Event.INTENT, Event.ROLLBACK}


def is_held(records: Sequence[Record]) -> bool:
    return is_open(records) and any(record["event"] == Event.HELD for record in records)


def release(context: Context, run: Run, ours: frozenset[str]) -> None:
    """Look at the host as it is now, and say go. Raises PreflightError: then it is held as before."""
    try:
        _release(context, run, ours)
    except MoveError as error:  # of a step it would say how that is undone
        raise PreflightError(error.brief, error.details, NOT_GONE) from error


def _release(context: Context, run: Run, ours: frozenset[str]) -> None:
    terms, stored = terms_of(run), run.plan()
    plan, foreseen = look_again(context, terms.request, terms.sources, plan_of(run), ours)
    terms = replace(terms, downtime=(foreseen.low, foreseen.high))
    require_short(terms, held(run))
    run.save_plan({**stored, "plan": to_json(plan), "hold": to_json(terms)})
    context.host.trace("go.looked")
    say(run, goes=True)


def require_short(terms: Terms, stands: Held | None) -> None:
    """Raises PreflightError where the engine may be away for longer than the operator agrees to."""
    least, most = downtime(terms, stands)
    if terms.longest is not None and most > terms.longest:
        raise PreflightError(
            f"The engine may be away for longer than agreed to (--max-downtime={terms.request.longest}).",
            details=f"It would be {wording.span(least)} to {wording.span(most)} now. It was not stopped.",
            resolution="To agree to more: relocator abort --keep, and the same command with another --max-downtime.",
        )


def hold(move: Move, journal: Journal, front: Process, *, again: bool) -> Move:
    """The move as it stands when it goes. `again`: a worker before this one had it. Raises Aborted, CopyError."""
    records = move.run.records()
    if not is_to_be(records):
        return move
    await_word(move, front)
    with ending(move.run):
        if again:  # nobody has listened to the clock meanwhile
            move.renew(passed(move, lambda copier, copied: copier.again(copied)))
        if is_open(records):
            keep(move, Context(move.host, move.systemd, journal, move.patience))
    going = replace(move, plan=plan_of(move.run))  # who said go has looked at the host as it is now
    going.renew(move.renewed)
    return going


def await_word(move: Move, front: Process) -> None:
    """Until the front has told whether the clock was set, or cannot any more."""
    until(
        lambda: any(one["event"] == Event.HANDED_OVER for one in move.run.records()) or not front.is_there(),
        waiting_for="the word of the container that hands over",
        seconds=move.patience.departure,
    )


def keep(move: Move, context: Context) -> None:
    """Pass after pass, until it goes; after each it may be that it goes by itself."""
    renewal.renew(move)
    at, passes, due, tried = terms_of(move.run).at, 0, 0.0, 0
    stands = Held(time.time(), 0, 0, 0, 0.0)
    while not (word := heard(move.run)).goes:
        if at is not None and passes > tried and is_time(at) and not word.is_paused:
            tried = passes
            stands = replace(stands, against=by_itself(move, context, at))
            tell(move, stands)
        elif time.monotonic() >= due and not word.is_paused:
            passes += 1
            stands = replace(bring_up_to_date(move, passes), against=stands.against)
            tell(move, stands)
            due = time.monotonic() + min(LONGEST, max(move.patience.passes, IDLE * stands.seconds))
        time.sleep(move.patience.listening)
    move.host.trace("hold.going")
    safety_net.arm(move.host, move.run, plan_of(move.run))
    move.run.append(Event.GOING)
    log.info("going", word=to_json(word))


def is_time(at: float) -> bool:
    """By the host's clock, whoever has set it."""
    return at <= time.time()


def by_itself(move: Move, context: Context, at: float) -> str:
    """Go, as it is time; why it does not, if something is against it."""
    try:
        if at != AT_ONCE and time.time() > at + LATE:
            raise PreflightError("The time at which it was to go has passed by more than ten minutes.",
                                 resolution="To switch now: relocator go")  # fmt: skip
        if move.systemd.unit(move.plan.service).active_state not in RUNNING:  # asking would start it
            raise PreflightError(f"{move.plan.service} does not run.", resolution="It goes once somebody starts it.")
        with Engine.opened(socket_of(move.host)) as engine:
            there = {one.id for one in engine.containers()}
        release(context, move.run, move.ours & there)  # one that has gone makes this no other engine
    except RelocatorError as error:
        log.warning("held.against", why=error.text())
        return error.text()
    return ""


def bring_up_to_date(move: Move, number: int) -> Held:
    """One pass over each root."""
    began = time.monotonic()
    with quietly():
        found = passed(move, lambda copier, copied: copier.onward(copied))
    move.renew(found)
    size, files = sum(one.sent for one in found), sum(one.files for one in found)
    return Held(time.time(), number, size, files, round(time.monotonic() - began, 3))


def passed(move: Move, act: Callable[[Copier, Copied], Copied]) -> list[Copied]:
    """Each root's copy after a pass, if its disk is there still: in days it may be unmounted. Raises CopyError."""
    found = []
    for copier, copied in move.copies():
        copier.require_target(copied)
        found.append(act(copier, copied))
    return found


def tell(move: Move, stands: Held) -> None:
    """Write down how it stands; that it is held only once. A full disk keeps nobody from going on."""
    facts: dict[str, Any] = to_json(stands)
    try:
        move.run.keep(NAME, json.dumps(facts).encode())
    except JournalError as error:
        log.warning("held.unwritten", why=error.text())
    if not is_held(move.run.records()):
        move.run.append(Event.HELD)
        log.info("held", run=move.run.number)
        move.host.trace("hold.held")

"""The worker's driver: the steps in order, back in reverse if one fails, and where a dead worker left off.

    journal.intent ▶ step.apply ▶ journal.done            for each step
    failure ▶ journal.rollback ▶ step.undo ▶ journal.undone    for each step begun, the last first
    ▶ outcome: committed, moved, rolled-back or rollback-failed

Once a container has run on the target, clients may have written there, and nothing goes back by itself: the run is
finished, and what does not stand as it stood is named (`moved`).

A worker that takes over from a dead one goes forward if the configuration already names the target, which is the
commit point, and no rollback had begun; else it goes back. Steps and undos are right when they are repeated.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import structlog

from entrypoint.console.errors import Aborted, ExitCode, NeedsStop, RelocatorError, SystemdError
from entrypoint.console.events import Phase, log, phase
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import ALIVE
from entrypoint.host.machine.persistence import until
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Record
from entrypoint.journal.unfinished import KEPT
from entrypoint.move.context import Move
from entrypoint.move.location import is_switched, runs_on
from entrypoint.move.roots import renewal
from entrypoint.move.roots.discard import discard, may_go_on
from entrypoint.move.steps import Step, end_records
from entrypoint.move.switch import paired_switch
from entrypoint.move.worker import departure, hold
from entrypoint.move.worker.arrival import (
    NOT_RUN,
    STARTED_ON,
    arrive,
    conclude,
    finish,
    has_run,
    stays,
    told,
    was_started,
)
from entrypoint.move.worker.hearing import heard
from entrypoint.plan.plan import Direction

KEEPS, ENDS = "keeps_copy", "ends"  # in the record of a way back: whether it is one from nothing

UNTIL_SWITCH = (Phase.FREEZE, Phase.FINAL_SYNC, Phase.CHECK, Phase.SWITCH)  # before these the operator may end it
CODES = {
    Outcome.BROKEN: ExitCode.BROKEN,
    Outcome.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
}


def work(move: Move, journal: Journal, front: Process, steps: Sequence[Step]) -> ExitCode:
    """Carry the move out; the engine runs when this returns, on the new root or on the old."""
    records = move.run.records()
    with structlog.contextvars.bound_contextvars(run=move.run.number), ExitStack() as held:
        begun = unfinished(records, steps)
        try:
            move.run.append(Event.TOOK_OVER, pid=os.getpid())
            move = hold.hold(move, journal, front, again=took_over(records))
            wait_for_departure(move, front)
            held.enter_context(journal.locked(wait=True))
            if took_over(records) and not hold.is_untouched(records):
                return recover(move, records, steps)
            renewal.renew(move)
            return forward(move, steps, begun)
        except (RelocatorError, KeyboardInterrupt) as failure:
            return roll_back(move, begun, failure)
        except Exception as bug:
            log.exception("bug", error=repr(bug))
            return roll_back(move, begun, bug)


def took_over(records: Sequence[Record]) -> bool:
    """Whether a worker was at work on this run before."""
    return any(record["event"] == Event.TOOK_OVER for record in records)


def recover(move: Move, records: Sequence[Record], steps: Sequence[Step]) -> ExitCode:
    """Finish or undo what a dead worker left; the lock is held. Never raises for a step that fails."""
    begun = unfinished(records, steps)
    switched = is_switched(move)
    if switched:  # then the safety net has started the engine on the target, whether we had come to that or not
        end_records(move)
        for root in move.plan.roots[1:]:
            paired_switch.follow(move, root, is_switched=True)
        move.run.append(Event.INTENT, step=Phase.START)
        begun = [step for step in steps if step in begun or step.name is Phase.START]
    if is_going_back(records) or not switched:
        return turn_back(move, records, begun)
    log.warning("recovering", begun=[step.name for step in begun], going_back=False)
    remaining = [step for step in steps if step.name in (Phase.START, Phase.VERIFY)]
    try:
        return forward(move, remaining, begun)
    except (Exception, KeyboardInterrupt) as failure:
        return roll_back(move, begun, failure)


def is_going_back(records: Sequence[Record]) -> bool:
    return any(record["event"] == Event.ROLLBACK for record in records)


def turn_back(move: Move, records: Sequence[Record], begun: Sequence[Step]) -> ExitCode:
    """Undo what a dead worker had begun; its copy is kept, if it had not decided otherwise when it began to go back."""
    going_back = is_going_back(records)
    log.warning("recovering", begun=[step.name for step in begun], going_back=going_back)
    return roll_back(move, begun, None)


def unfinished(records: Sequence[Record], steps: Sequence[Step]) -> list[Step]:
    """The steps that were begun and not undone, in their order."""
    names = {str(one["step"]) for one in records if one["event"] == Event.INTENT}
    names -= {str(one["step"]) for one in records if one["event"] == Event.UNDONE}
    return [step for step in steps if step.name in names]


def wait_for_departure(move: Move, front: Process) -> None:
    """Wait until the container that handed over has ended by itself, and with it its clients' connections.

    On 20.10 a client that is attached while the engine stops gets an error instead of the exit code.
    """
    until(lambda: has_left(move, front), waiting_for="the relocator container to end", seconds=move.patience.departure)
    departure.await_others(move)


def has_left(move: Move, front: Process) -> bool:
    """Whether the process is gone and the engine lists none of our containers as alive."""
    if front.is_there():
        return False
    if move.systemd.unit(move.plan.service).active_state not in RUNNING:
        return True  # asking would start it, and with the engine down no container is up
    with Engine.opened(socket_of(move.host)) as engine:
        ours = [engine.container(container_id) for container_id in move.ours]
    # a container started with --rm has left when it is removed: its client waits for that
    return all(one is None or (one.status not in ALIVE and not one.auto_remove) for one in ours)


def forward(move: Move, steps: Sequence[Step], begun: list[Step]) -> ExitCode:
    """Do steps, and commit; `begun` grows by each before it acts."""
    for step in steps:
        if step.name in UNTIL_SWITCH:
            heard(move.run)
        move.host.trace(f"{step.name}.intent")
        move.run.append(Event.INTENT, step=step.name)
        if step not in begun:
            begun.append(step)
        move.host.trace(f"{step.name}.intended")
        with phase(step.name):
            step.apply(move)
        move.host.trace(f"{step.name}.done")
        move.run.append(Event.DONE, step=step.name)
        move.host.trace(f"{step.name}.recorded")
    with ignored_signals():  # what is committed is not taken back
        return arrive(move, {})


def roll_back(move: Move, begun: Sequence[Step], failure: BaseException | None) -> ExitCode:
    """Undo every step that was begun; one failed undo never stops the others, and no signal stops any.

    Without a `failure` it was a dead worker.
    """
    if is_host_stopping(move):
        return ExitCode.INTERRUPTED
    with ignored_signals():
        why, keeps = cause(move, begun, failure), keeps_copy(move, failure)
        if stays(move, begun):
            return finish(move, why)
        return _roll_back(move, begun, why, {KEEPS: keeps, ENDS: ends(move, begun, failure)})


def cause(move: Move, begun: Sequence[Step], failure: BaseException | None) -> dict[str, str]:
    """Where and why the move failed; one that takes over on the way back keeps what the dead one went back for."""
    if failure is None and (turned := turn(move)):
        return {name: turned[name] for name in ("failed_in", "reason")}
    return {"failed_in": begun[-1].name if begun else Phase.HAND_OVER, "reason": told(failure)}


def keeps_copy(move: Move, failure: BaseException | None) -> bool:
    """Whether the same command can go on with the copy, if no engine was started on it; the same for who takes over."""
    if failure is None:
        return bool(turn(move).get(KEEPS, True))
    if isinstance(failure, Aborted) and not failure.keeps:
        return False
    return may_go_on(move.host, move.plan, failure)


def ends(move: Move, begun: Sequence[Step], failure: BaseException | None) -> bool:
    """Whether nothing was changed, and that is how somebody wants it to end."""
    if failure is None:
        return bool(turn(move).get(ENDS, False))
    return not begun and (isinstance(failure, Aborted) or (isinstance(failure, KeyboardInterrupt) and move.plan.holds))


def turn(move: Move) -> Record:
    """The record of where an earlier worker began to go back, if one did."""
    return next((record for record in move.run.records() if record["event"] == Event.ROLLBACK), {})


def _roll_back(move: Move, begun: Sequence[Step], why: dict[str, str], ways: dict[str, bool]) -> ExitCode:
    log.error("failed", **why)
    with suppress(RelocatorError):
        move.run.append(Event.ROLLBACK, **why, **ways)
    move.host.trace("rollback.recorded")
    problems: list[str] = []
    begun_on = (STARTED_ON if has_run(move) else NOT_RUN) if was_started(move, begun) else ""
    with phase(Phase.UNDO if move.plan.direction is Direction.BACK else Phase.ROLLBACK):
        for step in reversed(begun):
            problems += undo(move, step)
    if problems and is_host_stopping(move):
        return ExitCode.INTERRUPTED
    outcome = Outcome.BROKEN if problems else Outcome.INTERRUPTED if ways[ENDS] else Outcome.ROLLED_BACK
    if move.plan.direction is not Direction.FORTH:
        left = ""  # it is a root that was whole before, and stays
    elif begun_on:
        left = begun_on
    elif ways[KEEPS]:
        left = KEPT
    else:
        left = "" if problems else discard_copy(move)
    facts = {**why, "problems": problems, "root": move.plan.first.source, "left": left}
    move.host.trace("rollback.outcome")
    conclude(move, outcome, **facts)
    log.error(str(outcome), **facts)
    return CODES[outcome]


def is_host_stopping(move: Move) -> bool:
    """Whether the host goes down, and everything is left as it is: systemd refuses to start an engine now.

    The next boot starts it, on whichever root is configured; both are complete. The next command settles the run.
    """
    stopping = False
    try:
        stopping = move.systemd.is_stopping()
    except SystemdError:
        # The bus goes down long before systemd, which still answers the host's own program, on a socket of its own.
        with suppress(RelocatorError):
            stopping = move.host.run(["systemctl", "is-system-running"], check=False).stdout.strip() == "stopping"
    if stopping:
        log.warning("host.stopping")
    return stopping


@contextmanager
def ignored_signals() -> Iterator[None]:
    """Going back is not interrupted: half of it is worse than any delay."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def undo(move: Move, step: Step) -> list[str]:
    """Undo one step; what went wrong, if anything."""
    move.host.trace(f"{step.name}.undo")
    try:
        step.undo(move)
    except NeedsStop:
        raise  # whoever may do it begins anew; it is the first undo that changes anything
    except BaseException as problem:
        log.exception("undo.failed", step=step.name)
        return [f"{step.name}: {told(problem)}"]
    move.host.trace(f"{step.name}.undone")
    with suppress(RelocatorError):  # a record that cannot be written makes nothing undone that was done
        move.run.append(Event.UNDONE, step=step.name)
    return []


def discard_copy(move: Move) -> str:
    """Remove the unfinished copy, unless the engine, asked anew, is on it; why it is still there, if it is.

    The engine is back by now, and that is the outcome: a target that cannot even be emptied is only told.
    """
    try:
        if not runs_on(move, move.plan.first.source):
            return "the engine does not run on the old root"
        return discard(move.host, move.plan)
    except (RelocatorError, OSError) as error:
        left = error.text() if isinstance(error, RelocatorError) else str(error)
        log.warning("target.left", target=move.plan.first.target, why=left)
        return left

"""The worker's driver: wait until the container has left, do the steps in order, go back in reverse if one fails.

journal.intent ▶ step.apply ▶ journal.done            for each step
failure ▶ step.undo ▶ journal.undone                  for each step begun, the last first
▶ outcome: committed, rolled-back, or rollback-failed
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog

from entrypoint.copying import remove_copy
from entrypoint.engine import Engine, socket_of, until
from entrypoint.errors import ExitCode, RelocatorError
from entrypoint.inventory import ALIVE
from entrypoint.journal import Event, Journal, Outcome
from entrypoint.log import Phase, log, phase
from entrypoint.steps import STEPS, Move, Step, engine_root, remove_empty

# The container ends right after the hand-over; its client and its removal may lag behind on a loaded machine.
DEPARTURE = 120.0


def work(move: Move, journal: Journal, front_pid: int, steps: Sequence[Step] = STEPS) -> ExitCode:
    """Carry the move out; the engine runs when this returns, on the new root or on the old."""
    begun: list[Step] = []
    with structlog.contextvars.bound_contextvars(run=move.run.number), ExitStack() as held:
        try:
            move.run.append(Event.TOOK_OVER, pid=os.getpid())
            wait_for_departure(move, front_pid)
            held.enter_context(journal.locked(wait=True))
            forward(move, steps, begun)
        except (RelocatorError, KeyboardInterrupt) as failure:
            return roll_back(move, begun, failure)
        except Exception as bug:
            log.exception("bug", error=repr(bug))
            return roll_back(move, begun, bug)
        conclude(move, Outcome.COMMITTED, root=move.plan.target)
        log.info("committed", root=move.plan.target, old_root=move.plan.source)
    return ExitCode.DONE


def wait_for_departure(move: Move, front_pid: int) -> None:
    """Wait until the container that handed over has ended by itself, and with it its clients' connections.

    On 20.10 a client that is attached while the engine stops gets an error instead of the exit code.
    """
    until(lambda: has_left(move, front_pid), waiting_for="the relocator container to end", seconds=DEPARTURE)


def has_left(move: Move, front_pid: int) -> bool:
    """Whether the process is gone and the engine lists none of our containers as alive."""
    if Path(f"/proc/{front_pid}").exists():
        return False
    with Engine.opened(socket_of(move.host)) as engine:
        ours = [engine.container(container_id) for container_id in move.ours]
    # a container started with --rm has left when it is removed: its client waits for that
    return all(one is None or (one.status not in ALIVE and not one.auto_remove) for one in ours)


def forward(move: Move, steps: Sequence[Step], begun: list[Step]) -> None:
    for step in steps:
        move.run.append(Event.INTENT, step=step.name)
        begun.append(step)
        with phase(step.name):
            step.apply(move)
        move.run.append(Event.DONE, step=step.name)


def roll_back(move: Move, begun: list[Step], failure: BaseException) -> ExitCode:
    """Undo every step that was begun; one failed undo never stops the others, and no signal stops any."""
    with ignored_signals():
        return _roll_back(move, begun, failure)


def _roll_back(move: Move, begun: list[Step], failure: BaseException) -> ExitCode:
    reason = failure.text() if isinstance(failure, RelocatorError) else f"{type(failure).__name__}: {failure}"
    failed_in = begun[-1].name if begun else Phase.HAND_OVER
    log.error("failed", step=failed_in, reason=reason)
    problems: list[str] = []
    with phase(Phase.ROLLBACK):
        for step in reversed(begun):
            problems += undo(move, step)
    outcome = Outcome.BROKEN if problems else Outcome.ROLLED_BACK
    facts = {"failed_in": failed_in, "reason": reason, "problems": problems, "root": move.plan.source}
    if any(step.name is Phase.START for step in begun):
        facts["left"] = "the engine was started on it; what was written then is only there"
    elif not problems:
        facts["left"] = discard_copy(move)
    conclude(move, outcome, **facts)
    log.error(str(outcome), **facts)
    return ExitCode.BROKEN if problems else ExitCode.ROLLED_BACK


def conclude(move: Move, outcome: Outcome, **facts: object) -> None:
    """Write down how the run ended. A record that cannot be written changes nothing of that."""
    try:
        move.run.append(Event.OUTCOME, outcome=outcome, **facts)
    except RelocatorError as error:
        log.error("outcome.unwritten", outcome=outcome, why=error.text())


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
    try:
        step.undo(move)
    except BaseException as problem:
        log.exception("undo.failed", step=step.name)
        text = problem.text() if isinstance(problem, RelocatorError) else repr(problem)
        return [f"{step.name}: {text}"]
    with suppress(RelocatorError):  # a record that cannot be written makes nothing undone that was done
        move.run.append(Event.UNDONE, step=step.name)
    return []


def discard_copy(move: Move) -> str:
    """Remove the unfinished copy, unless the engine, asked anew, is on it; why it is still there, if it is.

    The engine is back by now, and that is the outcome: a target that cannot even be emptied is only told.
    """
    try:
        if engine_root(move.host) != move.plan.source:
            return "the engine does not run on the old root"
        remove_copy(move.host.path(move.plan.target))
        remove_empty(move.host, reversed(move.plan.created))
    except (RelocatorError, OSError) as error:
        left = error.text() if isinstance(error, RelocatorError) else str(error)
        log.warning("target.left", target=move.plan.target, why=left)
        return left
    log.info("target.removed", target=move.plan.target)
    return ""

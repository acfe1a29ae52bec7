"""How a run ends on the new root, and when nothing brings it back from there any more.

Until a container has run on the target, a failure takes everything back, and nobody has lost anything. From then on
clients may have written there, and the run is finished whatever fails: what does not stand as it stood is named, and to
go back is the operator's choice.
"""

from collections.abc import Sequence
from contextlib import suppress

from entrypoint.console.errors import ExitCode, RelocatorError, SystemdError
from entrypoint.console.events import Phase, log
from entrypoint.engine.swarm import took_part
from entrypoint.host.machine.persistence import persistently
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.amiss import Amiss, Kind
from entrypoint.journal.record import ARRIVED, Event, Outcome
from entrypoint.move import safety_net
from entrypoint.move.context import Move
from entrypoint.move.freeze import bring_up
from entrypoint.move.location import data_roots, is_switched, runs_on
from entrypoint.move.proof import adopted
from entrypoint.move.since import served
from entrypoint.move.steps import Step, Verify
from entrypoint.move.switch import guard

CUT_OFF = "The relocator that did the work was cut off."
STOPPED_BY_SIGNAL = "It was stopped by a signal."
STARTED_ON = "the engine was started on it; what was written then is only there"
NOT_RUN = "the engine was to start on it, and its program did not come to run there"


def arrive(move: Move, why: dict[str, str]) -> ExitCode:
    """Commit: the engine is up on the target. What does not stand as it stood has been noted; `why` it was looked at
    again, if it was."""
    amiss = move.run.amiss()
    facts = {"root": move.plan.first.target, **(why if amiss else {})}
    conclude(move, Outcome.MOVED if amiss else Outcome.COMMITTED, **facts)
    move.host.trace("commit.recorded")
    for one in amiss:
        log.warning("amiss", what=one.text)
    log.info("committed", root=move.plan.first.target, old_root=move.plan.first.source)
    return ExitCode.AMISS if amiss else ExitCode.DONE


def stays(move: Move, begun: Sequence[Step]) -> bool:
    """Whether the engine may not return to the old root by itself: a container has run on the new one.

    Nor may one of several managers of a swarm that has been at work there. Its log would be older on the old root than
    what the others have heard of it (docs.docker.com, swarm/admin_guide: "never restart a manager node by copying the
    raft directory"). A disk that cannot be read any more leaves no choice.
    """
    if not (was_started(move, begun) and (is_switched(move) or runs_on(move, move.plan.first.target))):
        return False
    if served.has_served(move):
        return True
    with suppress(OSError):
        return move.plan.one_of_managers and took_part(*data_roots(move))
    return False


def finish(move: Move, why: dict[str, str]) -> ExitCode:
    """See that the engine is up on the target, look at everything once more, and name what does not stand."""
    log.warning("stays", **why)
    try:
        if not is_up(move):
            persistently(lambda: bring_up(move), doing="start the engine", pauses=move.patience.pauses)
        Verify().apply(move)
    except (Exception, KeyboardInterrupt) as failure:
        log.exception("finish.failed")
        if not is_up(move):
            return give_up(move, why, f"{Phase.START}: {told(failure)}")
        move.run.note([*move.run.amiss(), Amiss(Kind.UNPROVEN, told(failure))])
    return arrive(move, why)


def is_up(move: Move) -> bool:
    """Whether the engine is up on the target: where containerd's root moves alone that works there without it, too."""
    is_running = move.systemd.unit(move.plan.service).active_state in RUNNING
    return is_running and runs_on(move, move.plan.first.target)


def give_up(move: Move, why: dict[str, str], problem: str) -> ExitCode:
    """The engine is not up on the target, and what its clients have written is only there."""
    facts = {**why, "problems": [problem], "root": move.plan.first.target, "left": STARTED_ON}
    conclude(move, Outcome.BROKEN, **facts)
    log.error(str(Outcome.BROKEN), **facts)
    return ExitCode.BROKEN


def was_started(move: Move, begun: Sequence[Step]) -> bool:
    """Whether an engine may ever have run on the copy, in this process's life or before it."""
    if any(step.name is Phase.START for step in begun):
        return True
    records = move.run.records()
    return any((record["event"], record.get("step")) == (Event.INTENT, Phase.START) for record in records)


def has_run(move: Move) -> bool:
    """Whether anything that works on the roots was run since it was to start on the targets; its unit may have refused
    before. Asked before the way back, which starts it again. True where that cannot be known."""
    records = move.run.records()
    told = (float(one["at"]) for one in records if (one["event"], one.get("step")) == (Event.INTENT, Phase.START))
    since, units = next(told, 0.0), (move.plan.service, *(service.name for service in move.plan.services))
    with suppress(SystemdError):
        return any(move.systemd.unit(name).ran >= since for name in units)
    return True


def conclude(move: Move, outcome: Outcome, **facts: object) -> None:
    """Write down how the run ended; one that cannot be written changes nothing of that, and is told all the same."""
    if outcome in ARRIVED:
        guard.wake_by_targets(move)
    if outcome is not Outcome.BROKEN or not move.plan.roots[1:]:  # two files that may not agree are kept apart
        guard.release(move)
    if outcome is not Outcome.BROKEN:
        safety_net.put_away(move.run)
    move.run.tell(Event.OUTCOME, outcome=outcome, **facts)
    if outcome in ARRIVED:  # not before: a root that is rolled back from is not to be adopted later
        adopted.mark(move.host, move.plan)


def told(failure: BaseException | None) -> str:
    if failure is None:
        return CUT_OFF
    if isinstance(failure, KeyboardInterrupt):
        return STOPPED_BY_SIGNAL
    return failure.text() if isinstance(failure, RelocatorError) else f"{type(failure).__name__}: {failure}"

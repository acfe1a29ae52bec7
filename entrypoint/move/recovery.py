"""A run that was cut off: any later command finishes or undoes it before it does anything else.

cut off                                     is
before the hand-over, or while it was held  called interrupted; its copy is used by the next attempt
before the commit point, or going back      undone
after it, engine on the new root            finished, and what does not stand as it stood is named
anything that needs the engine stopped      handed over to a worker again, but not by `status`
long ago, engine on one of the roots        called what it is: nothing is stopped, started or taken back any more
ended, with something that does not stand   that is tried again, and forgotten when it is well
ended, and not on one complete root         finished or undone as above, once the engine is up on one
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from entrypoint.console.errors import ExitCode, JournalError, NeedsStop, PreflightError, RelocatorError, SystemdError
from entrypoint.console.events import Phase, log
from entrypoint.copy.copied import Copied
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import Inventory, differences
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.machine.processes import Process
from entrypoint.host.machine.standing import our_containers
from entrypoint.host.services import hold
from entrypoint.host.services.manager import ServiceManager
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Record, Run
from entrypoint.journal.unfinished import KEPT
from entrypoint.move import safety_net
from entrypoint.move.context import Context, Move
from entrypoint.move.freeze import release
from entrypoint.move.location import data_roots, is_switched, runs_on
from entrypoint.move.proof import restart, verify
from entrypoint.move.roots.old_roots import plan_of
from entrypoint.move.since import acts
from entrypoint.move.steps import end_records, steps_of
from entrypoint.move.worker import handover
from entrypoint.move.worker import hold as waiting
from entrypoint.move.worker.arrival import CUT_OFF, STARTED_ON, arrive, conclude, finish, stays, told, was_started
from entrypoint.move.worker.worker import forward, is_going_back, turn_back, unfinished
from entrypoint.plan.plan import Direction, Plan

LONG_AGO = 900.0  # seconds since the last record; a worker that could be started again would have been within one


def load(context: Context, run: Run, *, stops: bool = False) -> Move:
    """A run's move, as its plan was stored; it `stops` the engine only for a worker. Raises JournalError."""
    stored = run.plan()
    try:
        copied, ours = tuple(from_json(Copied, one) for one in stored["copied"]), frozenset(stored["ours"])
    except (KeyError, TypeError, ValueError) as error:
        raise run.unreadable("has a plan of another version", repr(error)) from error
    return Move(context.host, context.services, run, plan_of(run), copied, ours | our_containers(), stops,
                context.patience)  # fmt: skip


def save(run: Run, plan: Plan, copied: Sequence[Copied], terms: waiting.Terms | None = None) -> None:
    """Write down what the worker needs; this container is what it waits for. `copied` is of each of the roots, `terms`
    are those of a run that is to be held."""
    run.save_plan({
        "plan": to_json(plan),
        "copied": [to_json(one) for one in copied],
        "ours": sorted(our_containers()),
        "front": to_json(Process.own()),
        **({"hold": to_json(terms)} if terms else {}),
    })  # fmt: skip


def settle_first(context: Context) -> ExitCode | None:
    """Before a command of its own does anything: what was cut off is settled, and nobody else is at work.

    Raises PreflightError, also for a record that cannot be read: nothing was changed then.
    """
    if not context.journal.exists():
        return None
    with context.journal.locked():
        require_no_worker(context.services)
        try:
            return settle(context)
        except JournalError as error:
            raise PreflightError(error.brief, error.details, error.resolution) from error


def require_nobody(systemd: ServiceManager, journal: Journal) -> None:
    """For a look, which takes no lock: beside a run that is at work its copy would look like one that was cut off."""
    if journal.is_locked() or is_at_work(systemd):
        raise busy()


def require_no_worker(systemd: ServiceManager) -> None:
    """Asked under the lock: between a hand-over and the worker's own lock nobody holds it."""
    if is_at_work(systemd):
        raise busy()


def busy() -> PreflightError:
    return PreflightError("Another relocator is at work on this host.",
                          resolution="Wait for it with `relocator status --wait`. One that is held goes on by "
                          "`relocator go`, or ends by `relocator abort`.")  # fmt: skip


def is_at_work(systemd: ServiceManager) -> bool:
    """Whether the worker's unit runs or starts; asked twice, because the connection may have died with a signal."""
    try:
        return systemd.is_busy(handover.UNIT)
    except SystemdError:
        return systemd.is_busy(handover.UNIT)


def unsettled(journal: Journal) -> str:
    """The number of the last run, if it has no outcome yet."""
    runs = journal.runs()
    return "" if not runs or runs[-1].outcome() else runs[-1].number


def tell_amiss(journal: Journal) -> bool:
    """Tell what does not stand since the last run brought the engine where it is; whether there is any."""
    runs = journal.runs()
    amiss = runs[-1].amiss() if runs and runs[-1].has_arrived else ()
    for one in amiss:
        log.warning("amiss", what=one.text)
    return bool(amiss)


def settle(context: Context, *, stops: bool = True) -> ExitCode | None:
    """Finish or undo the last run, if it has no outcome; the lock is held, and no worker is at work.

    Returns how it ended, HANDED_OVER if a worker was needed, or nothing if there was nothing to do, or nothing that can
    be done without a stop of the engine where it must not be stopped (`stops`).
    """
    runs = context.journal.runs()
    if not runs:
        return None
    run = runs[-1]
    if outcome := run.outcome():
        (heal if outcome["outcome"] == Outcome.BROKEN else mend)(context, run)
        return None
    log.warning("unfinished", run=run.number)
    records = run.records()
    is_with_worker = any(record["event"] in (Event.HANDED_OVER, Event.TOOK_OVER) for record in records)
    if not is_with_worker or waiting.is_untouched(records):
        safety_net.put_away(run)
        run.append(Event.OUTCOME, outcome=Outcome.INTERRUPTED, reason="It was cut off.", left=KEPT)
        return ExitCode.INTERRUPTED
    move = load(context, run)
    if (code := settle_move(move, stops=stops)) is None:
        log.warning("unsettled", run=run.number, would=would(move), command="relocator rollback")
    return code


def heal(context: Context, run: Run) -> None:
    """A way back that had failed, where the engine is up on one of the roots by now: that root is where the run ends.

    Nothing is stopped for it, nor is it in the way of what was asked for.
    """
    try:
        settle_move(load(context, run), stops=False)
    except RelocatorError as problem:
        log.warning("unsettled", run=run.number, why=problem.text())


def mend(context: Context, run: Run) -> None:
    """Try again what did not stand when a run had ended."""
    if not run.amiss():
        return
    try:
        verify.mend(load(context, run))
    except RelocatorError as problem:  # the engine's, or the journal's; it stays as it was noted
        log.warning("amiss.unmended", why=problem.text())


def settle_move(move: Move, *, stops: bool = True) -> ExitCode | None:
    """As `settle`. Nothing here can stop the engine: only a worker's move can (`load`)."""
    with suppress(NeedsStop):
        if (code := settle_standing(move)) is not None:
            return code
    if stops:
        return hand_over_again(move)
    return None


def would(move: Move) -> str:
    """What a worker would do, and who only asks does not."""
    source, target = move.plan.first.source, move.plan.first.target
    if is_switched(move) and not is_going_back(move.run.records()):
        return f"start the engine on {target} and prove what it holds there, and if it does not, go back to {source}"
    return f"stop the engine where it runs, and start it on {source}"


def settle_standing(move: Move) -> ExitCode | None:
    """Finish or undo it as the engine stands; nothing if that cannot be. Raises NeedsStop, too."""
    records = move.run.records()
    begun = unfinished(records, steps_of(move.plan))
    switched, source, target = is_switched(move), move.plan.first.source, move.plan.first.target
    if switched and runs_on(move, target):
        mark_started(move, records)
    is_over = is_long_ago(records) or is_proven(records)
    if not switched and runs_on(move, source):
        return abandon(move) if is_over else turn_back(move, records, begun)
    if switched and runs_on(move, target):
        return accept(move) if is_over else go_on(move, is_going_back(records))
    return None


def go_on(move: Move, going_back: bool) -> ExitCode | None:
    """Finish a run whose engine is on the target; nothing if it must be taken back from there."""
    begun = unfinished(move.run.records(), steps_of(move.plan))
    if going_back and not stays(move, begun):
        return None
    try:
        return forward(move, [step for step in steps_of(move.plan) if step.name is Phase.VERIFY], begun)
    except RelocatorError as error:
        log.warning("not_proven", why=error.text())
        return finish(move, {"failed_in": Phase.VERIFY, "reason": told(error)}) if stays(move, begun) else None


def mark_started(move: Move, records: Sequence[Record]) -> None:
    """An engine was started on the target, by whatever: it is no unfinished copy any more."""
    end_records(move)
    if not any((record["event"], record.get("step")) == (Event.INTENT, Phase.START) for record in records):
        move.run.tell(Event.INTENT, step=Phase.START)


def is_long_ago(records: Sequence[Record]) -> bool:
    """Whether the engine and its people have had time to go on since; what it held then is no measure any more."""
    return not 0 <= time.time() - float(records[-1]["at"]) < LONG_AGO


def is_proven(records: Sequence[Record]) -> bool:
    """Whether all was done but the last record."""
    steps = {(record["event"], record.get("step")) for record in records}
    return (Event.DONE, Phase.VERIFY) in steps and (Event.ROLLBACK, None) not in steps


def accept(move: Move) -> ExitCode:
    """The engine has been working on the target: that is where it stays, and what differs is only said."""
    if (before := move.expected()) is not None:
        with Engine.opened(socket_of(move.host)) as engine:
            now = engine.inventory()
        for difference in differences(before, now.without(move.ours)):
            log.warning("since", difference=difference)
        note_misplaced(move, before.without(acts.stopped_since(*data_roots(move), acts.away(move))))
    hold.remove(move.host, move.plan.every_unit)  # what the safety net has left of it: an empty directory
    return arrive(move, {})


def note_misplaced(move: Move, before: Inventory | None) -> None:
    """Nothing is started any more, but what does not run as it ran is named, and tried again if that is asked for."""
    if before is not None:
        with Engine.opened(socket_of(move.host)) as engine:
            misplaced = (replace(one, tried=False) for one in restart.misplaced(engine, before, acts.away(move)))
            found = (*move.run.amiss(), *misplaced)
            move.run.note({one.key: one for one in found}.values())


def abandon(move: Move) -> ExitCode:
    """The engine has been working on the source: only what the move has left in the configuration is taken back."""
    for step in steps_of(move.plan):
        if step.name is Phase.SWITCH:
            step.undo(move)
    release(move)
    left = STARTED_ON if was_started(move, ()) else KEPT
    left = left if move.plan.direction is Direction.FORTH else ""
    note_misplaced(move, move.before())
    conclude(move, Outcome.ROLLED_BACK, failed_in=unfinished_in(move), reason=CUT_OFF, problems=[],
             root=move.plan.first.source, left=left)  # fmt: skip
    return ExitCode.ROLLED_BACK


def unfinished_in(move: Move) -> str:
    begun = unfinished(move.run.records(), steps_of(move.plan))
    return begun[-1].name if begun else Phase.HAND_OVER


def hand_over_again(move: Move) -> ExitCode:
    """What is left to do needs the engine stopped, and that would end this container."""
    stored = move.run.plan()
    move.run.save_plan({**stored, "ours": sorted(move.ours), "front": to_json(Process.own())})
    handover.hand_over(move.host, move.systemd, move.run, move.plan)
    return ExitCode.HANDED_OVER

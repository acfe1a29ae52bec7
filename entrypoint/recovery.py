"""A run that was cut off: any later command finishes or undoes it before it does anything else.

cut off                                     is
before the hand-over                        called interrupted; its copy is used by the next attempt
before the commit point, or going back      undone
after it, engine on the new root            finished, if the engine proves what it held
anything that needs the engine stopped      handed over to a worker again
"""

import os

from entrypoint import handover
from entrypoint.copying import Copied
from entrypoint.errors import ExitCode, RelocatorError
from entrypoint.host import Host
from entrypoint.journal import Event, Journal, Outcome, Run
from entrypoint.log import Phase, log
from entrypoint.migration import forward, recover, unfinished
from entrypoint.plan import Plan
from entrypoint.standing import our_containers
from entrypoint.steps import STEPS, Move, configured, runs_on
from entrypoint.systemd import Systemd
from entrypoint.unfinished import KEPT


def load(host: Host, systemd: Systemd, run: Run) -> Move:
    """A run's move, as its plan was stored. Raises JournalError."""
    stored = run.plan()
    copied, ours = Copied.from_json(stored["copied"]), frozenset(stored["ours"])
    return Move(host, systemd, run, Plan.from_json(stored["plan"]), copied, ours | our_containers())


def settle(host: Host, systemd: Systemd, journal: Journal) -> ExitCode | None:
    """Finish or undo the last run, if it has no outcome; the lock is held, and no worker is at work.

    Returns how it ended, HANDED_OVER if a worker was needed, or nothing if there was nothing to do.
    """
    runs = journal.runs()
    if not runs or runs[-1].outcome():
        return None
    run = runs[-1]
    log.warning("unfinished", run=run.number)
    if not any(record["event"] in (Event.HANDED_OVER, Event.TOOK_OVER) for record in run.records()):
        run.append(Event.OUTCOME, outcome=Outcome.INTERRUPTED, reason="It was cut off.", left=KEPT)
        return ExitCode.INTERRUPTED
    return settle_move(load(host, systemd, run))


def settle_move(move: Move) -> ExitCode:
    records = move.run.records()
    going_back = any(record["event"] == Event.ROLLBACK for record in records)
    switched = configured(move) == move.plan.target
    if not switched and runs_on(move, move.plan.source):
        return recover(move, records)
    if switched and not going_back and runs_on(move, move.plan.target):
        try:
            verify = [step for step in STEPS if step.name is Phase.VERIFY]
            return forward(move, verify, unfinished(records, STEPS))
        except RelocatorError as error:
            log.warning("not_proven", why=error.text())
    return hand_over_again(move)


def hand_over_again(move: Move) -> ExitCode:
    """What is left to do needs the engine stopped, and that would end this container."""
    stored = move.run.plan()
    move.run.save_plan({**stored, "ours": sorted(move.ours), "front_pid": os.getpid()})
    handover.hand_over(move.host, move.systemd, move.run, move.plan)
    return ExitCode.HANDED_OVER

"""What the journal says about the last run, and its exit code; `text.py` says it to people."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from entrypoint.commands.status import present
from entrypoint.commands.status.present import Present
from entrypoint.commands.status.standing import Standing, standing
from entrypoint.commands.status.state import EXIT_CODES, State
from entrypoint.commands.status.timeline import Span, downtime, last_phase, old_root, spans
from entrypoint.console import names
from entrypoint.console.errors import ExitCode, JournalError
from entrypoint.console.events import Phase
from entrypoint.engine.inventory import counts, names_in
from entrypoint.engine.unit.service import SERVICE
from entrypoint.host.host import Host
from entrypoint.host.machine import locality
from entrypoint.host.machine.persistence import until
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.amiss import Kind
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import ARRIVED, Event, Outcome, Record, Run
from entrypoint.journal.said import said
from entrypoint.move.context import Context
from entrypoint.move.proof import intact
from entrypoint.move.roots.old_roots import frees, is_copied, old_roots
from entrypoint.move.worker import departure, handover, hold
from entrypoint.plan.plan import Direction
from entrypoint.preflight.request import Only

WAIT = 6 * 3600.0  # seconds; a final sync of a large busy root
EVERY = 0.5  # seconds between two looks
AT_WORK = (State.WORKING, State.HELD)


@dataclass(frozen=True)
class Status:
    """The last run. `containerd` is from where to where containerd's root moved along, `only` that it moved alone.

    `direction` is `back` for a run that took a move back, `adopt` for one that copied nothing; `old_root` is `kept`,
    `removed`, `being removed`, or `adopted` if nothing of it was copied, after a run that moved the engine. `downtime`
    is in seconds, from the freeze until the engine was proven, None before there is one; `left` says why an unfinished
    copy is still in the target. `verified` counts what was proven to be there again; `frees` are the bytes that the
    removal of the old root gives back, None where that is not known. `began` and `ended` are in ISO 8601, in UTC until
    `told_by` the host. `waiting` are old roots that an earlier run has left, where the last one has left none.
    `unit` is the engine's, and `engine_up` whether it runs now, None while somebody is at work.
    `gone` is what the old root knew, and nobody could bring back. `present` is what is otherwise now than that run has
    left it.
    `amiss` is what does not stand as it stood, a sentence each; `tried` are the kinds of it, each of which was tried to
    mend in its own way. `since` is when the engine was first started on the root that the run has brought it to, as
    `began` is told: what was written from then on is there alone.
    `held` is how a run stands that is held. It may be `paused`, and have another `limit` than it was begun with, which
    is empty for none.
    """

    state: State
    run: str = ""
    source: str = ""
    target: str = ""
    direction: Direction = Direction.FORTH
    old_root: str = ""
    phase: str = ""
    reason: str = ""
    problems: tuple[str, ...] = ()
    left: str = ""
    amiss: tuple[str, ...] = ()
    tried: tuple[Kind, ...] = ()
    since: str = ""
    downtime: float | None = None
    timeline: tuple[Span, ...] = ()
    verified: Mapping[str, int] = field(default_factory=dict)
    frees: int | None = None
    containerd: tuple[str, str] | None = None
    only: Only | None = None
    host: str = ""
    began: str = ""
    ended: str = ""
    waiting: tuple[str, ...] = ()
    unit: str = ""
    engine_up: bool | None = None
    gone: tuple[str, ...] = ()
    present: Present | None = None
    held: Standing | None = None
    paused: bool = False
    limit: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        return self.present.code if self.present else EXIT_CODES[self.state]

    def to_json(self) -> dict[str, Any]:
        timeline = [span.to_json() for span in self.timeline]
        return asdict(self) | {"version": 1, "exit_code": int(self.exit_code), "timeline": timeline}


def with_present(context: Context, status: Status) -> Status:
    """The same, with what others have changed since that run has ended."""
    if not status.run or status.state in AT_WORK:
        return status
    return replace(status, present=present.look(context, context.journal.run(status.run)))


def read(journal: Journal, systemd: ServiceManager) -> Status:
    """The last run's status now."""
    runs = journal.runs()
    if not runs:
        return Status(State.NONE)
    busy = systemd.is_busy(handover.UNIT) or journal.is_locked()
    found = of_run(runs[-1], busy)
    if found.unit and not busy:
        found = replace(found, engine_up=systemd.unit(found.unit).active_state in RUNNING)
    before = [one for one in runs[:-1] if one.has_arrived]
    is_back = found.direction is Direction.BACK and bool(before)
    if found.old_root == "kept" and is_back and not is_copied(Direction.BACK, _direction(before[-1])):
        return replace(found, old_root="adopted")
    return found


def _direction(run: Run) -> Direction:
    begun = next((record for record in run.records() if record["event"] == Event.BEGUN), {})
    return Direction(begun.get("direction", Direction.FORTH))


def of_run(run: Run, busy: bool) -> Status:
    records = run.records()
    begun = next((record for record in records if record["event"] == Event.BEGUN), {})
    outcome = run.outcome() or {}
    amiss = tuple(one.text for one in run.amiss())
    state, direction = _state(outcome, records, busy, amiss), _direction(run)
    names.learn(names_in(run.inventory() or {}))
    return Status(
        state=state,
        run=run.number,
        source=begun.get("source", ""),
        target=begun.get("target", ""),
        containerd=(found[0], found[1]) if (found := begun.get("containerd")) else None,
        only=Only(found) if (found := begun.get("only")) else None,
        direction=direction,
        old_root=old_root(records) if run.has_arrived else "",
        phase=outcome.get("failed_in") or last_phase(records),
        reason=outcome.get("reason", ""),
        problems=tuple(outcome.get("problems", ())),
        left=outcome.get("left", ""),
        amiss=amiss,
        tried=tuple(dict.fromkeys(one.kind for one in run.amiss() if one.tried)),
        since=locality.moment(intact.started_at(run)) if run.has_arrived else "",
        downtime=downtime(records),
        timeline=spans(records),
        verified=_counted(run, direction) if state is State.COMMITTED else {},
        frees=frees(run),
        began=locality.moment(begun.get("at")),
        ended=locality.moment(outcome.get("at")),
        unit=_unit(run),
        gone=tuple(begun.get("gone", ())),
        held=standing(run, records) if state is State.HELD else None,
        **said_of(run) if state in AT_WORK else {},
    )


def said_of(run: Run) -> dict[str, Any]:
    """What the operator has said of its pace."""
    with suppress(JournalError):
        word = said(run)
        return {"paused": word.is_paused, "limit": word.limit}
    return {}


def _unit(run: Run) -> str:
    """The engine's, as the run's plan has it; the usual one of a plan that cannot be read."""
    with suppress(JournalError, KeyError, TypeError):
        return str(run.plan()["plan"]["service"])
    return SERVICE


def _counted(run: Run, direction: Direction) -> Mapping[str, int]:
    """What was proven to be there again; of an adopted root the engine could not be asked before."""
    return {} if direction is Direction.ADOPT else counts(run.inventory("expected") or run.inventory() or {})


def _state(outcome: Record, records: list[Record], busy: bool, amiss: Sequence[str]) -> State:
    if busy:
        return State.HELD if hold.is_held(records) else State.WORKING
    if outcome.get("outcome") in ARRIVED:
        return State.MOVED if amiss else State.COMMITTED
    if outcome:
        return State(Outcome(outcome["outcome"]))
    if any((record["event"], record.get("step")) == (Event.DONE, Phase.VERIFY) for record in records):
        return State.MOVED if amiss else State.COMMITTED  # all but the last record, which a full disk may have refused
    handed_over = any(record["event"] in (Event.HANDED_OVER, Event.TOOK_OVER) for record in records)
    return State.CUT_OFF if handed_over else State.ABANDONED


def wait(journal: Journal, systemd: ServiceManager) -> Status:
    """The last run's status once nobody is at work any more, or once whoever waits has to leave with the engine."""
    while True:
        until(
            lambda: read(journal, systemd).state is not State.WORKING or departure.is_engine_going(journal),
            waiting_for="the move to end",
            seconds=WAIT,
            interval=EVERY,
        )
        if (found := read(journal, systemd)).state is not State.HELD:  # which may be for days
            return found
        time.sleep(EVERY)


def told_by(host: Host, status: Status, journal: Journal) -> Status:
    """The same with the host's name, in its local time, and with what waits for its removal there."""
    waiting: tuple[str, ...] = ()
    if status.state not in (State.NONE, *AT_WORK, State.COMMITTED, State.MOVED):
        with suppress(JournalError):  # `cleanup` tells of it
            waiting = tuple(one.path for one in old_roots(host, journal))
    zone = locality.zone(host)
    began, ended, since = (locality.there(one, zone) for one in (status.began, status.ended, status.since))
    held = status.held and status.held.told(zone)
    return replace(status, host=locality.name(host), began=began, ended=ended, since=since, waiting=waiting, held=held)

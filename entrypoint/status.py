"""What the journal says about the last run, for people and programs, and its exit code."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from entrypoint import handover
from entrypoint.engine import until
from entrypoint.errors import ExitCode, JournalError
from entrypoint.journal import Event, Journal, Outcome, Record, Run
from entrypoint.log import Phase
from entrypoint.systemd import STOPPED, Systemd
from entrypoint.unfinished import KEPT

WAIT = 6 * 3600.0  # seconds; a final sync of a large busy root


class State(StrEnum):
    NONE = "none"
    WORKING = "working"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    BROKEN = "rollback-failed"
    INTERRUPTED = "interrupted"
    CUT_OFF = "cut-off"
    ABANDONED = "abandoned"


EXIT_CODES = {
    State.NONE: ExitCode.DONE,
    State.WORKING: ExitCode.HANDED_OVER,
    State.COMMITTED: ExitCode.DONE,
    State.ROLLED_BACK: ExitCode.ROLLED_BACK,
    State.BROKEN: ExitCode.BROKEN,
    State.INTERRUPTED: ExitCode.INTERRUPTED,
    State.CUT_OFF: ExitCode.BROKEN,
    State.ABANDONED: ExitCode.INTERRUPTED,
}


@dataclass(frozen=True)
class Status:
    """The last run.

    `downtime` is in seconds, from the freeze until the engine was proven, None before there is one; `left` says why
    an unfinished copy is still in the target.
    """

    state: State
    run: str = ""
    source: str = ""
    target: str = ""
    phase: str = ""
    reason: str = ""
    problems: tuple[str, ...] = ()
    left: str = ""
    downtime: float | None = None

    @property
    def exit_code(self) -> ExitCode:
        return EXIT_CODES[self.state]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"version": 1, "exit_code": int(self.exit_code)}

    def text(self) -> str:
        """For people: what was, what is now, what to do."""
        return "\n".join(line for line in SENTENCES[self.state](self) if line)


def read(journal: Journal, systemd: Systemd) -> Status:
    """The last run's status now."""
    runs = journal.runs()
    if not runs:
        return Status(State.NONE)
    busy = systemd.unit(handover.UNIT).active_state not in STOPPED or journal.is_locked()
    return of_run(runs[-1], busy)


def of_run(run: Run, busy: bool) -> Status:
    records = run.records()
    begun = next((record for record in records if record["event"] == Event.BEGUN), {})
    outcome = run.outcome() or {}
    return Status(
        state=_state(outcome, records, busy),
        run=run.number,
        source=begun.get("source", ""),
        target=begun.get("target", ""),
        phase=outcome.get("failed_in") or _phase(records),
        reason=outcome.get("reason", ""),
        problems=tuple(outcome.get("problems", ())),
        left=outcome.get("left", ""),
        downtime=_downtime(records),
    )


def _state(outcome: Record, records: list[Record], busy: bool) -> State:
    if busy:
        return State.WORKING
    if outcome:
        return State(Outcome(outcome["outcome"]))
    if any((record["event"], record.get("step")) == (Event.DONE, Phase.VERIFY) for record in records):
        return State.COMMITTED  # all but the last record, which a full disk may have refused
    handed_over = any(record["event"] in (Event.HANDED_OVER, Event.TOOK_OVER) for record in records)
    return State.CUT_OFF if handed_over else State.ABANDONED


def _phase(records: list[Record]) -> str:
    begun = [record["step"] for record in records if record["event"] == Event.INTENT]
    return begun[-1] if begun else Phase.PRE_COPY


def _downtime(records: list[Record]) -> float | None:
    """From the freeze to when the engine was proven, on whichever root."""
    at = {(record["event"], record.get("step")): record["at"] for record in records}
    began = at.get((Event.INTENT, Phase.FREEZE))
    ended = at.get((Event.DONE, Phase.VERIFY)) or at.get((Event.UNDONE, Phase.FREEZE))
    return round(ended - began, 3) if began and ended else None


def wait(journal: Journal, systemd: Systemd) -> Status:
    """The last run's status once nobody is at work any more."""
    until(
        lambda: read(journal, systemd).state is not State.WORKING,
        waiting_for="the move to end",
        seconds=WAIT,
        interval=0.5,
        late=(JournalError,),  # read while a record is being written
    )
    return read(journal, systemd)


def _took(status: Status) -> str:
    return f"The engine was away for {status.downtime:.1f} s." if status.downtime is not None else ""


def _none(_status: Status) -> tuple[str, ...]:
    return ("No move was ever begun on this host.",)


def _working(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} is at work: {status.source} → {status.target}, {status.phase}.",
        f"Follow it with: journalctl -fu {handover.UNIT}",
    )


def _committed(status: Status) -> tuple[str, ...]:
    return (
        f"The data root was moved from {status.source} to {status.target} (run {status.run}).",
        _took(status),
        f"The old root is still in {status.source}. Remove it once you are content.",
    )


def _rolled_back(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} failed in the phase `{status.phase}` and was rolled back.",
        f"Why: {status.reason}",
        f"The engine runs on {status.source}, as before.",
        _took(status),
        f"The copy in {status.target} is still there: {status.left}" if status.left else "",
        again(status),
    )


def again(status: Status) -> str:
    """What to do next; a copy that an engine was started on is nobody's to remove but the operator's."""
    if status.left and status.left != KEPT:
        return f"Mend the cause, look at {status.target} and empty it, then run the same command again."
    return "Mend the cause and run the same command again."


def _broken(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} failed in the phase `{status.phase}`, and could not be rolled back completely.",
        f"Why: {status.reason}",
        "What could not be undone:",
        *(f"  {problem}" for problem in status.problems),
        f"Both roots are there: {status.source} (complete, as it was) and {status.target}.",
        f"The copy in {status.target}: {status.left}" if status.left else "",
        "Look at: systemctl status docker.service; journalctl -u docker.service -n 50",
        f"The engine's root is set in /etc/docker/daemon.json; it must name {status.source} or not be set if that is "
        "the default. Then: systemctl start docker",
    )


def _interrupted(status: Status) -> tuple[str, ...]:
    return (f"Run {status.run} was interrupted before the engine was stopped. Nothing was changed.",)


def _cut_off(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} was cut off in the phase `{status.phase}`.",
        "The engine was started again by the host, on the root that its configuration names.",
        f"Which one that is: docker info --format '{{{{.DockerRootDir}}}}' ({status.source} or {status.target}).",
        f"If it is {status.source}: empty {status.target} and run the same command again.",
    )


def _abandoned(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} ended without a word before the engine was stopped. The engine was not touched.",
        f"An unfinished copy is in {status.target}: empty it and run the same command again.",
    )


SENTENCES = {
    State.NONE: _none,
    State.WORKING: _working,
    State.COMMITTED: _committed,
    State.ROLLED_BACK: _rolled_back,
    State.BROKEN: _broken,
    State.INTERRUPTED: _interrupted,
    State.CUT_OFF: _cut_off,
    State.ABANDONED: _abandoned,
}

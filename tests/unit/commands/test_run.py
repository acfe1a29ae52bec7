"""An attempt that does not come to the hand-over leaves an empty target and a run with an outcome."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from entrypoint.commands import run
from entrypoint.console.errors import (
    CopyError,
    ExitCode,
    FullError,
    Interrupted,
    PreflightError,
    RelocatorError,
    SystemdError,
)
from entrypoint.copy.pace import timer
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.units import UnitState
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Run
from entrypoint.journal.unfinished import KEPT
from entrypoint.move import recovery
from entrypoint.move.context import Context
from entrypoint.move.roots import discard
from entrypoint.move.roots.renewal import is_doubtful
from entrypoint.move.worker import handover
from entrypoint.plan.plan import Plan
from entrypoint.plan.root_move import RootMove
from tests.unit.support.fakes import DEFAULT_ROOT, Calls, FakeSystemd, make_host
from tests.unit.support.world import TARGET, make_plan, snapshot, with_first


class Attempt:
    """A plan that is about to be carried out, with the real copier on a small root."""

    def __init__(self, root: Path) -> None:
        self.host: Host = make_host(root)
        self.host.path(DEFAULT_ROOT).joinpath("file").write_text("content")
        self.calls = Calls()
        self.systemd = FakeSystemd(self.host, self.calls)
        self.plan: Plan = make_plan()
        self.journal = Journal(self.host)
        self.journal.prepare()
        self.run: Run = self.journal.begin()
        self.before = snapshot(root)

    def __call__(self) -> ExitCode:
        return run.attempt(Context(self.host, self.systemd, self.journal), self.run, self.plan, lambda: self.plan)

    @property
    def outcome(self) -> dict[str, Any]:
        return self.run.outcome() or {}

    def require_untouched(self) -> None:
        assert snapshot(self.host.root) == self.before


FAILURES = (OSError(28, "No space left on device"), BrokenPipeError(), ValueError("a bug"), SystemExit(3))


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


@pytest.fixture
def _copies() -> None:
    if os.geteuid() != 0:
        pytest.skip("the copy keeps owners and trusted attributes")


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize(("number", "word"), [(28, "is full"), (30, "cannot be written")])
def test_a_target_that_cannot_be_written_is_an_error_of_the_copy(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    def pre_copy(host: Host, run: Run, plan: Plan, root: RootMove) -> None:
        raise OSError(number, os.strerror(number), "/target")

    monkeypatch.setattr(run, "pre_copy", pre_copy)
    with pytest.raises(CopyError, match=word):
        attempt()
    assert word in (attempt.run.outcome() or {})["reason"]


def test_a_good_attempt_hands_over_what_the_worker_needs(attempt: Attempt) -> None:
    assert attempt() is ExitCode.HANDED_OVER
    assert attempt.host.path(f"{TARGET}/file").read_text() == "content"
    stored = attempt.run.plan()
    assert from_json(Plan, stored["plan"]) == attempt.plan
    assert (Process(**stored["front"]), stored["copied"][0]["layers"]) == (Process.own(), [])
    assert attempt.run.outcome() is None
    assert attempt.calls.made[-1] == ("start_transient", handover.UNIT)


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize("is_set", [True, False])
def test_the_worker_is_told_of_a_clock_that_was_set_until_it_listened_itself(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, is_set: bool
) -> None:
    """The last instant at which it may be set unseen by the worker is when this returns."""

    def hand_over(*_: object) -> None:
        if is_set:
            monkeypatch.setattr(timer.Watch, "count", lambda _: 1)

    monkeypatch.setattr(handover, "hand_over", hand_over)
    assert attempt() is ExitCode.HANDED_OVER
    assert attempt.run.records()[-1]["clock_set"] is is_set
    assert is_doubtful(attempt.run) is is_set


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize("number", [1, 2], ids=["keeper", "worker"])
def test_a_unit_that_does_not_start_leaves_nothing(attempt: Attempt, number: int) -> None:
    attempt.calls.failures.add(number)
    with pytest.raises(SystemdError, match="injected"):
        attempt()
    assert attempt.outcome["outcome"] == "rolled-back"
    attempt.require_untouched()


@pytest.mark.usefixtures("_copies")
def test_a_failure_says_what_became_of_the_copy_and_the_engine(attempt: Attempt) -> None:
    attempt.calls.failures.add(1)
    with pytest.raises(SystemdError) as failed:
        attempt()
    assert failed.value.details.endswith("The engine was not stopped; the copy was removed.")


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize(
    ("failure", "kept"), [(SystemdError("injected"), True), (FullError("injected"), False), (ValueError("bug"), True)]
)
def test_a_copy_is_kept_for_another_try_unless_the_disk_is_full(
    attempt: Attempt, failure: Exception, kept: bool
) -> None:
    volume = attempt.host.path(f"{DEFAULT_ROOT}/volumes/one/_data")
    volume.mkdir(parents=True)
    volume.joinpath("file").write_text("content")

    def fail() -> None:
        raise failure

    attempt.calls.moments["start_transient"] = fail
    with pytest.raises(type(failure)) as failed:
        attempt()
    assert attempt.host.path(f"{TARGET}/volumes/one/_data/file").exists() is kept
    assert attempt.outcome["left"] == (KEPT if kept else "")
    if isinstance(failed.value, RelocatorError):
        assert ("goes on" in failed.value.details) is kept


@pytest.mark.usefixtures("_copies")
def test_an_interrupt_leaves_nothing(attempt: Attempt) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    attempt.calls.moments["reset_failed"] = interrupt
    with pytest.raises(Interrupted) as interrupted:
        attempt()
    assert int(interrupted.value.exit_code) == 130
    assert attempt.outcome["outcome"] == "interrupted"
    attempt.require_untouched()


@pytest.mark.usefixtures("_copies")
def test_a_source_that_cannot_be_copied_leaves_nothing(attempt: Attempt) -> None:
    attempt.plan = with_first(attempt.plan, source="/srv/no-such-root")
    with pytest.raises(CopyError):
        attempt()
    assert attempt.outcome["outcome"] == "rolled-back"
    attempt.require_untouched()


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize("error", FAILURES)
def test_any_failure_leaves_nothing(attempt: Attempt, error: BaseException) -> None:
    def fail() -> None:
        raise error

    attempt.calls.moments["start_transient"] = fail
    with pytest.raises(type(error)):
        attempt()
    assert (attempt.outcome["outcome"], attempt.outcome["reason"]) == ("rolled-back", repr(error))
    attempt.require_untouched()


@pytest.mark.usefixtures("_copies")
@pytest.mark.parametrize("error", [CopyError("It is busy."), OSError(16, "It is busy.")])
def test_a_copy_that_cannot_be_removed_is_told_and_hides_no_failure(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_target: Path) -> None:
        raise error

    monkeypatch.setattr(discard, "remove_copy", refuse)
    attempt.calls.failures.add(1)
    with pytest.raises(SystemdError, match="injected"):
        attempt()
    assert attempt.outcome["outcome"] == "rolled-back"
    assert "It is busy." in attempt.outcome["left"]
    assert attempt.host.path(f"{TARGET}/file").exists()


@pytest.mark.usefixtures("_copies")
def test_a_copy_that_was_removed_is_not_called_left(attempt: Attempt) -> None:
    attempt.calls.failures.add(1)
    with suppress(SystemdError):
        attempt()
    assert attempt.outcome["left"] == ""


class Interrupting(FakeSystemd):
    """The operator presses Ctrl-C when the worker has just been started."""

    def start_transient(self, name: str, properties: dict[str, tuple[str, Any]]) -> None:
        super().start_transient(name, properties)
        if name == handover.UNIT:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("_copies")
def test_an_interrupt_after_the_worker_has_started_does_not_take_its_copy(attempt: Attempt) -> None:
    attempt.systemd = Interrupting(attempt.host, attempt.calls)
    assert attempt() is ExitCode.HANDED_OVER
    assert attempt.systemd.unit(handover.UNIT).active_state is UnitState.ACTIVE
    assert attempt.host.path(f"{TARGET}/file").exists()


@pytest.mark.parametrize("state", [UnitState.ACTIVE, UnitState.ACTIVATING, UnitState.DEACTIVATING])
def test_a_worker_at_work_is_seen_under_the_lock(attempt: Attempt, state: UnitState) -> None:
    attempt.systemd.states[handover.UNIT] = state
    with pytest.raises(PreflightError, match="Another relocator"):
        recovery.require_no_worker(attempt.systemd)


@pytest.mark.parametrize("state", [UnitState.INACTIVE, UnitState.FAILED])
def test_a_worker_that_has_ended_is_in_nobodys_way(attempt: Attempt, state: UnitState) -> None:
    attempt.systemd.states[handover.UNIT] = state
    recovery.require_no_worker(attempt.systemd)


def test_a_look_beside_a_run_at_work_is_refused(attempt: Attempt) -> None:
    journal = Journal(attempt.host)
    with journal.locked(), pytest.raises(PreflightError, match="Another relocator"):
        recovery.require_nobody(attempt.systemd, Journal(attempt.host))
    recovery.require_nobody(attempt.systemd, journal)
    attempt.systemd.states[handover.UNIT] = UnitState.ACTIVE
    with pytest.raises(PreflightError, match="Another relocator"):
        recovery.require_nobody(attempt.systemd, journal)

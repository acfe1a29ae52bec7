"""Whatever fails, wherever it fails: everything begun is undone in reverse, and one failed undo stops no other."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console.errors import CopyError, ExitCode, FullError, JournalError, SystemdError
from entrypoint.console.events import Phase
from entrypoint.copy import size_limits
from entrypoint.host.machine.processes import Process
from entrypoint.journal.record import Event, Run
from entrypoint.journal.unfinished import KEPT, LOST, Unfinished
from entrypoint.move.context import Move
from entrypoint.move.roots import discard
from entrypoint.move.steps import STEPS, Step
from entrypoint.move.worker import arrival, worker
from tests.unit.move.dying.test_crash_points import Deadly, Killed, safety_net
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world

NAMES = [step.name for step in STEPS]
# The calls of a good move, by number (test_steps_order.py); the fifth, reset_failed, never raises, and the last only
# tidies what is proven. The start is tried three times, and the proof five times.
FAILING_CALLS = {0: "freeze", 1: "freeze", 2: "freeze", 3: "final sync", 4: "switch", 6: "start", 7: "verify"}
AFTER_GUARD = ("switch", "start", "verify")
TRIED_AGAIN = {6: {6, 8, 10}, 7: {7, 8, 9, 10, 11}}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch).serving_nobody()


@dataclass(frozen=True)
class Failing:
    """A step that fails, before it has done anything or after it has done everything."""

    real: Step
    error: BaseException
    after: bool

    @property
    def name(self) -> Phase:
        return self.real.name

    @name.setter
    def name(self, _name: Phase) -> None:
        raise AttributeError("name")

    def apply(self, move: Move) -> None:
        if self.after:
            self.real.apply(move)
        raise self.error

    def undo(self, move: Move) -> None:
        self.real.undo(move)


def failing_in(name: str, error: BaseException, *, after: bool = False) -> list[Step]:
    return [Failing(step, error, after) if step.name == name else step for step in STEPS]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error", [CopyError("injected"), ValueError("a bug"), OSError(28, "No space"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_fails_is_rolled_back(world: World, name: str, error: BaseException, after: bool) -> None:
    assert world.work(failing_in(name, error, after=after)) is ExitCode.ROLLED_BACK
    assert world.outcome["outcome"] == "rolled-back"
    assert world.outcome["failed_in"] == name
    begun = NAMES[: NAMES.index(Phase(name)) + 1]
    assert begun == world.events("intent")
    assert begun[:-1] == world.events("done")
    assert begun[::-1] == world.events("undone")
    world.require_untouched()


@pytest.mark.parametrize(("number", "name"), FAILING_CALLS.items())
def test_a_call_that_fails_is_rolled_back(world: World, number: int, name: str) -> None:
    world.calls.failures |= TRIED_AGAIN.get(number, {number})
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == name
    assert world.outcome["reason"].startswith("injected")
    assert world.outcome["problems"] == []
    world.require_untouched()
    assert {box.container.status for box in world.daemon.boxes.values()} == {"running"}


def two_failures(root: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> Iterator[tuple[World, tuple[str, ...]]]:
    """One world for each call of the rollback after `first` failed, in which that call fails too."""
    failures = TRIED_AGAIN.get(first, {first})
    alone = make_world(root / "alone", monkeypatch).serving_nobody()
    alone.calls.failures |= failures
    alone.work()
    for second in range(max(failures) + 1, len(alone.calls.made)):
        call = alone.calls.made[second]
        is_last = second == len(alone.calls.made) - 1 and alone.events("intent")[-1] in AFTER_GUARD
        # a container that does not start fails nothing, nor does what only tidies up the guard in the end
        if call[0] not in ("reset_failed", "engine.start") and not is_last:
            world = make_world(root / str(second), monkeypatch).serving_nobody()
            world.calls.failures |= failures | {second}
            world.calls.lasting = second
            yield world, call


@pytest.mark.parametrize("first", FAILING_CALLS)
def test_an_undo_that_fails_too_is_told_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    for world, call in two_failures(tmp_path, monkeypatch, first):
        assert world.work() is ExitCode.BROKEN, call
        assert world.outcome["outcome"] == "rollback-failed"
        assert world.outcome["reason"].startswith("injected")
        problems = world.outcome["problems"]
        assert problems
        undone, begun = world.events("undone"), world.events("intent")
        assert undone == [name for name in reversed(begun) if not any(one.startswith(f"{name}: ") for one in problems)]
        stays = (
            call[0] == "stop" and first > 6
        )  # then the engine is on the new root, and the files must go on saying so
        assert world.path(CONFIG).read_bytes() == (world.move.plan.first.switch.after if stays else CONTENT)
        assert world.path(DROP_IN).exists() is stays
        assert world.path(TARGET).is_dir()  # nothing more is removed from a host in such a state
        was_stopped = first > 2
        assert world.daemon.up is not (was_stopped and call[0] == "start"), call


def test_a_copy_is_only_called_started_on_if_the_engines_program_ran(world: World) -> None:
    """A unit may refuse before: its `ExecStartPre=`, or a condition."""
    world.calls.failures |= TRIED_AGAIN[6]
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["failed_in"], world.outcome["left"]) == ("start", arrival.NOT_RUN)


def test_a_copy_that_an_engine_ran_on_is_called_so(world: World) -> None:
    world.unproven()
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["left"] == arrival.STARTED_ON


def test_an_interrupt_is_rolled_back_and_told(world: World) -> None:
    world.work(failing_in("switch", KeyboardInterrupt(), after=True))
    assert world.outcome["reason"] == arrival.STOPPED_BY_SIGNAL


def test_a_unit_that_something_starts_again_is_rolled_back(world: World) -> None:
    world.systemd.comes_back = True
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["reason"].startswith("docker.socket was stopped and is active.")
    world.require_untouched()


def test_a_container_that_never_leaves_ends_the_move_before_anything_was_done(world: World) -> None:
    assert world.work(front=Process.own()) is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "hand-over"
    assert world.calls.made == []
    world.require_untouched()


def test_a_container_that_would_not_start_again_ends_the_move_before_the_engine_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has reached its limit of size during the copy."""
    monkeypatch.setattr(size_limits, "without_room", lambda root, containers: ("db",))
    assert world.work(STEPS) is ExitCode.ROLLED_BACK
    assert (world.outcome["failed_in"], world.events("done")) == ("freeze", [])
    assert [call for call in world.calls.made if "stop" in call[0]] == []
    world.require_untouched()


def test_our_own_container_is_waited_for_and_not_missed(world: World) -> None:
    world.daemon.add("front", auto_remove=True)
    assert replace(world, move=replace(world.move, ours=frozenset({"front"}))).work() is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "hand-over"
    assert world.calls.made == []


def test_a_configuration_keeps_its_mode_through_a_rollback(world: World) -> None:
    world.path(CONFIG).chmod(0o640)
    world.unproven()
    world.work()
    assert oct(world.path(CONFIG).stat().st_mode) == "0o100640"


def test_a_copy_that_cannot_be_removed_does_not_hide_the_rollback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_target: Path) -> None:
        raise OSError(16, "It is busy.")

    monkeypatch.setattr(discard, "remove_copy", refuse)
    world.calls.failures.add(3)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["outcome"] == "rolled-back"
    assert "It is busy." in world.outcome["left"]


def test_a_copy_that_is_gone_is_told(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: shutil.rmtree(world.path(TARGET))
    world.calls.failures.add(3)
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["outcome"], world.outcome["left"]) == ("rolled-back", LOST)


def test_what_does_not_call_itself_an_unfinished_copy_is_not_removed(world: World) -> None:
    Unfinished.end(world.path(TARGET))
    world.calls.failures.add(3)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.path(f"{TARGET}/early").exists()
    assert "does not say of itself" in world.outcome["left"]


def test_a_copy_that_was_removed_is_not_called_left(world: World) -> None:
    world.calls.failures.add(3)
    world.work()
    assert world.outcome["left"] == ""


def come_some_way(world: World) -> None:
    """The pre-copy has written down what is on the disk."""
    target = world.path(TARGET)
    replace(Unfinished.begun(DEFAULT_ROOT, "ID"), shards=("volumes/v",)).write(target)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error", [CopyError("injected"), SystemdError("injected"), ValueError("a bug"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize("name", NAMES[:4])
def test_a_copy_that_no_engine_was_started_on_is_kept(
    world: World, name: str, error: BaseException, after: bool
) -> None:
    come_some_way(world)
    assert world.work(failing_in(name, error, after=after)) is ExitCode.ROLLED_BACK
    assert world.outcome["left"] == KEPT
    assert Unfinished.marks(world.path(TARGET), DEFAULT_ROOT, "ID")
    assert world.path(f"{TARGET}/early").exists()


@pytest.mark.parametrize("error", [FullError("injected"), OSError(28, "No space"), OSError(122, "Quota")], ids=repr)
@pytest.mark.parametrize("name", NAMES[:4])
def test_a_copy_on_a_full_disk_is_removed(world: World, name: str, error: Exception) -> None:
    come_some_way(world)
    assert world.work(failing_in(name, error)) is ExitCode.ROLLED_BACK
    assert world.outcome["left"] == ""
    world.require_untouched()


def test_a_copy_is_removed_from_a_disk_that_is_full_whatever_has_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_some_way(world)
    monkeypatch.setattr(discard, "LEAST", 1 << 62)
    assert world.work(failing_in("check the copy", JournalError("It cannot be written."))) is ExitCode.ROLLED_BACK
    world.require_untouched()


@pytest.mark.parametrize(("error", "kept"), [(CopyError("injected"), True), (FullError("injected"), False)])
@pytest.mark.parametrize("point", ["switch.undone", "freeze.undo"])
def test_who_takes_over_on_the_way_back_does_with_the_copy_what_was_decided(
    world: World, point: str, error: Exception, kept: bool
) -> None:
    come_some_way(world)
    with pytest.MonkeyPatch.context() as patch:
        Deadly(point=point).install(patch, world)
        with pytest.raises(Killed):
            world.work(failing_in("switch", error, after=True))
    safety_net(world)
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["reason"], world.outcome["left"]) == ("injected", KEPT if kept else "")
    assert world.path(f"{TARGET}/early").exists() is kept


def test_a_copy_that_the_engine_is_on_is_not_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "runs_on", lambda _move, _root: False)
    world.calls.failures.add(3)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.path(f"{TARGET}/early").exists()
    assert world.outcome["left"] == "the engine does not run on the old root"


@pytest.mark.parametrize(
    "failing", [(), (6, 8, 10), (6, 8, 10, 11)], ids=["committed", "rolled back", "not rolled back"]
)
def test_nobody_else_gets_the_lock_before_the_outcome_is_written(world: World, failing: tuple[int, ...]) -> None:
    free: list[str] = []
    append = Run.append

    def watched(run: Run, event: Event, **facts: Any) -> None:
        if not world.journal.is_locked():
            free.append(event)
        append(run, event, **facts)

    world.calls.failures |= set(failing)
    world.calls.lasting = 11
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "append", watched)
        world.work()
    assert free == ["took-over"]
    assert not world.journal.is_locked()


def test_a_record_that_cannot_be_written_makes_nothing_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Run.append

    def full(run: Run, event: Event, **facts: Any) -> None:
        if event == Event.UNDONE:
            raise JournalError("The journal cannot be written.")
        append(run, event, **facts)

    monkeypatch.setattr(Run, "append", full)
    world.calls.failures |= TRIED_AGAIN[6]
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["problems"], world.events("undone")) == ([], [])
    world.require_untouched()

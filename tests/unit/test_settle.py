"""A run that was cut off is finished or undone by the next command, or handed over again."""

from pathlib import Path
from typing import Any

import pytest

from entrypoint import handover, recovery
from entrypoint.errors import ExitCode
from entrypoint.journal import Event, Outcome
from entrypoint.steps import Move
from entrypoint.unfinished import KEPT, NAME
from tests.unit.fakes import DEFAULT_ROOT
from tests.unit.test_crash_points import Deadly, Killed, safety_net
from tests.unit.world import TARGET, World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = make_world(tmp_path, monkeypatch)
    facts: dict[str, Any] = {"plan": made.move.plan.to_json(), "copied": made.move.copied.to_json()}
    made.move.run.save_plan({**facts, "ours": [], "front_pid": 1})
    monkeypatch.setattr(recovery, "our_containers", frozenset)
    return made


def settle(world: World) -> ExitCode | None:
    return recovery.settle(world.host, world.systemd, world.journal)


def cut_off_at(world: World, point: str) -> None:
    """The worker dies there, and the safety net does what it does."""
    with pytest.MonkeyPatch.context() as patch:
        deadly = Deadly(point=point)
        deadly.install(patch, world)
        with pytest.raises(Killed):
            world.work()
    safety_net(world)


def test_without_a_run_there_is_nothing_to_settle(world: World) -> None:
    world.move.run.place.joinpath("plan.json").unlink()
    world.move.run.place.rmdir()
    assert settle(world) is None


def test_a_run_that_has_ended_is_left_alone(world: World) -> None:
    world.work()
    calls = list(world.calls.made)
    assert settle(world) is None
    assert world.calls.made == calls


def test_a_run_cut_off_before_the_hand_over_is_called_interrupted_and_keeps_its_copy(world: World) -> None:
    world.move.run.append(Event.BEGUN)
    assert settle(world) is ExitCode.INTERRUPTED
    assert (world.outcome["outcome"], world.outcome["left"]) == (Outcome.INTERRUPTED, KEPT)
    assert world.path(f"{TARGET}/{NAME}").exists()
    assert world.calls.made == []
    assert settle(world) is None


@pytest.mark.parametrize("point", ["freeze.intent", "freeze.stopped", "final sync.copied", "switch.ordered"])
def test_a_run_cut_off_before_the_commit_point_is_undone_and_keeps_its_copy(world: World, point: str) -> None:
    cut_off_at(world, point)
    assert settle(world) is ExitCode.ROLLED_BACK
    assert (world.outcome["outcome"], world.outcome["left"]) == (Outcome.ROLLED_BACK, KEPT)
    assert world.path(f"{TARGET}/{NAME}").exists()
    assert (world.daemon.up, world.daemon.root) == (True, DEFAULT_ROOT)


@pytest.mark.parametrize("point", ["start.lifted", "start.recorded", "verify.proven"])
def test_a_run_cut_off_after_the_commit_point_is_finished(world: World, point: str) -> None:
    cut_off_at(world, point)
    assert settle(world) is ExitCode.DONE
    assert world.outcome["outcome"] == Outcome.COMMITTED
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)


@pytest.mark.parametrize("point", ["switch.written", "switch.recorded", "start.intended"])
def test_a_data_root_that_an_engine_runs_on_is_not_taken_for_a_copy(world: World, point: str) -> None:
    cut_off_at(world, point)
    assert settle(world) is ExitCode.DONE
    assert not world.path(f"{TARGET}/{NAME}").exists()


def test_an_engine_that_does_not_prove_what_it_held_is_handed_over_again(world: World) -> None:
    world.daemon.forgets_images_on = TARGET
    cut_off_at(world, "switch.recorded")
    handed: list[Move] = []

    def hand_over_again(move: Move) -> ExitCode:
        handed.append(move)
        return ExitCode.HANDED_OVER

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "hand_over_again", hand_over_again)
        assert settle(world) is ExitCode.HANDED_OVER
    assert [move.run for move in handed] == [world.move.run]
    assert world.outcome == {}


def test_an_engine_that_is_down_is_handed_over_again(world: World) -> None:
    cut_off_at(world, "freeze.stopped")
    world.systemd.stop(world.move.plan.units)
    assert settle(world) is ExitCode.HANDED_OVER
    assert handover.UNIT in world.systemd.properties
    assert world.outcome == {}

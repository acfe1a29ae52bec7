"""A run that was cut off is finished or undone by the next command, or handed over again."""

from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import of_run
from entrypoint.console.errors import ExitCode, JournalError
from entrypoint.engine.inventory import Status
from entrypoint.host.disks.stored import to_json
from entrypoint.journal.record import Event, Outcome
from entrypoint.journal.unfinished import KEPT, NAME
from entrypoint.move import recovery
from entrypoint.move.context import Move
from entrypoint.move.steps import STEPS
from entrypoint.move.worker import handover
from tests.unit.move.dying.test_crash_points import Deadly, Failing, Killed, safety_net
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, SERVICE
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world, save_for_a_worker


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return save_for_a_worker(make_world(tmp_path, monkeypatch), monkeypatch)


def settle(world: World) -> ExitCode | None:
    return recovery.settle(world.context)


def cut_off_at(world: World, point: str) -> None:
    """The worker dies there, and the safety net does what it does."""
    with pytest.MonkeyPatch.context() as patch:
        deadly = Deadly(point=point)
        deadly.install(patch, world)
        with pytest.raises(Killed):
            world.work()
    safety_net(world)


def test_without_a_run_there_is_nothing_to_settle(world: World) -> None:
    rmtree(world.move.run.place)
    assert settle(world) is None
    assert recovery.unsettled(world.journal) == ""


def test_a_run_that_has_ended_is_left_alone(world: World) -> None:
    assert recovery.unsettled(world.journal) == world.move.run.number
    world.work()
    assert recovery.unsettled(world.journal) == ""
    calls = list(world.calls.made)
    assert settle(world) is None
    assert world.calls.made == calls


def test_a_run_cut_off_before_the_hand_over_is_called_interrupted_and_keeps_its_copy(world: World) -> None:
    world.move.run.file.unlink()
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


def lose_an_image(world: World) -> None:
    """The engine does not tell of an image that is on its disk."""
    place = world.path(f"{DEFAULT_ROOT}/image/overlay2/imagedb/content/sha256/1")
    place.parent.mkdir(parents=True)
    place.touch()
    world.daemon.forgets_images_on = TARGET
    cut_off_at(world, "switch.recorded")


def test_an_engine_that_does_not_prove_what_it_held_is_handed_over_again(world: World) -> None:
    world.serving_nobody()
    lose_an_image(world)
    handed: list[Move] = []

    def hand_over_again(move: Move) -> ExitCode:
        handed.append(move)
        return ExitCode.HANDED_OVER

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "hand_over_again", hand_over_again)
        assert recovery.settle(world.context, stops=False) is None
        assert handed == []
        assert settle(world) is ExitCode.HANDED_OVER
    assert [move.run for move in handed] == [world.move.run]
    assert world.outcome == {}


def test_an_engine_that_does_not_prove_what_it_held_stays_where_clients_have_written(world: World) -> None:
    lose_an_image(world)
    calls = len(world.calls.made)
    assert recovery.settle(world.context, stops=False) is ExitCode.AMISS
    assert world.outcome["outcome"] == Outcome.MOVED
    assert [one.text for one in world.move.run.amiss()] == ["image sha256:1 (app:1) is missing"]
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)
    assert not [call for call in world.calls.made[calls:] if call[0] == "stop"]


def test_what_others_have_removed_since_a_power_cut_is_no_loss(world: World) -> None:
    cut_off_at(world, "start.recorded")
    world.daemon.remove("no")
    world.daemon.act("container", "destroy", "no")
    assert recovery.settle(world.context, stops=False) is ExitCode.DONE
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)


def test_a_way_back_that_failed_is_settled_once_somebody_has_started_the_engine(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: world.systemd.unwilling.add(SERVICE)
    assert world.work([one if one.name != "switch" else Failing(one) for one in STEPS]) is ExitCode.BROKEN
    assert settle(world) is None
    assert of_run(world.move.run, busy=False).exit_code is ExitCode.BROKEN  # it is down
    world.systemd.unwilling.clear()
    world.systemd.start(world.move.plan.started)
    assert recovery.settle(world.context, stops=False) is None
    found = of_run(world.move.run, busy=False)
    assert (found.state, found.problems, found.exit_code) == (State.ROLLED_BACK, (), ExitCode.ROLLED_BACK)
    assert (world.daemon.up, world.daemon.root) == (True, DEFAULT_ROOT)
    assert {box.container.status for box in world.daemon.boxes.values()} == {"running"}


def test_what_did_not_stand_is_tried_again_until_it_is_well(world: World) -> None:
    box = world.daemon.add("broken", starts=False, code_at_stop=1)
    facts: dict[str, Any] = {"plan": to_json(world.move.plan), "copied": to_json(world.move.copied)}
    world.move.run.save_plan({**facts, "ours": [], "front_pid": 1})
    assert world.work() is ExitCode.AMISS
    assert settle(world) is None
    assert of_run(world.move.run, busy=False).exit_code is ExitCode.AMISS
    box.starts = True
    assert settle(world) is None
    assert world.daemon.status("broken") is Status.RUNNING
    found = of_run(world.move.run, busy=False)
    assert (found.state, found.amiss, found.exit_code) == (State.COMMITTED, (), ExitCode.DONE)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A week goes by between a death and the next command."""
    monkeypatch.setattr(recovery, "LONG_AGO", 0.0)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("point", ["switch.written", "start.recorded", "verify.proven", "verify.recorded"])
def test_an_engine_that_has_worked_on_the_target_for_a_week_is_not_taken_back(world: World, point: str) -> None:
    """Somebody has removed a container and pulled an image since: that is no failure of the move."""
    cut_off_at(world, point)
    world.daemon.remove("no")
    world.daemon.images = {"sha256:2": "app:1"}
    calls = len(world.calls.made)
    assert settle(world) is ExitCode.DONE
    assert world.outcome["outcome"] == Outcome.COMMITTED
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)
    assert not world.path(f"{TARGET}/{NAME}").exists()
    assert [call[0] for call in world.calls.made[calls:]] == ["engine.inventory", "reload"]  # the guard is taken away


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("point", ["freeze.held", "final sync.copied", "switch.ordered"])
def test_an_engine_that_has_worked_on_the_source_for_a_week_is_left_alone(world: World, point: str) -> None:
    cut_off_at(world, point)
    world.daemon.remove("no")
    world.daemon.set_status("always", Status.EXITED)
    assert settle(world) is ExitCode.ROLLED_BACK
    assert (world.outcome["outcome"], world.outcome["left"]) == (Outcome.ROLLED_BACK, KEPT)
    assert (world.daemon.up, world.daemon.root) == (True, DEFAULT_ROOT)
    assert world.daemon.status("always") is Status.EXITED
    assert not world.path(DROP_IN).exists()
    assert world.path(CONFIG).read_bytes() == CONTENT


def test_an_engine_whose_proof_is_recorded_is_not_asked_again(world: World) -> None:
    cut_off_at(world, "verify.recorded")
    world.daemon.remove("no")
    assert settle(world) is ExitCode.DONE
    assert world.daemon.root == TARGET


def test_a_plan_of_another_shape_is_told(world: World) -> None:
    cut_off_at(world, "switch.recorded")
    stored = world.move.run.plan()
    del stored["plan"]["direction"]
    world.move.run.save_plan(stored)
    with pytest.raises(JournalError, match="plan of another version"):
        settle(world)


def test_an_engine_that_is_down_is_handed_over_again(world: World) -> None:
    cut_off_at(world, "freeze.stopped")
    world.systemd.stop(world.move.plan.units)
    assert settle(world) is ExitCode.HANDED_OVER
    assert handover.UNIT in world.systemd.properties
    assert world.outcome == {}

"""A node that waits for its key after each restart; one of several managers, never returned to an older state."""

from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from entrypoint.commands.status import text
from entrypoint.commands.status.state import State as Said
from entrypoint.commands.status.status import of_run
from entrypoint.console.errors import CopyError, ExitCode
from entrypoint.engine.inventory import Status
from entrypoint.engine.swarm import Swarm, took_part
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.plan.plan import Plan
from tests.unit.support.fakes import DEFAULT_ROOT
from tests.unit.support.world import TARGET, World, make_world

NODE = Swarm("active", "N", is_manager=True, managers=3, nodes=3, reachable=3)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch)
    world.daemon.swarm = NODE
    return world


def unlocked(world: World) -> None:
    world.daemon.swarm = NODE


def test_a_locked_node_waits_for_its_key_while_everything_else_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.waiting(unlocking=30.0)
    world.daemon.locks = True
    ran: list[Status] = []

    def unlock() -> None:
        ran.append(world.daemon.status("no"))
        unlocked(world)

    world.calls.moments["engine.start"] = lambda: Timer(0.5, unlock).start()
    assert world.work() is ExitCode.DONE
    assert ran == [Status.RUNNING]


def test_a_key_that_never_comes_is_no_reason_to_go_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old root would be locked too."""
    world.waiting(unlocking=0.2)
    world.daemon.locks = True
    assert world.work() is ExitCode.DONE
    assert world.daemon.root == TARGET


def test_another_node_than_before_is_not_taken_for_it(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: setattr(world.daemon, "swarm", replace(NODE, node="M"))
    assert world.serving_nobody().work() is not ExitCode.DONE
    assert "the node's id in the swarm was 'N' and is 'M'" in world.outcome["reason"]


def one_of_managers(world: World) -> World:
    state = world.host.path(f"{DEFAULT_ROOT}/swarm/raft")
    state.mkdir(parents=True)
    (state / "log").write_text("1")
    return replace(world, move=replace(world.move, plan=replace(world.move.plan, one_of_managers=True)))


def take_part(world: World) -> None:
    world.host.path(f"{TARGET}/swarm/raft/log").write_text("1 2")


def fail_in_the_end(world: World) -> None:
    """The engine comes up on the target, but misses something there, and no container has run."""
    world.unproven()


def partaking(world: World) -> None:
    """The node is at work in its swarm as soon as its engine is up on the target."""
    world.calls.moments["engine.inventory"] = lambda: world.calls.moments.update(
        {"engine.inventory": lambda: take_part(world)}
    )


def test_a_manager_that_was_at_work_on_the_new_root_stays_there(world: World) -> None:
    world = one_of_managers(world)
    fail_in_the_end(world)
    partaking(world)
    assert world.work() is ExitCode.AMISS
    assert world.daemon.up
    assert world.daemon.root == TARGET
    status = of_run(world.move.run, busy=False)
    assert (status.state, status.exit_code) == (Said.MOVED, ExitCode.AMISS)
    assert "image sha256:1" in text.text(status)
    assert not list(world.host.path("/run/relocator").glob("hold"))


def test_a_manager_that_never_was_at_work_there_is_taken_back(world: World) -> None:
    world = one_of_managers(world)
    fail_in_the_end(world)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.daemon.root == DEFAULT_ROOT


def test_a_node_alone_is_taken_back_whatever_it_did(world: World) -> None:
    world = one_of_managers(world)
    world = replace(world, move=replace(world.move, plan=replace(world.move.plan, one_of_managers=False)))
    fail_in_the_end(world)
    partaking(world)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.daemon.root == DEFAULT_ROOT


def test_a_manager_whose_engine_is_down_is_started_where_it_stays(world: World) -> None:
    world = one_of_managers(world).serving_nobody()

    def crash() -> None:
        take_part(world)
        world.systemd.stop([world.move.plan.service])
        raise CopyError("injected")

    world.calls.moments["engine.inventory"] = lambda: world.calls.moments.update({"engine.inventory": crash})
    assert world.work() is ExitCode.DONE
    assert world.daemon.up
    assert world.daemon.root == TARGET


def test_what_a_root_knows_of_the_swarm_is_compared_by_content(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert not took_part(old, new)
    for root in (old, new):
        (root / "swarm/raft").mkdir(parents=True)
        (root / "swarm/raft/log").write_text("1")
    assert not took_part(old, new)
    (new / "swarm/raft/log").write_text("2")
    assert took_part(old, new)
    (new / "swarm/raft/log").write_text("1")
    (new / "swarm/raft/snapshot").touch()
    assert took_part(old, new)


def test_a_plan_of_before_is_of_no_manager(world: World) -> None:
    stored = to_json(world.move.plan)
    del stored["one_of_managers"]
    assert from_json(Plan, stored).one_of_managers is False

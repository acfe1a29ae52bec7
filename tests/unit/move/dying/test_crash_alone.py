"""Killed at any instant, a move of containerd's root alone ends on one of its roots, and the data root is what it was.

As `test_crash_pairs.py` does it for both.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, RelocatorError, RollbackError
from entrypoint.console.events import Phase
from entrypoint.host.services import hold
from entrypoint.host.services.units import UnitState
from entrypoint.move import safety_net as net
from entrypoint.move.location import runs_on
from entrypoint.move.steps import Switch
from entrypoint.move.switch import guard
from tests.unit.move.dying.test_crash_pairs import boot, lift
from tests.unit.move.dying.test_crash_points import (
    TURNED,
    require_the_cause,
    start_again,
    steps_failing_in,
    work_until_killed,
)
from tests.unit.support.fakes import CONFIG, CONTAINERD, CONTAINERD_CONFIG, CONTAINERD_ROOT, DEFAULT_ROOT, SERVICE
from tests.unit.support.world import CONTAINERD_CONTENT, CONTAINERD_TARGET, CONTENT, World, make_world_alone


def safety_net(world: World) -> None:
    """What the unit's ExecStopPost= lines do; there is no pair to look at."""
    lift(world)
    world.systemd.start([CONTAINERD])
    world.systemd.start(world.move.plan.started)


def require_one(world: World, code: ExitCode) -> None:
    """The old root or the new one; the engine was started on no other, nor was the data root's file touched."""
    new = code is ExitCode.DONE
    plan, daemon = world.move.plan, world.daemon
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    assert world.outcome["root"] == (CONTAINERD_TARGET if new else CONTAINERD_ROOT)
    assert daemon.containerd is not None
    assert (daemon.root, daemon.containerd.root) == (DEFAULT_ROOT, CONTAINERD_TARGET if new else CONTAINERD_ROOT)
    assert world.path(CONFIG).read_bytes() == CONTENT
    assert world.path(CONTAINERD_CONFIG).read_bytes() == (plan.first.switch.after if new else CONTAINERD_CONTENT)
    assert {world.path(edit.path).exists() for edit in plan.orderings} == {new}
    [names] = plan.follow
    assert world.path(names.path).read_bytes() == (names.after if new else names.before)
    assert not any(world.path(guard.drop_in(unit)).exists() for unit in (CONTAINERD, SERVICE))
    assert not any(world.path(hold.drop_in(unit)).exists() for unit in plan.every_unit)
    assert {box.container.status for name, box in daemon.boxes.items() if name != "no"} == {"running"}
    assert {place.name for place in world.path(DEFAULT_ROOT).iterdir()} == {"early", "late"}
    if new:
        assert "late" in {place.name for place in world.path(CONTAINERD_TARGET).iterdir()}


@pytest.mark.parametrize("after", [safety_net, boot])
@pytest.mark.parametrize("failing", [None, Phase.SWITCH, Phase.VERIFY])
def test_killed_at_any_point_it_ends_on_one_root(
    tmp_path: Path, failing: Phase | None, after: Callable[[World], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        points = work_until_killed(make_world_alone(tmp_path / "all", patch), failing).passed
    assert "switch.written" in points
    assert "switch.paired" not in points
    turned = points.index(TURNED) if TURNED in points else len(points)
    faults: dict[str, str] = {}
    for number, point in enumerate(points):
        with pytest.MonkeyPatch.context() as patch:
            world = make_world_alone(tmp_path / str(number), patch)
            assert work_until_killed(world, failing, number).passed == points[: number + 1]
            try:
                after(world)
                require_one(world, start_again(world, failing))
                if number >= turned:
                    require_the_cause(world, failing)
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:300]
    assert faults == {}


def test_the_guard_follows_no_pair_and_the_net_puts_back_what_was_written(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        world = make_world_alone(tmp_path, patch)
        folder = world.move.run.place / "back"
        assert "put " not in (folder / guard.SCRIPT_NAME).read_text().partition("is_root()")[2]
        assert [name for name, _ in net.kept(world.move.plan)] == [
            "switch", "ordering", "containerd-ordering", "listening", "containerd-0"
        ]  # fmt: skip
        assert f"starts the engine on {CONTAINERD_ROOT}" in (folder / "back.sh").read_text()


def test_it_is_containerd_that_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    places = (CONTAINERD_ROOT, CONTAINERD_TARGET, DEFAULT_ROOT)
    assert [runs_on(world.move, root) for root in places] == [True, False, False]
    world.systemd.states[CONTAINERD] = UnitState.INACTIVE
    assert not runs_on(world.move, CONTAINERD_ROOT)


def test_one_that_cannot_be_stopped_keeps_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back under a containerd that works on the new root, it would be another root at its next start."""
    world = make_world_alone(tmp_path, monkeypatch)
    plan, containerd = world.move.plan, world.daemon.containerd
    assert containerd is not None
    world.path(CONTAINERD_CONFIG).write_bytes(plan.first.switch.after or b"")
    containerd.root = CONTAINERD_TARGET
    with pytest.raises(RollbackError, match=CONTAINERD_TARGET):
        Switch().undo(world.move)
    assert world.path(CONTAINERD_CONFIG).read_bytes() == plan.first.switch.after


def test_a_copy_that_nothing_was_started_on_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    assert world.work(steps_failing_in(Phase.SWITCH)) is ExitCode.ROLLED_BACK
    assert (world.outcome["left"], world.outcome["root"]) == ("", CONTAINERD_ROOT)
    assert not world.path(CONTAINERD_TARGET).exists()

"""Killed at any instant, a move of two roots ends on one pair of them, and the engine is never started on another.

As `test_crash_points.py` does it for one. What starts the engine after the death is the safety net, or a boot of the
host; the script that keeps the pair together is the real one, run by the real shell.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, RelocatorError
from entrypoint.console.events import Phase
from entrypoint.host.services import hold
from entrypoint.journal import finished
from entrypoint.move import safety_net as net
from entrypoint.move.switch import guard
from tests.unit.move.dying.test_crash_points import (
    TURNED,
    require_the_cause,
    start_again,
    work_until_killed,
)
from tests.unit.support.fakes import (
    CONFIG,
    CONTAINERD,
    CONTAINERD_CONFIG,
    CONTAINERD_ROOT,
    DEFAULT_ROOT,
    SERVICE,
    SOCKET,
)
from tests.unit.support.world import (
    CONTAINERD_CONTENT,
    CONTAINERD_TARGET,
    CONTENT,
    TARGET,
    World,
    image_store_of,
    make_world_of_two,
)

OLD, NEW = (DEFAULT_ROOT, CONTAINERD_ROOT), (TARGET, CONTAINERD_TARGET)


def safety_net(world: World) -> None:
    """What the unit's ExecStopPost= lines do, in their order."""
    world.systemd.run_script(f"{net.place_of(world.move.run)}/{guard.SCRIPT_NAME}")
    lift(world)
    world.systemd.start([CONTAINERD])
    world.systemd.start([SOCKET, SERVICE])


def boot(world: World) -> None:
    """A power cut, and the boot after it: nothing of /run is left, and everything was down."""
    if world.daemon.up:
        world.daemon.stop()
    assert world.daemon.containerd is not None
    world.daemon.containerd.root = ""
    lift(world)
    world.systemd.start([CONTAINERD])
    world.systemd.start([SOCKET, SERVICE])


def lift(world: World) -> None:
    hold.lift(world.host)
    hold.remove(world.host, world.move.plan.every_unit)


def require_pair(world: World, code: ExitCode) -> None:
    """All of the old, or all of the new; and no start of the engine was on anything else."""
    new = code is ExitCode.DONE
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    assert world.daemon.containerd is not None
    assert (world.daemon.root, world.daemon.containerd.root) == (NEW if new else OLD)
    assert set(world.daemon.containerd.pairs) <= {OLD, NEW}
    root, service = image_store_of(world.move.plan)
    assert world.path(CONFIG).read_bytes() == (world.move.plan.first.switch.after if new else CONTENT)
    assert world.path(CONTAINERD_CONFIG).read_bytes() == (root.switch.after if new else CONTAINERD_CONTENT)
    assert world.path(service.ordering.path).exists() is new
    [names] = root.follow
    assert world.path(names.path).read_bytes() == (names.after if new else names.before)
    assert not any(world.path(guard.drop_in(unit)).exists() for unit in (CONTAINERD, SERVICE))
    assert not any(world.path(hold.drop_in(unit)).exists() for unit in world.move.plan.every_unit)
    # One without a restart policy stays down when the power failed where nothing is left to be restored.
    assert {box.container.status for name, box in world.daemon.boxes.items() if name != "no"} == {"running"}
    if new:
        assert sorted(place.name for place in world.path(TARGET).iterdir()) == [finished.NAME, "early", "late"]
        assert {"late"} < {place.name for place in world.path(CONTAINERD_TARGET).iterdir()}


def faults_of(
    folder: Path, failing: Phase | None, after: Callable[[World], None], *, going_back: bool
) -> tuple[list[str], dict[str, str]]:
    """The points passed on the way there or on the way back, and what is wrong after a death at each."""
    with pytest.MonkeyPatch.context() as patch:
        points = work_until_killed(make_world_of_two(folder / "all", patch), failing).passed
    turned = points.index(TURNED) if TURNED in points else len(points)
    faults: dict[str, str] = {}
    for number, point in list(enumerate(points))[turned:] if going_back else list(enumerate(points))[:turned]:
        with pytest.MonkeyPatch.context() as patch:
            world = make_world_of_two(folder / str(number), patch)
            assert work_until_killed(world, failing, number).passed == points[: number + 1]
            try:
                after(world)
                require_pair(world, start_again(world, failing))
                if going_back:
                    require_the_cause(world, failing)
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:300]
    return points, faults


@pytest.mark.parametrize("after", [safety_net, boot])
@pytest.mark.parametrize("failing", [None, Phase.SWITCH, Phase.VERIFY])
def test_killed_at_any_point_on_its_way_it_ends_on_one_pair(
    tmp_path: Path, failing: Phase | None, after: Callable[[World], None]
) -> None:
    points, faults = faults_of(tmp_path, failing, after, going_back=False)
    assert faults == {}
    assert {"switch.guarded", "switch.paired", "switch.written"} <= set(points)


@pytest.mark.parametrize("after", [safety_net, boot])
@pytest.mark.parametrize("failing", [Phase.FINAL_SYNC, Phase.SWITCH, Phase.VERIFY])
def test_killed_at_any_point_while_it_goes_back_it_ends_on_one_pair(
    tmp_path: Path, failing: Phase, after: Callable[[World], None]
) -> None:
    points, faults = faults_of(tmp_path, failing, after, going_back=True)
    assert faults == {}
    assert TURNED in points

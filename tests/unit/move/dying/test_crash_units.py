"""Killed at any instant, a move whose commit point is in a unit ends whole too.

systemd keeps units in memory: what was written is in force after it has read them again, at a reload of ours, of
somebody else's, or at a boot. The fake systemd starts the engine as it has the unit loaded.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, RelocatorError
from entrypoint.console.events import Phase
from entrypoint.host.services import hold
from entrypoint.move import safety_net as nets
from entrypoint.settings import formats
from entrypoint.settings.file_edit import FileEdit
from entrypoint.settings.formats.unit import overriding
from entrypoint.settings.setting import Form, Kind, Setting
from tests.unit.move.dying.test_crash_points import TURNED, Killed, start_again, steps_failing_in, work_until_killed
from tests.unit.support.fakes import DEFAULT_ROOT, Daemon, FakeSystemd, opener
from tests.unit.support.world import TARGET, World, make_world, with_first

UNIT = "/etc/systemd/system/docker.service.d/root.conf"
OVERRIDE = "/etc/systemd/system/docker.service.d/zz-relocator.conf"
SETTING = Setting(Kind.COMMAND, "ExecStart", Form.FLAG, DEFAULT_ROOT)
OLD = f"[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --data-root={DEFAULT_ROOT} -H fd://\n".encode()


@dataclass
class UnitDaemon(Daemon):
    """An engine whose root is a flag of its unit, as the last reload has found it."""

    loaded: str = DEFAULT_ROOT
    place: str = UNIT

    def load(self) -> None:
        file = self.host.path(self.place)
        content = file.read_bytes() if file.exists() else None
        self.loaded = formats.root_in(content, SETTING, self.place) or DEFAULT_ROOT

    def configured_root(self) -> str:
        return self.loaded


class LoadingSystemd(FakeSystemd):
    def reload(self) -> None:
        super().reload()
        assert isinstance(self.daemon, UnitDaemon)
        self.daemon.load()


def make_unit_world(root: Path, patch: pytest.MonkeyPatch, place: str = UNIT) -> World:
    """The usual world, but for the place where the root is set."""
    world = make_world(root, patch, None)
    before = OLD if place == UNIT else None
    after = formats.with_root(OLD, TARGET, SETTING, place)
    switch = FileEdit(place, before, after if before else overriding(["ExecStart=/d --data-root=" + TARGET], "x"),
                      world.move.plan.ordering.created, SETTING)  # fmt: skip
    daemon = UnitDaemon(**{**vars(world.daemon), "place": place})
    systemd = LoadingSystemd(world.host, world.calls, daemon)
    if before:
        world.path(place).parent.mkdir(parents=True)
        world.path(place).write_bytes(before)
        switch = replace(switch, created=())
    plan = with_first(world.move.plan, switch=switch)
    plan = replace(plan, ordering=replace(plan.ordering, created=switch.created))
    patch.setattr("entrypoint.engine.docker.Engine.opened", opener(daemon))
    patch.setattr("entrypoint.move.since.served.starts", daemon.starts)
    return replace(world, daemon=daemon, systemd=systemd, move=replace(world.move, plan=plan, systemd=systemd))


def net(world: World) -> None:
    """The lines of the worker's unit: the units are read again before the hold is lifted."""
    world.systemd.reload()
    hold.lift(world.host)
    hold.remove(world.host, world.move.plan.units)
    world.systemd.start(world.move.plan.started)


def power_cut(world: World) -> None:
    """All units are read at boot, what is below /run is gone, and the engine is started by itself."""
    world.daemon.stop()
    world.systemd.stop(world.move.plan.units)
    net(world)


def require_whole(world: World, code: ExitCode) -> None:
    new = code is ExitCode.DONE
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    assert world.daemon.up
    assert world.daemon.root == (TARGET if new else DEFAULT_ROOT)
    world.systemd.reload()
    assert world.daemon.configured_root() == world.daemon.root
    file, switch = world.path(world.move.plan.first.switch.path), world.move.plan.first.switch
    assert (file.read_bytes() if file.exists() else None) == (switch.after if new else switch.before)
    assert world.path(world.move.plan.ordering.path).exists() is new
    assert not world.path(hold.HOLD).exists()


@pytest.mark.parametrize(
    ("failing", "place", "recover"),
    [
        (None, UNIT, net),
        (None, OVERRIDE, net),
        (None, UNIT, power_cut),
        (Phase.SWITCH, OVERRIDE, net),
        (Phase.SWITCH, UNIT, power_cut),
        (Phase.VERIFY, UNIT, net),
    ],
)
def test_killed_at_any_point_it_ends_whole(
    tmp_path: Path, failing: Phase | None, place: str, recover: Callable[[World], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        points = work_until_killed(make_unit_world(tmp_path / "all", patch, place), failing).passed
    assert (TURNED in points) is (failing is not None)
    faults: dict[str, str] = {}
    for number, point in enumerate(points):
        with pytest.MonkeyPatch.context() as patch:
            world = make_unit_world(tmp_path / str(number), patch, place)
            work_until_killed(world, failing, number)
            recover(world)
            started_on = world.daemon.root
            try:
                code = start_again(world, failing)
                require_whole(world, code)
                # what containers have written since is on the root that it was started on, or that root is kept
                if code is ExitCode.DONE:
                    assert started_on == TARGET
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:200]
    assert faults == {}


def test_a_net_that_reads_the_units_too_late_would_lose_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the reload comes first: the engine would run on the old root while its unit names the new one."""
    world = make_unit_world(tmp_path, monkeypatch)
    points = work_until_killed(world, None, -1).passed
    world = make_unit_world(tmp_path / "again", monkeypatch)
    with suppress(Killed):
        work_until_killed(world, None, points.index("switch.written"))
    hold.lift(world.host)
    world.systemd.start(world.move.plan.started)
    assert world.daemon.root == DEFAULT_ROOT
    world.systemd.reload()
    assert world.daemon.configured_root() == TARGET


def test_the_net_reads_the_units_again_before_it_lifts_the_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_unit_world(tmp_path, monkeypatch)
    lines = [command.argv for command in nets.lines(world.host, world.move.run, world.move.plan)]
    assert lines[0] == ("/usr/bin/systemctl", "daemon-reload")
    assert lines[1][:2] == ("/usr/bin/rm", "-f")


def test_a_failed_step_takes_the_switch_back_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, place in enumerate((UNIT, OVERRIDE)):
        world = make_unit_world(tmp_path / str(number), monkeypatch, place)
        assert world.serving_nobody().work(steps_failing_in(Phase.VERIFY)) is ExitCode.ROLLED_BACK
        require_whole(world, ExitCode.ROLLED_BACK)


def test_a_drop_in_that_others_have_edited_goes_back_in_the_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_unit_world(tmp_path, monkeypatch)

    def edit() -> None:
        file = world.path(UNIT)
        file.write_bytes(file.read_bytes() + b"Nice=5\n")

    world.calls.moments["start"] = edit
    assert world.serving_nobody().work(steps_failing_in(Phase.VERIFY)) is ExitCode.ROLLED_BACK
    assert world.path(UNIT).read_bytes() == OLD + b"Nice=5\n"
    assert world.daemon.root == DEFAULT_ROOT

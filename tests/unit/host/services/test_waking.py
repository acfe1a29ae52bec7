"""The files that start the engine when its disk is mounted later."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.console.events import Phase
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.services import waking
from entrypoint.move.steps import STEPS
from entrypoint.plan.plan import Plan
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings.file_edit import FileEdit
from tests.unit.move.dying.test_crash_points import Failing
from tests.unit.support.fakes import SERVICE, SOCKET
from tests.unit.support.good_facts import (
    DATA_MOUNT,
    DROP_IN,
    GOOD,
    ROOT_MOUNT,
    TWO,
    make,
    mount,
    with_source,
    with_target,
)
from tests.unit.support.world import World, make_world

DATA_DROP_IN = "/etc/systemd/system/mnt-data.mount.d/50-relocator.conf"
UNIT_TEXT = waking.starts(PurePosixPath("/mnt/data"), (SOCKET, SERVICE))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "-"),
        ("/mnt/data", "mnt-data"),
        ("/mnt/my-disk", r"mnt-my\x2ddisk"),
        ("/mnt/a b", r"mnt-a\x20b"),
        ("/.hidden/x.y", r"\x2ehidden-x.y"),
        ("/mnt/ä", r"mnt-\xc3\xa4"),
    ],
)
def test_a_mount_has_the_name_that_systemd_gives_it(path: str, name: str) -> None:
    assert waking.escaped(PurePosixPath(path)) == name


def test_what_a_mount_wants_does_nothing_while_it_is_not_mounted() -> None:
    text = waking.starts(PurePosixPath("/mnt/100%"), (SERVICE,)).decode()
    assert "\nConditionPathIsMountPoint=/mnt/100%%\nConditionDirectoryNotEmpty=/mnt/100%%\n" in text
    assert "\nStartLimitIntervalSec=0\n" in text
    assert b"Before=relocator-mounted.service" in waking.WANTS


def facts(source: str, target: str) -> HostFacts:
    mounts = {"/": ROOT_MOUNT, "/mnt/data": DATA_MOUNT, "/mnt/more": mount("/mnt/more", "8:33")}
    files = tuple(
        replace(DROP_IN, path=PurePosixPath(path))
        for path in waking.places(PurePosixPath(source), PurePosixPath(target))
    )
    return with_target(with_source(replace(GOOD, waking=files), mount=mounts[source]), mount=mounts[target])


def edits(found: HostFacts) -> dict[str, tuple[bytes | None, bytes | None]]:
    plan = make(found)
    assert from_json(Plan, to_json(plan)) == plan
    return {edit.path: (edit.before, edit.after) for edit in plan.waking}


def test_the_mount_of_the_target_wakes_the_engine() -> None:
    assert edits(facts("/", "/mnt/data")) == {
        waking.UNIT: (None, UNIT_TEXT),
        DATA_DROP_IN: (None, waking.WANTS),
    }


def test_that_of_the_source_does_no_more() -> None:
    found = facts("/mnt/more", "/mnt/data")
    found = replace(found, waking=tuple(replace(file, content=waking.WANTS) for file in found.waking))
    more = "/etc/systemd/system/mnt-more.mount.d/50-relocator.conf"
    assert edits(found)[more] == (waking.WANTS, None)


def test_the_root_file_system_is_always_there() -> None:
    assert edits(facts("/", "/")) == {}


def test_with_containerd_on_another_disk_the_last_of_both_mounts_wakes_them() -> None:
    more = mount("/mnt/more", "8:33")
    names = waking.places(ROOT_MOUNT.point, DATA_MOUNT.point, more.point)
    files = tuple(replace(DROP_IN, path=PurePosixPath(path)) for path in names)
    found = with_target(replace(TWO, waking=files), 1, mount=more)
    made = {edit.path: edit.after for edit in make(found).waking}
    assert set(made) == {waking.UNIT, DATA_DROP_IN, "/etc/systemd/system/mnt-more.mount.d/50-relocator.conf"}
    text = (made[waking.UNIT] or b"").decode()
    assert "\nConditionPathIsMountPoint=/mnt/data\nConditionPathIsMountPoint=/mnt/more\n" in text
    assert "for unit in containerd.service docker.socket docker.service;" in text


def test_what_was_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world: World = make_world(tmp_path, monkeypatch)
    place = world.path(DATA_DROP_IN)
    edit = FileEdit(DATA_DROP_IN, None, waking.WANTS, (str(PurePosixPath(DATA_DROP_IN).parent),))
    world = replace(world, move=replace(world.move, plan=replace(world.move.plan, waking=(edit,))))
    seen: list[bool] = []
    world.calls.moments["start"] = lambda: seen.append(place.exists())
    steps = [Failing(step) if step.name is Phase.START else step for step in STEPS]
    assert world.serving_nobody().work(steps) is ExitCode.ROLLED_BACK
    assert seen == [True]
    assert not place.parent.exists()


def test_a_good_move_leaves_it_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, monkeypatch)
    edit = FileEdit(DATA_DROP_IN, None, waking.WANTS, ())
    world = replace(world, move=replace(world.move, plan=replace(world.move.plan, waking=(edit,))))
    assert world.work() is ExitCode.DONE
    assert world.path(DATA_DROP_IN).read_bytes() == waking.WANTS

"""`rollback` and `cleanup` on a booted host: the old root is whole, and is removed only when nobody needs it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, differences, inventory, populate
from tests.system.dying.test_rollback import BREAKAGES, broken_unit
from tests.system.support.moving import (
    DISK,
    SOURCE,
    TARGET,
    UNIT,
    Before,
    arm,
    assert_committed,
    assert_nothing_left,
    assert_unchanged,
    await_pause,
    before,
    configuration,
    disarm,
    move,
    outcome,
    read,
    relocator,
)

pytestmark = pytest.mark.system

OVERRIDES = "/etc/systemd/system/docker.service.d"
ON_OLD_ROOT = f"! grep -q {TARGET} /etc/docker/daemon.json"


@dataclass
class Moved:
    """A host whose engine was moved, and how it was before."""

    host: Host
    was: Before

    def require_on_target(self) -> None:
        now = inventory(self.host)
        assert now.engine.root == TARGET
        assert differences(self.was.inventory, now, ignore=("engine.root", "engine.driver_status.*")) == []


@pytest.fixture(scope="module")
def there_and_back() -> Iterator[Moved]:
    with Disk("4G", "ext4") as disk, boot(name="there-and-back", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        yield Moved(host, before(host))


@pytest.fixture
def moved(there_and_back: Moved) -> Moved:
    """On the target, with a whole old root, whatever the test before has done."""
    host = there_and_back.host
    if host.docker("info", "--format", "{{.DockerRootDir}}") != TARGET:
        host.run(["rm", "-rf", TARGET])
        assert_committed(host, move(host), there_and_back.was)
    return there_and_back


def test_going_back_is_said_first_and_agreed_to(moved: Moved) -> None:
    host = moved.host
    host.docker("volume", "create", "since")
    host.run(f"echo 12345 >{TARGET}/volumes/since/_data/file")
    was, held = configuration(host, None), inventory(host)
    told = relocator(host, "rollback")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "volume since" in told.stdout
    assert '"place": "volume since", "files": 1, "size": "6 B"' in told.stdout
    assert "docker run --rm --privileged --pid=host relocator rollback --yes" in told.stdout
    said = [json.loads(line)["event"].partition(".")[0] for line in told.stdout.splitlines()]
    order = [event for event, _same in groupby(said) if event in ("plan", "loss", "rollback")]
    assert order == ["plan", "loss", "rollback"]  # the loss stands right before what agrees to it
    assert_unchanged(host, was, held, None)
    host.docker("volume", "rm", "since")


def test_a_way_back_that_fails_ends_where_it_began(moved: Moved) -> None:
    host = moved.host
    refuse = f"[Service]\nExecStartPre=/bin/sh -c '! {{ {ON_OLD_ROOT}; }}'\n"
    config = read(host, "/etc/docker/daemon.json")
    with broken_unit(host, refuse):
        assert relocator(host, "rollback", "--yes").returncode == 10
        told = outcome(host)
    assert (told["state"], told["phase"], told["left"]) == ("rolled-back", "start", ""), told
    phases = [one["phase"] for one in told["timeline"]]
    assert [one for one in phases if one in ("pre-copy", "undo", "rollback", "remove the copy")] == ["undo"]
    shown = relocator(host, "status").stdout
    assert f"The way back (run {told['run']}) failed in the phase `start`, and was undone." in shown
    moved.require_on_target()
    assert read(host, "/etc/docker/daemon.json") == config
    assert_nothing_left(host)


@pytest.mark.parametrize("point", [
    pytest.param("freeze.stopped", marks=pytest.mark.matrix),
    pytest.param("switch.ordered", marks=pytest.mark.matrix),
    "switch.written",
    "verify.restored",
])  # fmt: skip
def test_a_worker_killed_on_the_way_back_leaves_an_engine_on_one_root(moved: Moved, point: str) -> None:
    host, was = moved.host, moved.was
    arm(host, f"{point} kill")
    assert relocator(host, "rollback", "--yes").returncode == 10
    told = outcome(host)
    disarm(host, point)
    assert told["state"] in ("committed", "rolled-back"), f"{told}\n{host.journal(UNIT)}"
    now = inventory(host)
    assert now.engine.root == (SOURCE if told["state"] == "committed" else TARGET)
    assert differences(was.inventory, now, ignore=("engine.root", "engine.driver_status.*")) == []
    assert_nothing_left(host)


def test_an_old_root_that_lacks_something_is_not_gone_back_to(moved: Moved) -> None:
    host = moved.host
    host.run(f"mv {SOURCE}/volumes/unused {SOURCE}/away")
    was, held = configuration(host, None), inventory(host)
    told = relocator(host, "rollback", "--yes")
    assert told.returncode == 3, told.stdout
    assert "volume unused has no directory (volumes/unused)" in told.stderr
    assert_unchanged(host, was, held, None)
    host.run(f"mv {SOURCE}/away {SOURCE}/volumes/unused")


def test_an_old_root_that_something_needs_is_not_removed(moved: Moved) -> None:
    host = moved.host
    host.docker("create", "--name", "agent", "-v", f"{SOURCE}/volumes:/x", "busybox")
    host.run(f"mkdir {SOURCE}/volumes/unused/_data/mnt; mount --bind /etc {SOURCE}/volumes/unused/_data/mnt")
    told = relocator(host, "cleanup", "--yes")
    assert told.returncode == 3, told.stdout
    assert f"agent: {SOURCE}/volumes" in told.stderr
    assert f"{SOURCE}/volumes/unused/_data/mnt" in told.stderr
    assert host.path("/etc/docker/daemon.json").exists()
    assert host.path(f"{SOURCE}/volumes/unused/_data").exists()
    host.docker("rm", "agent")
    host.run(f"umount {SOURCE}/volumes/unused/_data/mnt; rmdir {SOURCE}/volumes/unused/_data/mnt")


def test_going_back_finds_everything_as_the_move_left_it(moved: Moved) -> None:
    host, was = moved.host, moved.was
    host.docker("volume", "create", "since")
    host.docker("run", "--detach", "--name", "since", "busybox", "sleep", "1000")
    host.docker("stop", "--time=1", "no")
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    told = outcome(host)
    assert (told["state"], told["direction"], told["exit_code"]) == ("committed", "back", 0), host.journal(UNIT)
    assert differences(was.inventory, inventory(host)) == []
    assert read(host, "/etc/docker/daemon.json") == was.daemon_json
    assert not host.path(OVERRIDES).exists()
    assert_nothing_left(host)
    again = relocator(host, "rollback", "--yes")
    assert (again.returncode, "already_back" in again.stdout) == (0, True)


def test_after_going_back_the_root_that_was_left_can_be_removed(there_and_back: Moved) -> None:
    host = there_and_back.host
    if host.docker("info", "--format", "{{.DockerRootDir}}") != SOURCE:
        pytest.skip("it goes on from where the test before has ended")
    told = relocator(host, "cleanup", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "cleanup.behind" not in told.stdout
    assert not host.path(TARGET).exists()
    assert host.path(f"{DISK}/lost+found").exists()
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    assert relocator(host, "cleanup", "--yes").returncode == 0
    host.reboot()
    host.wait_docker()
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    for name, one in there_and_back.was.inventory.containers.items():  # a boot follows the policies alone
        host.docker({"running": "start", "paused": "start", "exited": "stop"}.get(one.status, "inspect"), name)
    host.docker("pause", "paused")


def test_a_removal_is_agreed_to_can_be_killed_and_is_run_again(moved: Moved) -> None:
    host = moved.host
    asked = relocator(host, "cleanup")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "docker run --rm --privileged --pid=host relocator cleanup --yes" in asked.stdout
    assert host.path(f"{SOURCE}/engine-id").exists()
    assert "cleanup.behind" not in asked.stdout
    host.run(f"cd {SOURCE}/volumes/unused/_data; mkdir deep; echo late >deep/file; ln -s file deep/link")
    asked = relocator(host, "cleanup")
    (late,) = [json.loads(line) for line in asked.stdout.splitlines() if "cleanup.behind" in line]
    assert (late["root"], late["place"], late["files"]) == (SOURCE, "volume unused", 2)
    assert host.path(f"{SOURCE}/engine-id").exists()
    host.run(f"mkdir {SOURCE}/of-mine; touch {SOURCE}/of-mine/file")
    for point in ("cleanup.begun", "cleanup.emptied"):
        arm(host, f"{point} kill")
        assert relocator(host, "cleanup", "--yes").returncode == 137
        disarm(host, point)
        refused = relocator(host, "rollback", "--yes")
        assert (refused.returncode, "old-root-removed" in refused.stderr) == (3, True)
        moved.require_on_target()
    told = relocator(host, "cleanup", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr
    assert [place.name for place in host.path(SOURCE).iterdir()] == ["of-mine"]
    assert outcome(host)["old_root"] == "removed"
    moved.require_on_target()


def test_an_engine_that_refuses_the_new_root_comes_back_though_nobody_can_work(make_disk: object) -> None:
    """The worker and what keeps its image are killed past the switch: only the host's own programs are left."""
    with Disk("4G", "ext4") as disk, boot(name="alone", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        was = before(host)
        arm(host, "switch.written pause")
        with broken_unit(host, BREAKAGES["the engine refuses the new root"].unit):
            assert relocator(host, "run", TARGET).returncode == 10
            await_pause(host, "switch.written")
            assert read(host, "/etc/docker/daemon.json") != was.daemon_json
            host.run("systemctl kill --signal=KILL relocator-keeper.service")
            host.run(["systemctl", "kill", "--signal=KILL", "--kill-who=main", UNIT])
            host.wait_docker()
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
        assert read(host, "/etc/docker/daemon.json") == was.daemon_json
        assert not host.path(f"{OVERRIDES}/50-relocator.conf").exists()
        disarm(host)
        told = outcome(host)
        assert (told["state"], told["exit_code"]) == ("rolled-back", 4), told
        assert differences(was.inventory, inventory(host)) == []
        assert_committed(host, move(host, f"{DISK}/again"), was, f"{DISK}/again")


@pytest.mark.parametrize("point", [
    pytest.param("freeze.stopped", marks=pytest.mark.matrix),
    "switch.written",
    pytest.param("verify.proven", marks=pytest.mark.matrix),
])  # fmt: skip
def test_a_host_that_is_rebooted_in_the_middle_comes_up_on_one_root(make_disk: object, point: str) -> None:
    with Disk("4G", "ext4") as disk, boot(name="rebooted", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        was = before(host)
        arm(host, f"{point} pause")
        assert relocator(host, "run", TARGET).returncode == 10
        await_pause(host, point)
        host.reboot()
        host.wait_docker()
        root = host.docker("info", "--format", "{{.DockerRootDir}}")
        assert root == (SOURCE if point == "freeze.stopped" else TARGET)
        told = outcome(host)  # the first command settles it, and what ran without a restart policy runs again
        assert told["state"] == ("rolled-back" if root == SOURCE else "committed"), f"{told}\n{host.journal(UNIT)}"
        assert differences(was.inventory, inventory(host), ignore=("engine.root", "engine.driver_status.*")) == []
        relocator(host, TARGET)
        assert_committed(host, outcome(host), was)

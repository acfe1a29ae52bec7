"""Booted without its disk, the engine does not start on the bare mount point, says why, and comes with the disk."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import (
    DISK,
    OUTCOME,
    SOURCE,
    TARGET,
    UNIT,
    assert_nothing_left,
    diagnosis,
    move,
    outcome,
    read,
    relocator,
)

pytestmark = pytest.mark.system

HELD = "/var/held"  # where the disk is in the rows that mount it on from there
UNITS = "/etc/systemd/system"
DEVICE = "UUID=00000000-0000-4000-8000-000000000000"  # no udev tells of any
ABSENT = "ext4 nofail,x-systemd.device-timeout=1s 0 0\n"
HELD_ABSENT = f"{DEVICE} {HELD} {ABSENT}"
ON_IT = f"{HELD} {DISK} none bind,nofail 0 0\n"
MOUNT_UNIT = "[Mount]\nWhat={what}\nWhere=" + DISK + "\nType={kind}\nOptions={options}\n"
DEVICE_UNIT = r"dev-disk-by\x2duuid-00000000\x2d0000\x2d4000\x2d8000\x2d000000000000.device"
STARTS = f"{TARGET}/volumes/starts/_data/log"
BESIDE = "/var/elsewhere/docker"  # on the file system of the old root


@dataclass
class Moved:
    host: Host
    disk: Disk


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    with Disk("4G", "ext4") as disk, boot(name="ordered", disks={DISK: disk}) as host:
        writes = "echo started >>/starts/log; exec sleep 100000"
        host.docker("run", "-d", "--name=web", "--restart=always", "-v=starts:/starts", "busybox", "sh", "-c", writes)
        told = move(host)
        assert told["state"] == "committed", f"{told}\n{host.journal(UNIT)}"
        yield Moved(host, disk)


def boot_without(moved: Moved) -> None:
    """The next boot finds no disk, and is done with booting all the same."""
    moved.host.power_off()
    moved.host.disks.clear()
    moved.host.boot()
    assert moved.host.run(["systemctl", "is-active", "multi-user.target"], check=False).stdout == "active\n"


def require_waiting(host: Host, reason: str) -> None:
    """No engine, also if somebody asks for one, nothing in the mount point, and the reason where people look."""
    assert host.run(["timeout", "3", "docker", "info"], check=False).returncode != 0  # it waits for a device, too
    assert host.run(["systemctl", "is-active", "docker.service"], check=False).stdout in ("inactive\n", "failed\n")
    assert content(host) == []
    status = host.run(["systemctl", "status", "--no-pager", "docker.service"], check=False).stdout
    assert reason in status, status


def content(host: Host) -> list[str]:
    try:
        return os.listdir(host.path(DISK))
    except OSError:  # an automount that cannot be mounted shows nothing, and lets nobody write
        return []


def await_engine(host: Host, root: str = TARGET) -> None:
    """Nobody starts it; asking would."""
    deadline = time.monotonic() + OUTCOME
    while host.run(["systemctl", "is-active", "docker.service"], check=False).stdout != "active\n":
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.2)
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == root
    assert host.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"


def test_a_disk_that_is_mounted_by_hand_later_brings_the_engine(moved: Moved) -> None:
    boot_without(moved)
    require_waiting(moved.host, f"AssertDirectoryNotEmpty={TARGET}")
    moved.host.attach(moved.disk, DISK)
    await_engine(moved.host)


@dataclass(frozen=True)
class Row:
    """Files that say how the disk comes to its place, from HELD if there is a command to bring it on from there."""

    files: dict[str, str]
    command: str = ""


ROWS = {
    "fstab, nofail": Row({"/etc/fstab": f"{DEVICE} {DISK} {ABSENT}"}),
    "a bind mount": Row({"/etc/fstab": HELD_ABSENT + ON_IT}, f"mount {DISK}"),
    "a mount unit": Row(
        {
            f"{UNITS}/mnt-big.mount": MOUNT_UNIT.format(
                what=f"/dev/disk/by-uuid/{DEVICE.removeprefix('UUID=')}", kind="ext4", options="nofail"
            ),
            f"{UNITS}/{DEVICE_UNIT}.d/timeout.conf": "[Unit]\nJobRunningTimeoutSec=1s\n",
        }
    ),
    "a mount unit that binds": Row(
        {
            "/etc/fstab": HELD_ABSENT,
            f"{UNITS}/mnt-big.mount": MOUNT_UNIT.format(what=HELD, kind="none", options="bind"),
        },
        f"mount --bind {HELD} {DISK}",  # without udev systemd itself would wait for the device of HELD
    ),
    "an automount": Row(
        {"/etc/fstab": HELD_ABSENT + ON_IT.replace("nofail", "nofail,x-systemd.automount")}, f"ls {TARGET}"
    ),
    "a mount on another": Row({"/etc/fstab": f"tmpfs /mnt tmpfs defaults 0 0\n{HELD_ABSENT}{ON_IT}"}, f"mount {DISK}"),
}


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROWS)
def test_however_the_disk_is_mounted(moved: Moved, name: str) -> None:
    host, row = moved.host, ROWS[name]
    for path, text in row.files.items():
        host.write(path, text)
    try:
        boot_without(moved)
        require_waiting(host, "Dependency failed")
        host.attach(moved.disk, HELD if row.command else DISK)
        if row.command:
            host.run(row.command)
        await_engine(host)
    finally:
        host.run(["rm", "-f", *row.files])


@pytest.mark.matrix
@pytest.mark.parametrize("enabled", ["docker.socket", ""])
def test_what_is_not_enabled_is_not_started(moved: Moved, enabled: str) -> None:
    """By a disk that comes later, and at a boot with the disk."""
    host = moved.host
    host.run(f"systemctl disable docker.service docker.socket; systemctl enable {enabled or 'containerd.service'}")
    boot_without(moved)
    host.attach(moved.disk, DISK, keep=True)
    try:
        await_woken(host)
        require_asleep(host, enabled)
        host.reboot()
        require_asleep(host, enabled)
        host.run(["systemctl", "start", "docker.socket"])
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == TARGET
    finally:
        host.run(["systemctl", "enable", "--now", "docker.service", "docker.socket"])


def require_asleep(host: Host, enabled: str) -> None:
    states = host.run(["systemctl", "is-active", "docker.service", "docker.socket"], check=False).stdout.split()
    assert states == (["inactive", "active"] if enabled else ["inactive", "inactive"])


def await_woken(host: Host) -> None:
    """Until the unit that the mount wants has done what it does."""
    asked = ["systemctl", "show", "--value", "--property=InactiveEnterTimestampMonotonic", "relocator-mounted.service"]
    deadline = time.monotonic() + OUTCOME
    while host.run(asked).stdout.strip() == "0":
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.1)


@pytest.mark.matrix
@pytest.mark.timeout(900)
def test_ten_boots_in_a_row_one_of_them_without_the_disk(moved: Moved) -> None:
    host = moved.host
    runs, starts = os.listdir(host.path("/var/lib/relocator/runs")), len(read(host, STARTS).splitlines())
    for number in range(10):
        if number == 4:
            boot_without(moved)
            require_waiting(host, f"AssertDirectoryNotEmpty={TARGET}")
            host.attach(moved.disk, DISK, keep=True)
        else:
            host.reboot()
        await_engine(host)
        assert len(read(host, STARTS).splitlines()) == starts + number + 1
    assert os.listdir(host.path("/var/lib/relocator/runs")) == runs
    assert_nothing_left(host)


@pytest.mark.matrix
def test_going_back_takes_along_what_waits_for_the_disk(moved: Moved) -> None:
    host = moved.host
    drop_in = f"{UNITS}/mnt-big.mount.d/50-relocator.conf"
    assert "relocator-mounted.service" in read(host, drop_in)
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"
    assert host.run(f"find {UNITS} -name '*relocator*'").stdout == ""
    assert_nothing_left(host)


@pytest.mark.matrix
def test_a_target_that_is_no_mount_is_there_at_every_boot(moved: Moved) -> None:
    """And if it is not, because somebody has moved it away, the engine waits too; nothing can wake it then."""
    host = moved.host
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    assert move(host, BESIDE, "--same-disk")["state"] == "committed"
    host.reboot()
    await_engine(host, BESIDE)
    host.run(f"systemctl stop docker.socket docker.service; mv {BESIDE} {BESIDE}-away")
    host.reboot()
    assert host.run(["timeout", "3", "docker", "info"], check=False).returncode != 0
    assert not host.path(BESIDE).exists()
    status = host.run(["systemctl", "status", "--no-pager", "docker.service"], check=False).stdout
    assert f"AssertDirectoryNotEmpty={BESIDE}" in status, status
    host.run(f"mv {BESIDE}-away {BESIDE}; systemctl start docker.socket docker.service")
    await_engine(host, BESIDE)

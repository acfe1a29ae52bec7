"""Booted without its disk, the engine does not start on the bare mount point, says why, and comes with the disk.

Clients that ask for it all the time change nothing about that, and are told at once.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

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
EMPTY = (f"AssertDirectoryNotEmpty={TARGET} was not met", f"ConditionDirectoryNotEmpty={TARGET} was not met")
AUTOMOUNTS = ("--bind=/dev/autofs",)  # without it systemd has none
STARTS = f"{TARGET}/volumes/starts/_data/log"
# Clients of the engine that ask from early in the boot on; what one was told is in /run, a line an answer.
CLIENTS = ("1", "2", "3")
ASKING = f"{UNITS}/asking@.service"
ASKS = """\
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c 'while sleep 0.3; do began=$$(date +%%s.%%N); timeout 30 docker info >/dev/null 2>&1; code=$$?; \
echo "$$began $$(date +%%s.%%N) $$code" >>/run/asked-%i; done'
[Install]
WantedBy=sysinit.target
"""
AT_ONCE = 15.0  # seconds that a client may take on a slow machine; one that is held waits for 30
BESIDE = "/var/elsewhere/docker"  # on the file system of the old root


@dataclass
class Moved:
    host: Host
    disk: Disk


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    with moved_host("ordered") as moved:
        yield moved


@contextmanager
def moved_host(name: str, suite: str = "trixie", *, containerd_store: bool = False) -> Iterator[Moved]:
    with (
        Disk("4G", "ext4") as disk,
        boot(suite, name=name, disks={DISK: disk}, extra=AUTOMOUNTS, containerd_store=containerd_store) as host,
    ):
        writes = "echo started >>/starts/log; exec sleep 100000"
        host.docker("run", "-d", "--name=web", "--restart=always", "-v=starts:/starts", "busybox", "sh", "-c", writes)
        told = move(host)
        assert told["state"] == "committed", f"{told}\n{host.journal(UNIT)}"
        yield Moved(host, disk)


class Answer(NamedTuple):
    """What a client was told, by the code of `docker info`; 124 is none in half a minute."""

    began: float
    ended: float
    code: int


@contextmanager
def clients(host: Host) -> Iterator[None]:
    """From the next boot on, three ask all the time."""
    units = [f"asking@{one}.service" for one in CLIENTS]
    host.write(ASKING, ASKS)
    host.run(["systemctl", "enable", *units])
    try:
        yield
    finally:
        host.run(["systemctl", "disable", "--now", *units])
        host.run(["rm", ASKING])
        host.run(["systemctl", "daemon-reload"])


def answers(host: Host, client: str, since: float = 0) -> list[Answer]:
    lines = [line.split() for line in read(host, f"/run/asked-{client}").splitlines()]
    found = [Answer(float(began), float(ended), int(code)) for began, ended, code in lines]
    return [answer for answer in found if answer.began > since]


def require_told_at_once(host: Host) -> None:
    """All have asked some times more, and been told that there is no engine, from the beginning on."""
    since, deadline = time.time(), time.monotonic() + OUTCOME
    while any(len(answers(host, client, since)) < 3 for client in CLIENTS):
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.5)
    told = [answer for client in CLIENTS for answer in answers(host, client)]
    assert {answer.code for answer in told} == {1}
    assert max(answer.ended - answer.began for answer in told) < AT_ONCE


def await_served(host: Host) -> None:
    since, deadline = time.time(), time.monotonic() + OUTCOME
    while not all(0 in {answer.code for answer in answers(host, client, since)} for client in CLIENTS):
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.5)


def require_tried_once(host: Host) -> None:
    """Nothing goes in a circle: the start has failed once, and nobody waits for anything."""
    lines = host.run(["journalctl", "--boot", "--output=cat", "--no-pager", "--unit=docker.service"]).stdout
    failures = [line for line in lines.splitlines() if "start failed with result" in line or "asserts failed" in line]
    assert len(failures) == 1, failures
    assert "No jobs" in host.run(["systemctl", "list-jobs", "--no-pager"]).stdout


def boot_without(moved: Moved) -> None:
    """The next boot finds no disk, and is done with booting all the same."""
    moved.host.power_off()
    moved.host.disks.clear()
    moved.host.boot()
    assert moved.host.run(["systemctl", "is-active", "multi-user.target"], check=False).stdout == "active\n"


def require_waiting(host: Host, *reasons: str, point: str = DISK) -> None:
    """No engine, also if somebody asks for one, nothing in the mount point, and the reasons where people look."""
    assert host.run(["timeout", "30", "docker", "info"], check=False).returncode == 1
    states = host.run(["systemctl", "is-active", "docker.service", "docker.socket"], check=False).stdout
    assert states == "inactive\ninactive\n"
    assert content(host, point) == []
    for unit, reason in zip(("docker.service", "docker.socket"), reasons, strict=True):
        status = host.run(["systemctl", "status", "--no-pager", unit], check=False).stdout
        assert reason in status, status


def content(host: Host, point: str) -> list[str]:
    try:
        return os.listdir(host.path(point))
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
    host = moved.host
    with clients(host):
        boot_without(moved)
        require_waiting(host, *EMPTY)
        require_told_at_once(host)
        require_tried_once(host)
        host.attach(moved.disk, DISK)
        await_engine(host)
        await_served(host)


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
        {"/etc/fstab": HELD_ABSENT + ON_IT.replace("nofail", "nofail,x-systemd.automount")},
        f"sed -i '/uuid/Id' /etc/fstab; systemctl daemon-reload; ls {TARGET}",  # the same: its line is waited for
    ),
    "a mount on another": Row(
        {"/etc/fstab": f"tmpfs /mnt tmpfs defaults 0 0\n{HELD_ABSENT}{ON_IT}"}, f"mkdir {DISK}; mount {DISK}"
    ),
}


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROWS)
def test_however_the_disk_is_mounted(moved: Moved, name: str) -> None:
    host, row = moved.host, ROWS[name]
    for path, text in row.files.items():
        host.write(path, text)
    try:
        with clients(host):
            boot_without(moved)
            require_waiting(host, "Dependency failed", "Dependency failed")
            require_told_at_once(host)
            require_tried_once(host)
            host.attach(moved.disk, HELD if row.command else DISK)
            if row.command:
                host.run(row.command)
            await_engine(host)
            await_served(host)
    finally:
        host.run(["rm", "-f", *row.files])


@pytest.mark.matrix
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("suite", "containerd_store"), [("bullseye", False), ("forky", True)])
def test_so_it_is_with_the_oldest_and_the_newest_systemd(suite: str, containerd_store: bool) -> None:
    """The newest with two roots, of which both are waited for."""
    with moved_host("other", suite, containerd_store=containerd_store) as moved:
        host = moved.host
        host.write("/etc/fstab", f"{DEVICE} {DISK} {ABSENT}")
        with clients(host):
            boot_without(moved)
            require_waiting(host, "Dependency failed", "Dependency failed")
            require_told_at_once(host)
            require_tried_once(host)
            named = read(host, f"{UNITS}/docker.socket.d/50-relocator.conf").count("ConditionDirectoryNotEmpty=")
            assert named == (2 if containerd_store else 1)
            # Without udev, systemd 247 unmounts what has no device.
            host.run("rm /etc/fstab; systemctl daemon-reload")
            host.attach(moved.disk, DISK)
            await_engine(host)
            await_served(host)


SLOW = {
    # As of what needs the network: it comes after basic.target, and so after all sockets.
    f"{UNITS}/slow.service": "[Service]\nType=oneshot\nExecStart=sleep 5\n",
    f"{UNITS}/mnt-big.mount": "[Unit]\nRequires=slow.service\nAfter=slow.service\n"
    + MOUNT_UNIT.format(what=HELD, kind="none", options="bind,nofail"),
}


@pytest.mark.matrix
def test_a_disk_that_takes_its_time_holds_up_nobody_and_nobody_spoils_the_start(moved: Moved) -> None:
    """Clients are told that there is no engine yet; with the disk the socket listens, and the engine starts once."""
    host = moved.host
    for path, text in SLOW.items():
        host.write(path, text)
    try:
        with clients(host):
            host.power_off()
            host.disks.clear()
            host.attach(moved.disk, HELD, keep=True)
            host.boot()
            assert entered(host, "basic.target") < entered(host, "docker.socket") < entered(host, "docker.service")
            await_engine(host)
            assert host.run(["systemctl", "show", "--value", "--property=NRestarts", "docker.service"]).stdout == "0\n"
            await_served(host)
            told = [answer.code for client in CLIENTS for answer in answers(host, client)]
            assert set(told) == {0, 1}
            require_the_disk_taken_away(host)
    finally:
        host.run(["rm", "-f", *SLOW])


def require_the_disk_taken_away(host: Host) -> None:
    """While the host runs: the engine and its socket go with it, are not tried again for any client, and come back."""
    host.run(["systemctl", "stop", "mnt-big.mount"])
    since = time.time()
    for client in CLIENTS:
        while len(answers(host, client, since)) < 3:
            time.sleep(0.5)
        assert {answer.code for answer in answers(host, client, since)} == {1}
    assert host.run(["findmnt", DISK], check=False).stdout == ""
    host.run(["systemctl", "start", "mnt-big.mount"])
    await_engine(host)


def entered(host: Host, unit: str) -> int:
    """When a unit was last active, after the boot."""
    return int(host.run(["systemctl", "show", "--value", "--property=ActiveEnterTimestampMonotonic", unit]).stdout)


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
            require_waiting(host, *EMPTY)
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
    assert "ConditionDirectoryNotEmpty" in read(host, f"{UNITS}/docker.socket.d/50-relocator.conf")
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
    with clients(host):
        host.reboot()
        require_waiting(host, *(reason.replace(TARGET, BESIDE) for reason in EMPTY), point=BESIDE)
        require_told_at_once(host)
        require_tried_once(host)
        assert not host.path(BESIDE).exists()
        host.run(f"mv {BESIDE}-away {BESIDE}; systemctl start docker")
        await_engine(host, BESIDE)
        await_served(host)

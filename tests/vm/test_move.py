"""A whole move where nothing is shared with this machine: a real kernel, udev, a virtio disk, a reboot, a power cut."""

import time
from collections.abc import Iterator

import pytest

from tests.hosts.content import differences, inventory
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    MOVED,
    OUTCOME,
    REACHED,
    SOURCE,
    TARGET,
    TRACE,
    assert_nothing_left,
    diagnosis,
    move,
    outcome,
    relocator,
)
from tests.vm.guest import Guest, guest
from tests.vm.mounting import await_engine, mount_by_uuid

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(2400)]

SECOND = f"{DISK}/second/docker"
POINT = "switch.written"  # the configuration names the target, the engine is down
# Slow as the machine is, they stop at once when they are told to: the engine gives them ten seconds before it kills.
WRITES = "trap 'exit 0' TERM; while :; do echo beat >>/beats/log; sleep 1; done"
WAITS = "trap 'exit 0' TERM; while :; do sleep 1; done"
BEATS = "volumes/beats/_data/log"


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest("vm") as booted:
        mount_by_uuid(booted)
        booted.wait_docker()
        booted.docker("run", "-d", "--name=web", "--restart=always", "-v=beats:/beats", "busybox", "sh", "-c", WRITES)
        booted.docker("run", "-d", "--name=once", "busybox", "sh", "-c", WAITS)
        yield booted


def beats(machine: Guest, root: str) -> int:
    return len(machine.run(["cat", f"{root}/{BEATS}"]).stdout.splitlines())


def test_a_move_to_a_second_disk_and_a_reboot(machine: Guest) -> None:
    was = inventory(machine)
    told = move(machine)
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{machine.journal()}"
    assert differences(was, inventory(machine), ignore=MOVED) == []
    assert_nothing_left(machine)
    written, boot = beats(machine, SOURCE), machine.boot_id
    machine.reboot()
    assert machine.boot_id != boot
    await_engine(machine, TARGET)
    assert differences(was, inventory(machine), ignore=(*MOVED, "containers.once.*")) == []
    assert beats(machine, TARGET) > written == beats(machine, SOURCE)
    assert_nothing_left(machine)


def test_a_disk_that_is_plugged_in_later_brings_the_engine(machine: Guest) -> None:
    machine.power_off()
    machine.boot(with_drive=False)
    machine.run(["systemctl", "is-system-running", "--wait"], check=False)  # the whole time that a device is waited for
    assert machine.run(["timeout", "60", "docker", "info"], check=False).returncode != 0
    assert machine.run(["systemctl", "is-active", "docker.service"], check=False).stdout in ("inactive\n", "failed\n")
    assert machine.run(["ls", "-A", DISK]).stdout == ""
    machine.plug_in()
    # systemd mounts nothing by itself that comes after the boot.
    machine.run(["systemctl", "start", "mnt-big.mount"])
    await_engine(machine, TARGET)
    assert machine.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"


def test_a_power_cut_in_the_middle_of_the_switch(machine: Guest) -> None:
    """The machine comes up on one complete root, and the same command then finds nothing left to do, or does it."""
    machine.docker("start", "once")
    was = inventory(machine)
    written = beats(machine, TARGET)
    machine.run(["sync"])
    cut_power_at(machine, POINT, SECOND)
    await_engine(machine, SECOND)
    assert beats(machine, SECOND) >= written
    told = outcome(machine)
    assert told["state"] == "committed", told
    assert differences(was, inventory(machine), ignore=MOVED) == []
    assert relocator(machine, SECOND).returncode == 0
    assert_nothing_left(machine)


def cut_power_at(machine: Guest, point: str, target: str) -> None:
    machine.write(TRACE, f"{point} pause\n")
    machine.run(
        f"rm -rf {REACHED}; nohup docker run {' '.join(ATTACHED)} {IMAGE} {target} --same-disk >/root/front 2>&1 &"
    )
    deadline = time.monotonic() + OUTCOME * machine.slow
    while machine.run(["test", "-e", f"{REACHED}/{point}"], check=False).returncode:
        assert time.monotonic() < deadline, machine.run("cat /root/front").stdout + diagnosis(machine)
        time.sleep(0.5)
    machine.cut_power()
    machine.boot()

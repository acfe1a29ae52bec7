"""The second disk as an administrator mounts it, and the engine that waits for it."""

import time

from tests.system.support.moving import DISK, OUTCOME, diagnosis
from tests.vm.guest import Guest


def mount_by_uuid(machine: Guest) -> None:
    """With the ninety seconds that systemd waits for a device: emulated, udev alone takes more than ten."""
    line = f"UUID={machine.drive.uuid} {DISK} ext4 nofail 0 0"
    machine.run(f"mkdir -p {DISK}; echo '{line}' >>/etc/fstab; systemctl daemon-reload; mount {DISK}")
    assert machine.run(["findmnt", "--noheadings", "--output=SOURCE", DISK]).stdout == "/dev/vdb\n"


def await_engine(machine: Guest, root: str) -> None:
    """Nobody starts it; asking would."""
    deadline = time.monotonic() + OUTCOME * machine.slow
    while machine.run(["systemctl", "is-active", "docker.service"], check=False).stdout != "active\n":
        assert time.monotonic() < deadline, diagnosis(machine)
        time.sleep(0.5)
    assert machine.docker("info", "--format", "{{.DockerRootDir}}") == root

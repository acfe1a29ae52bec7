"""One disposable host: Debian with systemd as process 1 and a real engine, in about a second."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.hosts import nspawn
from tests.hosts.command import HostError, run
from tests.hosts.disk import CAN_LOSE, Disk
from tests.hosts.inside import Inside
from tests.hosts.loop import make_node
from tests.hosts.nspawn import Machine, Volume

# systemd's own signals to process 1.
POWER_OFF = signal.SIGRTMIN + 4
REBOOT = signal.SIGRTMIN + 5
PRIVATE_SOCKET = "/run/systemd/private"


@dataclass(frozen=True)
class Attachment:
    disk: Disk
    options: str
    # Whether it is there again after the next boot, like a line of /etc/fstab.
    kept: bool


class Host(Inside):
    """Made by `tests.hosts.boot`; its files outlive power-off and power cut, until the block is left."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.disks: dict[str, Attachment] = {}
        self.state = "off"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    @property
    def is_on(self) -> bool:
        return self._nspawn is not None and self._nspawn.poll() is None

    @property
    def leader(self) -> int:
        if not self.is_on:
            raise HostError(f"{self.name} is off")
        return self._leader

    def boot(self, timeout: float = 90) -> None:
        """Until systemd has started all it starts; `state` is then "running" or "degraded"."""
        if self.is_on:
            raise HostError(f"{self.name} is on")
        self.wait_off()
        deadline = time.monotonic() + timeout
        self.machine.cgroup.create()
        self._nspawn = replace(self.machine, volumes=self._volumes()).start()
        try:
            self._leader = nspawn.leader(self._nspawn, deadline)
            self._await_init(deadline)
        except HostError as error:
            raise HostError(f"{self.name}: {error}\n{self.console()}") from error

    def power_off(self, timeout: float = 120) -> None:
        if self.machine.has_systemd:
            os.kill(self.leader, POWER_OFF)
        else:
            self.run(["telinit", "0"])
        self.wait_off(timeout)

    def reboot(self, timeout: float = 120) -> None:
        os.kill(self.leader, REBOOT)
        self.wait_off(timeout)
        self.boot()

    def cut_power(self, drop_unflushed: bool = False) -> None:
        """Everything dies at one instant; on request with what the disks' file systems had not written yet.

        Frozen first: nobody inside sees a disk fail before the end and acts on it.
        """
        losing = self._losing() if drop_unflushed else []
        self.machine.cgroup.freeze()
        for point in losing:
            run(["xfs_io", "-x", "-c", "shutdown", point])
        self.machine.cgroup.kill()
        self.wait_off()

    def wait_off(self, timeout: float = 120) -> None:
        """For a host that goes off by itself, too."""
        if self._nspawn is None:
            return
        try:
            self._nspawn.wait(timeout)
        except subprocess.TimeoutExpired:
            raise HostError(f"{self.name} did not go off\n{self.console()}") from None
        # What `run` had brought in is not systemd's to stop.
        self.machine.cgroup.kill()
        self.machine.cgroup.remove()
        self._nspawn = None
        self.state = "off"
        for attachment in self.disks.values():
            attachment.disk.reconnect()
        self.disks = {target: attachment for target, attachment in self.disks.items() if attachment.kept}

    def close(self) -> None:
        self.machine.cgroup.kill()
        self.wait_off()
        nspawn.forget(self.machine.name)

    def attach(self, disk: Disk, target: str, options: str = "", keep: bool = False) -> None:
        """Mount it; while the host is off, for its next boot."""
        if self.is_on:
            make_node(self.path(str(disk.device)), disk.number)
            given = ["-o", options] if options else []
            self.run(["mkdir", "-p", target])
            self.run(["mount", *given, str(disk.device), target])
        elif not keep:
            raise HostError("a disk for a host that is off can only be kept")
        self.disks[target] = Attachment(disk, options, keep)

    def detach(self, target: str) -> None:
        if self.is_on:
            self.run(["umount", target])
        del self.disks[target]

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Also while the host is off, except on a disk."""
        path = self.path(inside) if self.is_on else self._path_off(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def console(self, lines: int = 40) -> str:
        text = (self.machine.directory / "console.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _losing(self) -> list[Path]:
        for attachment in self.disks.values():
            if attachment.disk.filesystem not in CAN_LOSE:
                raise HostError(f"{attachment.disk.filesystem} cannot be made to lose what was not flushed")
        return [self.path(target) for target in self.disks]

    def _path_off(self, inside: str) -> Path:
        for source, target in [*self.machine.binds, (self.machine.directory / "up", "/")]:
            if Path(inside).is_relative_to(target):
                return source / Path(inside).relative_to(target)
        raise HostError(f"{inside} is not absolute")

    def _volumes(self) -> tuple[Volume, ...]:
        volumes = []
        # A mount below another one comes after it.
        for target, attachment in sorted(self.disks.items()):
            staging = self.machine.directory / "staging" / attachment.disk.image.stem
            staging.mkdir(parents=True, exist_ok=True)
            volumes.append(Volume(attachment.disk.device, staging, target, attachment.options))
        return tuple(volumes)

    def _await_init(self, deadline: float) -> None:
        if self.machine.has_systemd:
            self._await_systemd(deadline)
            return
        while self.run(["runlevel"], check=False).stdout != "N 2\n":
            if time.monotonic() > deadline:
                raise HostError("the runlevel was not reached")
            time.sleep(0.05)
        self.state = "running"

    def _await_systemd(self, deadline: float) -> None:
        while not self.path(PRIVATE_SOCKET).exists():
            if time.monotonic() > deadline:
                raise HostError("systemd does not answer")
            time.sleep(0.01)
        try:
            asked = self.run(
                ["systemctl", "is-system-running", "--wait"], check=False, timeout=deadline - time.monotonic()
            )
        except subprocess.TimeoutExpired:
            raise HostError("systemd is not done with booting") from None
        self.state = asked.stdout.strip()

"""A whole machine: QEMU without KVM, which is slow and needs nothing of this machine but its processor.

Power is cut by killing QEMU. What the guest had not written yet is lost with its memory. What it had written but not
flushed is kept by this machine's cache, except where it lies in new clusters of the disk's image: what says where those
are is QEMU's, and written when the guest flushes (cache=writeback).
"""

import base64
import json
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts import workspace
from tests.hosts.cgroup import Cgroup
from tests.hosts.command import CommandError, HostError, remove_tree, run
from tests.hosts.shell import Command, Environment, Shell, words
from tests.vm.image import Bootable, bootable

BOOT = 900.0
MACHINE = (
    *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", "2048"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-serial"),
    *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
    *("-device", "pcie-root-port,id=socket,chassis=1"),  # where a disk can be plugged in while it runs
    *("-device", "virtserialport,chardev=agent,name=agent"),
)
# Each line on the console costs as much as a program that is started.
APPEND = "console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off loglevel=4 systemd.show_status=no"
SELINUX = "security=selinux selinux=1 enforcing=1 audit=1 audit_backlog_limit=8192"


@dataclass(frozen=True)
class Drive:
    """The second disk: an ext4 of its own, with the UUID by which fstab knows it."""

    image: Path
    uuid: str = "8d2a4b5e-0c6f-4b7e-9a53-1f0e7c3d9b10"

    @property
    def block(self) -> dict[str, Any]:
        file = {"driver": "file", "filename": str(self.image)}
        return {"driver": "qcow2", "node-name": "big", "file": file}

    @property
    def device(self) -> dict[str, str]:
        return {"driver": "virtio-blk-pci", "drive": "big", "bus": "socket", "id": "big", "serial": "big"}

    def make(self) -> None:
        raw = self.image.with_suffix(".raw")
        run(["truncate", "-s", "4G", raw])
        run(["mkfs.ext4", "-q", "-F", "-U", self.uuid, raw])
        run(["qemu-img", "convert", "-O", "qcow2", raw, self.image])
        raw.unlink()


class Guest(Shell):
    """Made by `guest`; its disks outlive a power cut, until the block is left."""

    slow = 8  # others' work on this machine included

    def __init__(self, name: str, place: Path, made: Bootable, append: str) -> None:
        self._name, self._place, self._made, self._append = name, place, made, append
        self._cgroup = Cgroup(workspace.current().machine(name))
        self._qemu: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._rest = b""
        self._number = 0
        self.boot_id = ""
        self.drive = Drive(place / "big.qcow2")

    @property
    def name(self) -> str:
        return self._name

    def make_disks(self) -> None:
        backing = ("-b", str(self._made.disk), "-F", "qcow2")
        run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, self._place / "root.qcow2"])
        self.drive.make()

    def boot(self, *, with_drive: bool = True) -> None:
        """Until the agent answers; the engine may not be there yet."""
        for name in ("agent", "qmp"):
            (self._place / name).unlink(missing_ok=True)
        self._cgroup.create()
        enter = f"echo 0 >{shlex.quote(str(self._cgroup.unified / 'cgroup.procs'))}"
        argv = ["sh", "-euc", f"{enter}; exec {shlex.join(self._command(with_drive))}"]
        with (self._place / "qemu.log").open("ab") as log:
            self._qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._channel, self._rest = self._connected("agent"), b""
        self.await_boot()

    def await_boot(self) -> None:
        """Of this boot or, after `reboot`, of the next; what the boot before still answers is nobody's business."""
        deadline = time.monotonic() + BOOT
        word, boot_id = "", self.boot_id
        while word != "ready" or boot_id == self.boot_id:
            word, boot_id, *_ = self._line(deadline).decode().split(" ")
        self.boot_id = boot_id

    def reboot(self) -> None:
        """The machine's own: everything is stopped, written, and the kernel starts anew."""
        self._send("systemctl --no-block reboot", 60)  # the answer may be lost with the boot
        self.await_boot()

    def cut_power(self) -> None:
        self._cgroup.kill()
        self._off()

    def power_off(self) -> None:
        self._send("systemctl --no-block poweroff", 60)
        self._off(BOOT)

    def plug_in(self) -> None:
        """Give the drive to the machine that was booted without."""
        with self._connected("qmp") as monitor, monitor.makefile("rw") as lines:
            lines.readline()
            asked = [("qmp_capabilities", {}), ("blockdev-add", self.drive.block), ("device_add", self.drive.device)]
            for command, arguments in asked:
                lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                lines.flush()
                while "event" in (answer := json.loads(lines.readline())):
                    continue
                if "error" in answer:
                    raise HostError(f"{command}: {answer}")

    def run(
        self,
        command: Command,
        *,
        check: bool = True,
        timeout: float = 120,
        env: Environment = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        variables = [f"{key}={value}" for key, value in (env or {}).items()]
        text = shlex.join(["env", *variables, *words(command)])
        if stdin is not None:
            text = f"printf %s {shlex.quote(stdin)} | {text}"
        seconds = int(timeout * self.slow)
        self._send(text, seconds)
        answer = self._line(time.monotonic() + seconds + 30).decode().split(" ")
        if answer[0] != str(self._number):
            raise HostError(f"{self.name} answers {answer}\n{self.console()}")
        output, errors = (base64.b64decode(word[:-1]).decode(errors="replace") for word in answer[2:4])
        code = int(answer[1])
        if check and code:
            raise CommandError([f"{self.name}:", *words(command)], code, output + errors)
        return subprocess.CompletedProcess(words(command), code, output, errors)

    def _send(self, text: str, seconds: int) -> None:
        self._number += 1
        line = f"{self._number} {seconds} {base64.b64encode(text.encode()).decode()}\n"
        self._open.sendall(line.encode())

    def write(self, path: str, text: str) -> None:
        self.run('mkdir -p "$(dirname "$1")"; cat >"$1"'.replace("$1", path), stdin=text)

    def console(self, lines: int = 40) -> str:
        text = (self._place / "console").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        self._cgroup.kill()
        self._off()

    def _off(self, timeout: float = 60) -> None:
        if self._qemu:
            self._qemu.wait(timeout)
            self._qemu = None
            self._cgroup.remove()
        if self._channel:
            self._channel.close()
            self._channel = None

    @property
    def _open(self) -> socket.socket:
        if self._channel is None:
            raise HostError(f"{self.name} is off")
        return self._channel

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._rest:
            self._open.settimeout(max(deadline - time.monotonic(), 0.1))
            try:
                piece = self._open.recv(1 << 16)
            except TimeoutError:
                piece = b""
            if not piece:
                raise HostError(f"{self.name} does not answer\n{self.console()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _connected(self, name: str) -> socket.socket:
        deadline = time.monotonic() + 60
        while True:
            channel = socket.socket(socket.AF_UNIX)
            with suppress(OSError):
                channel.connect(str(self._place / name))
                return channel
            channel.close()
            if self._qemu is None or self._qemu.poll() is not None or time.monotonic() > deadline:
                raise HostError((self._place / "qemu.log").read_text(errors="replace"))
            time.sleep(0.05)

    def _command(self, with_drive: bool) -> list[str]:
        disk = self._place / "root.qcow2"
        drive = ["-blockdev", json.dumps(self.drive.block), "-device", json.dumps(self.drive.device)]
        return [
            *("qemu-system-x86_64", *("-chardev", f"socket,id=agent,path={self._place}/agent,server=on,wait=off")),
            *(*MACHINE, "-kernel", str(self._made.kernel), "-initrd", str(self._made.initrd), "-append", self._append),
            *("-serial", f"file:{self._place}/console", "-qmp", f"unix:{self._place}/qmp,server=on,wait=off"),
            *("-drive", f"file={disk},if=virtio,format=qcow2,cache=writeback"),
            *(drive if with_drive else []),
        ]


@contextmanager
def guest(name: str, *, selinux: bool = False, files: dict[str, str] | None = None) -> Iterator[Guest]:
    """A running machine with an engine that has the product's image and busybox, and a second disk not yet mounted."""
    with ExitStack() as stack:
        made = stack.enter_context(bootable(files or {}))
        place = workspace.current().directory / "hosts" / name
        place.mkdir(parents=True)
        stack.callback(remove_tree, place)
        booted = Guest(name, place, made, f"{APPEND} {SELINUX}" if selinux else APPEND)
        stack.callback(booted.close)
        booted.make_disks()
        booted.boot()
        yield booted

"""The process that is a host: systemd-nspawn, started so that nothing stays mounted when it dies."""

import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.cgroup import Cgroup
from tests.hosts.command import HostError, remove_tree

ENVIRONMENT = {
    # The host has only the unified hierarchy, whatever the outer machine has.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
    "SYSTEMD_SECCOMP": "0",
}
OPTIONS = (
    "--boot",
    "--quiet",
    "--settings=no",
    "--register=no",
    "--keep-unit",
    "--capability=all",
    "--console=pipe",
    "--timezone=off",
    "--link-journal=no",
)


@dataclass(frozen=True)
class Volume:
    """A device that is there from the first instant, as one from /etc/fstab would be."""

    device: Path
    staging: Path
    target: str
    options: str = ""

    def mount(self) -> str:
        options = ["-o", self.options] if self.options else []
        return shlex.join(["mount", *options, str(self.device), str(self.staging)])

    def arguments(self) -> list[str]:
        return [f"--bind={self.device}", bind(self.staging, self.target)]


@dataclass(frozen=True)
class Machine:
    name: str
    hostname: str
    base: Path
    directory: Path
    cgroup: Cgroup
    binds: tuple[tuple[Path, str], ...] = ()
    volumes: tuple[Volume, ...] = ()
    network: bool = False
    extra: tuple[str, ...] = ()
    has_systemd: bool = True

    def argv(self) -> list[str]:
        network = ["--resolv-conf=copy-host"] if self.network else ["--resolv-conf=off", "--private-network"]
        binds = [bind(source, target) for source, target in self.binds]
        volumes = [argument for volume in self.volumes for argument in volume.arguments()]
        names = [f"--machine={self.name}", f"--hostname={self.hostname}", f"--directory={self.directory / 'root'}"]
        return ["systemd-nspawn", *OPTIONS, *names, *network, *binds, *volumes, *self.extra]

    def script(self) -> str:
        at = self.directory
        layers = f"lowerdir={self.base},upperdir={at / 'up'},workdir={at / 'work'}"
        groups = [directory / "cgroup.procs" for directory in self.cgroup.directories]
        return "\n".join(
            [
                *[f"echo $$ > {shlex.quote(str(group))}" for group in groups],
                shlex.join(["mount", "-t", "overlay", "overlay", "-o", layers, str(at / "root")]),
                *[volume.mount() for volume in self.volumes],
                f"exec {shlex.join(self.argv())}",
            ]
        )

    def start(self) -> subprocess.Popen[bytes]:
        """In a mount namespace of its own: the kernel unmounts everything when the last process is gone."""
        with (self.directory / "console.log").open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "sh", "-euc", self.script()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT},
                # An interrupt from the keyboard is for the tests, not for the hosts.
                start_new_session=True,
            )


def bind(source: Path, target: str) -> str:
    return "--bind=" + ":".join(str(path).replace(":", "\\:") for path in (source, target))


def leader(nspawn: subprocess.Popen[bytes], deadline: float) -> int:
    """The host's process 1, by its number outside."""
    while time.monotonic() < deadline:
        if nspawn.poll() is not None:
            raise HostError(f"systemd-nspawn ended with code {nspawn.returncode}")
        for child in _children(nspawn.pid):
            if _is_init(child):
                return child
        time.sleep(0.005)
    raise HostError("the host has no process 1")


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_init(pid: int) -> bool:
    """Number 1 in its own namespace, and no longer systemd-nspawn's own program setting things up."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        program = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return False
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1" and program != "systemd-nspawn"


def forget(name: str) -> None:
    """Remove what systemd-nspawn itself leaves behind when it is killed; a trailing * stands for any name."""
    for trace in Path("/run/systemd/nspawn").glob(f"*/{name}"):
        remove_tree(trace)

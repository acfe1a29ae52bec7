"""One control group per host.

Without it all hosts share one, and `systemctl kill docker.service` in one host kills another's engine.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.command import HostError

PREFIX = "relocator-"


def hierarchies() -> list[Path]:
    """The unified hierarchy first; then, on a hybrid machine, systemd's own of version 1."""
    unified: list[Path] = []
    systemd: list[Path] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        if kind == "cgroup2":
            unified.append(Path(fields.split(" ")[4]))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            systemd.append(Path(fields.split(" ")[4]))
    if not unified:
        raise HostError("the machine has no unified cgroup hierarchy mounted")
    return [unified[0], *systemd[:1]]


@dataclass(frozen=True)
class Cgroup:
    name: str

    @property
    def directories(self) -> list[Path]:
        return [hierarchy / self.name for hierarchy in hierarchies()]

    @property
    def unified(self) -> Path:
        return self.directories[0]

    def create(self) -> None:
        for directory in self.directories:
            directory.mkdir(exist_ok=True)

    def enter_paths(self) -> list[Path]:
        """The files that a process writes itself to in order to be one of the host's.

        A child of its own next to the host's `init.scope`: on a machine with only the unified hierarchy
        no process may be in a group that hands controllers down.
        """
        group = self.unified / "payload" / "entered"
        group.mkdir(exist_ok=True)
        others = [directory / "payload" for directory in self.directories[1:]]
        return [directory / "cgroup.procs" for directory in [group, *others] if directory.exists()]

    def freeze(self, timeout: float = 2.0) -> None:
        """Stop every process between two instructions; best effort, a blocked one is not waited for."""
        (self.unified / "cgroup.freeze").write_text("1")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if "frozen 1" in (self.unified / "cgroup.events").read_text():
                return
            time.sleep(0.005)

    def kill(self) -> None:
        if self.unified.exists():
            (self.unified / "cgroup.kill").write_text("1")

    def remove(self, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while remaining := [directory for directory in self.directories if not _removed(directory)]:
            if time.monotonic() > deadline:
                raise HostError(f"still in use: {remaining}")
            time.sleep(0.02)


def _removed(directory: Path) -> bool:
    """Children before parents; a dying process keeps its group busy for a moment."""
    nested = sorted(directory.glob("**/"), key=lambda path: len(path.parts), reverse=True)
    try:
        for path in nested:
            path.rmdir()
    except OSError:
        return False
    return not directory.exists()


def leftovers(run: str) -> list[Cgroup]:
    names = {path.name for root in hierarchies() for path in root.glob(f"{PREFIX}{run}-*")}
    return [Cgroup(name) for name in sorted(names)]

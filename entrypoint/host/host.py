"""The one door to the host: its files below one directory, its programs through nsenter.

The container sees the host's files through `/proc/1/root`, the magic link of the host's first process. Unlike a bind
mount of `/` it follows every mount and unmount on the host, and it is still there when the container's engine is gone.

An absolute symlink met below that link would be resolved against the *container's* root by the kernel. So every path
that comes from the operator or the engine goes through `Host.resolve` once, which resolves symlinks as the host would.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import HostCommandError
from entrypoint.host.children import ENVIRONMENT, QUICK, Result, run
from entrypoint.host.signals import Signals

HOST_PID = 1
HOST_ROOT = Path(f"/proc/{HOST_PID}/root")
MAX_SYMLINKS = 40  # as the kernel: path_resolution(7)


def nsenter_command(argv: Sequence[str], pid: int = HOST_PID) -> list[str]:
    """The argv that runs `argv` in the mount, UTS, IPC and network namespaces of process `pid`."""
    spaces = ["--mount", "--uts", "--ipc", "--net"]
    return ["nsenter", "--target", str(pid), *spaces, "--wd=/", "--", *argv]


Trace = Callable[[str], None]


def untraced(_point: str) -> None:
    """A named instant, at which nothing is to happen (journal/trace.py)."""


@dataclass(frozen=True)
class Host:
    """The host as seen from where this program runs, what a signal does to the work that is done there, and what is to
    happen at its named instants."""

    root: Path = HOST_ROOT
    signals: Signals = field(default_factory=Signals, compare=False, repr=False)
    trace: Trace = field(default=untraced, compare=False, repr=False)

    def path(self, resolved: PurePosixPath | str) -> Path:
        """Where a host path, already free of symlinks, is found from here."""
        return self.root / str(resolved).lstrip("/")

    def resolve(self, path: PurePosixPath | str) -> PurePosixPath:
        """The host path with every symlink followed as the host follows it; what does not exist stays as named."""
        todo = list(reversed(PurePosixPath(path).parts[1:]))
        done, hops = PurePosixPath("/"), 0
        while todo:
            part = todo.pop()
            step = done.parent if part == ".." else done / part
            link = self._readlink(step)
            if link is None:
                done = step
                continue
            if (hops := hops + 1) > MAX_SYMLINKS:
                raise HostCommandError(f"Too many symbolic links in {path}.")
            if link.is_absolute():
                done = PurePosixPath("/")
            todo.extend(reversed(link.parts[1:] if link.is_absolute() else link.parts))
        return done

    def _readlink(self, step: PurePosixPath) -> PurePosixPath | None:
        try:
            return PurePosixPath(os.readlink(self.path(step)))
        except (OSError, ValueError):
            return None

    def run(self, argv: Sequence[str], *, timeout: float = QUICK, check: bool = True) -> Result:
        """Run one of the host's own programs, in the host's namespaces."""
        return run(nsenter_command(argv), timeout=timeout, check=check)

    def program(self, name: str) -> str | None:
        """Where the host keeps one of its programs, or nothing; systemd wants absolute paths."""
        for folder in (*ENVIRONMENT["PATH"].split(":"), "/run/current-system/sw/bin"):
            place = self.resolve(f"{folder}/{name}")
            if os.access(self.path(place), os.X_OK):
                return f"{folder}/{name}"
        return None

"""The files of one run of the tests, and the sweep of what dead runs left behind.

    CACHE/runs/RUN/lock     held for as long as the process lives; the kernel drops it however it dies
    CACHE/runs/RUN/hosts/   one directory per host
    CACHE/runs/RUN/disks/   images of disks
    CACHE/runs/RUN/mounts/  where the outer machine looks into a disk

Everything else a host leaves carries the run in its name: control groups, loop devices (by the path of
their image) and mounts (by their place).
"""

import atexit
import fcntl
import functools
import os
import secrets
from contextlib import suppress
from pathlib import Path

from tests.hosts import cache, cgroup, loop, nspawn
from tests.hosts.command import CommandError, remove_tree, run


class Workspace:
    def __init__(self) -> None:
        self.run = f"{os.getpid()}-{secrets.token_hex(2)}"
        self.directory = _runs() / self.run
        # Under one lock with the sweep, which would take a directory without a holder for a dead run's.
        with cache.lock(_runs() / ".lock", fcntl.LOCK_EX):
            _sweep()
            for part in ("hosts", "disks", "mounts"):
                (self.directory / part).mkdir(parents=True)
            self._lock = (self.directory / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def machine(self, name: str) -> str:
        return f"{cgroup.PREFIX}{self.run}-{name}"

    def close(self) -> None:
        _discard(self.directory)
        self._lock.close()


def current() -> Workspace:
    # By process id: a forked child neither holds the parent's lock nor may it discard the parent's hosts.
    return _of_process(os.getpid())


@functools.cache
def _of_process(pid: int) -> Workspace:
    workspace = Workspace()
    atexit.register(lambda: workspace.close() if os.getpid() == pid else None)
    return workspace


def sweep() -> list[str]:
    """Remove what dead runs left; their names."""
    with cache.lock(_runs() / ".lock", fcntl.LOCK_EX):
        return _sweep()


def _runs() -> Path:
    return cache.root() / "runs"


def _sweep() -> list[str]:
    swept = []
    for directory in [path for path in _runs().iterdir() if path.is_dir()]:
        with suppress(BlockingIOError), cache.lock(directory / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            _discard(directory)
            swept.append(directory.name)
    return swept


def _discard(directory: Path) -> None:
    for group in cgroup.leftovers(directory.name):
        group.kill()
        group.remove()
    for mount in reversed(mounts_below(directory)):
        unmount(mount)
    for device in loop.devices_below(directory):
        loop.disconnect(device)
    nspawn.forget(f"{cgroup.PREFIX}{directory.name}-*")
    remove_tree(directory)


def mounts_below(directory: Path) -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split(" ")[4].replace("\\040", " ")) for line in lines]
    return [point for point in points if point.is_relative_to(directory)]


def unmount(point: Path) -> None:
    try:
        run(["umount", point])
    except CommandError:
        run(["umount", "--lazy", point])

"""How a directory is called on the host: by its own name and by others, as each process sees the mounts."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from entrypoint.host.disks.filesystem import TOP, mounts_in
from entrypoint.host.disks.names import Place, Table, others
from entrypoint.host.host import HOST_PID, Host

DELETED = " (deleted)"


@dataclass(frozen=True)
class Called:
    """How what is in the directory `root` is called by whoever sees the mounts of a `table`: by its own name, unless
    that is another directory there, and by `others`, where it is really `there` and not what is mounted below them."""

    root: str
    is_called: bool = True
    others: tuple[str, ...] = ()
    table: Table = ()
    there: Place | None = None

    @classmethod
    def seen(cls, root: PurePosixPath, there: Place, table: Table) -> "Called":
        found = tuple(str(name.path).rstrip("/") for name in others(root, there, table))
        return cls(str(root), Place.of(root, table) == there, found, table, there)

    def below(self, path: str) -> str:
        """A path that the kernel tells of, as the directory names it, if it is in that."""
        known = path.removesuffix(DELETED)
        if self.is_called and f"{known}/".startswith(f"{self.root}/"):
            return known
        if self.there and any(f"{known}/".startswith(f"{name}/") for name in self.others):
            place = Place.of(PurePosixPath(known), self.table)
            if place.is_in(self.there):
                return str(PurePosixPath(self.root, place.inside.relative_to(self.there.inside)))
        return ""


class Mounts:
    """The names of a directory in the mounts that each process sees, which many of them have together."""

    def __init__(self, host: Host, root: PurePosixPath) -> None:
        self._root, self._known = root, dict[str, Called]()
        self._there: Place | None = None
        self.of_host = Called(str(root))
        first = host.path(f"/proc/{HOST_PID}")
        with suppress(OSError):
            table = mounts_in(first / "mountinfo")
            self._there = Place.of(root, table)
            self.of_host = Called.seen(root, self._there, table)
            self._known[os.readlink(first / "ns/mnt")] = self.of_host

    def of(self, process: Path) -> Called:
        """Raises OSError for one that has ended."""
        if self._there is None:
            return self.of_host
        space = os.readlink(process / "ns/mnt")
        if space not in self._known:
            table = mounts_in(process / "mountinfo")
            is_whole = os.readlink(process / "root") == "/" and any(mount.point == TOP for mount in table)
            if not is_whole:  # it is told of the mounts below its own root alone
                return Called(str(self._root))
            self._known[space] = Called.seen(self._root, self._there, table)
        return self._known[space]

"""The other names of a directory: the same place of a file system is mounted more than once.

A bind mount shows it under another path (`mount --bind`, `BindPaths=` of a unit, a machine on the host), and so does
one of what it is in. What is hidden by a later mount is no name. Table in, names out: nothing is looked at.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.host.disks.filesystem import TOP, Mount, mount_of

Table = tuple[Mount, ...]


@dataclass(frozen=True)
class Place:
    """Where a path really is: a file system, by its device, and the path in it."""

    device: str
    inside: PurePosixPath

    @classmethod
    def of(cls, path: PurePosixPath, table: Table) -> "Place":
        mount = mount_of(path, table)
        return cls(mount.device, mount.root / path.relative_to(mount.point))

    def is_in(self, other: "Place") -> bool:
        return self.device == other.device and self.inside.is_relative_to(other.inside)


@dataclass(frozen=True)
class Name:
    """A path under which a directory is seen, or, if there are `within`, what is in it there."""

    path: PurePosixPath
    within: PurePosixPath


def others(directory: PurePosixPath, there: Place, table: Table) -> tuple[Name, ...]:
    """The names that a table gives to a place beside `directory`; those in the directory itself are none."""
    found = []
    for mount in table:
        if mount.device != there.device:
            continue
        if mount.root.is_relative_to(there.inside):
            name = Name(mount.point, mount.root.relative_to(there.inside))
        elif there.inside.is_relative_to(mount.root):
            name = Name(mount.point / there.inside.relative_to(mount.root), PurePosixPath())
        else:
            continue
        is_seen = Place.of(name.path, table) == Place(there.device, there.inside / name.within)
        if is_seen and not name.path.is_relative_to(directory):
            found.append(name)
    return tuple(dict.fromkeys(found))


def within(path: PurePosixPath, directory: PurePosixPath, table: Table) -> PurePosixPath | None:
    """A path that is in a directory, as it is called there, whatever it was called; nothing if it is not in it."""
    if path.is_relative_to(directory):
        return path
    if path.root != "/":  # `//server/share`, as a volume may name its device
        return None
    here, there = Place.of(path, table), Place.of(directory, table)
    return directory / here.inside.relative_to(there.inside) if here.is_in(there) else None


def is_whole_host(path: PurePosixPath, table: Table) -> bool:
    return Place.of(path, table) == Place.of(TOP, table)

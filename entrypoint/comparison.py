"""Checking the copy: the target holds what the source holds, entry by entry, before anything points at it.

Compared are names, types, modes, owners, sizes, times to the nanosecond, device numbers, symbolic links, extended
attributes (ACLs, capabilities and the overlay's own among them) and which names are the same file. Content is not read
again: rsync and cp have their own words for a failed read or write, and the flush after the copy has the disk's.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.errors import CopyError

XFS_ACL = "trusted.SGI_ACL_"
SHOWN = 20  # differences that are shown; more say nothing new


@dataclass
class Comparison:
    """Two trees side by side; `entries` counts what was compared.

    `excludes` are anchored rsync patterns in which `*` stands for one name.
    """

    source: Path
    target: Path
    excludes: Iterable[str] = ()
    entries: int = 0
    _twins: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    _origins: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        patterns = [os.fsencode(pattern.lstrip("/")) for pattern in self.excludes]
        self._left_out = frozenset(pattern for pattern in patterns if b"*" not in pattern)
        stars = [re.escape(pattern).replace(rb"\*", rb"[^/]*") for pattern in patterns if b"*" in pattern]
        self._left_out_by_star = re.compile(b"|".join(stars) or rb"(?!)", re.DOTALL)

    def differences(self) -> Iterator[str]:
        """What is not equal, one sentence each, as it is found."""
        self.device = os.lstat(self.source).st_dev
        yield from self._compare(b"", os.lstat(self.source), os.lstat(self.target))
        todo = [b""]
        while todo:
            yield from self._directory(todo.pop(), todo)

    def _directory(self, where: bytes, todo: list[bytes]) -> Iterator[str]:
        ours, theirs = self._entries(self.source, where), self._entries(self.target, where)
        for name in sorted(ours.keys() - theirs.keys()):
            yield f"{show(name)} is missing"
        for name in sorted(theirs.keys() - ours.keys()):
            yield f"{show(name)} is not in the source"
        for name in ours.keys() & theirs.keys():
            one, other = ours[name].stat(follow_symlinks=False), theirs[name].stat(follow_symlinks=False)
            yield from self._compare(name, one, other)
            if stat.S_ISDIR(one.st_mode) and stat.S_ISDIR(other.st_mode) and one.st_dev == self.device:
                todo.append(name)

    def _entries(self, root: Path, where: bytes) -> dict[bytes, "os.DirEntry[bytes]"]:
        with os.scandir(os.path.join(os.fsencode(root), where)) as listing:
            named = ((where + b"/" + entry.name if where else entry.name, entry) for entry in listing)
            return {name: entry for name, entry in named if not self._is_left_out(name)}

    def _is_left_out(self, name: bytes) -> bool:
        return name in self._left_out or self._left_out_by_star.fullmatch(name) is not None

    def _compare(self, name: bytes, one: os.stat_result, other: os.stat_result) -> Iterator[str]:
        self.entries += 1
        for what, ours, theirs in _facts(one, other):
            if ours != theirs:
                yield f"{show(name)}: {what} is {theirs}, in the source {ours}"
        source, target = (os.path.join(os.fsencode(root), name) for root in (self.source, self.target))
        if stat.S_ISLNK(one.st_mode) and stat.S_ISLNK(other.st_mode) and os.readlink(source) != os.readlink(target):
            yield f"{show(name)}: points elsewhere"
        if attributes(source) != attributes(target):
            yield f"{show(name)}: extended attributes differ"
        if max(one.st_nlink, other.st_nlink) > 1 and not stat.S_ISDIR(one.st_mode):
            yield from self._links(name, one, other)

    def _links(self, name: bytes, one: os.stat_result, other: os.stat_result) -> Iterator[str]:
        """Names of one file in the source must be names of one file in the target, and of two files names of two."""
        ours, theirs = (one.st_dev, one.st_ino), (other.st_dev, other.st_ino)
        if self._twins.setdefault(ours, theirs) != theirs:
            yield f"{show(name)}: is no longer a hard link of its other names"
        elif self._origins.setdefault(theirs, ours) != ours:
            yield f"{show(name)}: is a hard link of what is another file in the source"


def _facts(one: os.stat_result, other: os.stat_result) -> Iterator[tuple[str, object, object]]:
    yield "type", stat.S_IFMT(one.st_mode), stat.S_IFMT(other.st_mode)
    yield "mode", oct(stat.S_IMODE(one.st_mode)), oct(stat.S_IMODE(other.st_mode))
    yield "owner", f"{one.st_uid}:{one.st_gid}", f"{other.st_uid}:{other.st_gid}"
    yield "time", one.st_mtime_ns, other.st_mtime_ns
    if stat.S_ISREG(one.st_mode):
        yield "size", one.st_size, other.st_size
    if stat.S_ISCHR(one.st_mode) or stat.S_ISBLK(one.st_mode):
        yield "device", one.st_rdev, other.st_rdev


def attributes(path: bytes) -> dict[str, bytes]:
    """Every extended attribute of an entry, symbolic links included, but for XFS's second name of each ACL."""
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(XFS_ACL)]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def show(name: bytes) -> str:
    """A name that may hold any byte, on one line."""
    return name.decode("utf-8", "backslashreplace").encode("unicode_escape").decode() or "the data root itself"


def is_equal(source: Path, target: Path) -> bool:
    return next(Comparison(source, target).differences(), None) is None


def require_equal(comparison: Comparison) -> int:
    """Raises CopyError when the trees differ; returns how many entries were compared."""
    found = []
    for difference in comparison.differences():
        found.append(difference)
        if len(found) > SHOWN:
            found[-1] = "and more"
            break
    if found:
        raise CopyError("The copy does not hold what the source holds.", details="\n".join(found))
    return comparison.entries

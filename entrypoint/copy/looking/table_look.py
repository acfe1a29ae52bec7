"""What can have changed in a tree, by the inode table and an index of its directories instead of by a walk.

It finds what the walk finds (changes.py), and costs as much as the file system has inodes, and what has changed; the
rest of the tree is not looked at. With the engine down, each inode that the table gives a new ctime is one of these:

* a directory that was noted at the place where it is: it is listed, and tells of what is new in it;
* another directory: it was made, or renamed, so the one that it is in has changed, too, and all below it counts;
* a file in a directory that was noted with it: that directory is listed for it;
* another file: it was made, renamed or linked, so the directory that it is in has changed, too;
* somebody else's: a file system holds more than one tree.

The table says no more than where to look: what an entry is, and when it was changed, the kernel is asked.
"""

import os
from bisect import bisect_right, insort
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from errno import ELOOP, ENOENT, ENOTDIR
from itertools import accumulate

from entrypoint.console.errors import CopyError
from entrypoint.copy.looking.changes import DIRECTORY, EVERY, Change, Look, parent
from entrypoint.copy.looking.index import Index
from entrypoint.copy.looking.left_out import LeftOut
from entrypoint.copy.looking.marks import Marks
from entrypoint.host.confined.beneath import join
from entrypoint.host.confined.tree import Tree

MOST = 100_000  # directories
ELSEWHERE = (ENOENT, ENOTDIR, ELOOP)


@dataclass
class TableLook(Look):
    """`changed` are the inodes that the table gives a new ctime. `unlisted` are places of directories that were left
    out when the index was made, and are not any more."""

    index: Index = field(kw_only=True)
    changed: Collection[int] = field(kw_only=True)
    unlisted: Collection[bytes] = ()

    def changes(self, where: bytes = b"") -> Iterator[Change]:
        if where:
            yield from super().changes(where)
        else:
            sweep = Sweep(self, self.changed)
            yield from super().changes() if sweep.is_too_large else sweep.entries()

    def names_of(self, inodes: Collection[int]) -> Iterator[Change]:
        wanted = frozenset(inodes)
        sweep = Sweep(self, wanted, only_changed=False)
        if EVERY in wanted or sweep.is_too_large:
            yield from super().names_of(wanted)
        elif wanted:
            for change in sweep.entries():
                if change.inode in wanted and change.kind != DIRECTORY:
                    yield change


@dataclass
class Sweep:
    """One look for entries that are one of the `inodes`, and for everything in directories that were not noted."""

    look: TableLook
    inodes: Collection[int]
    only_changed: bool = True
    _wholes: list[bytes] = field(default_factory=list)
    _marks: Marks = field(default_factory=Marks)

    def __post_init__(self) -> None:
        index = self.look.index
        self._left_out = LeftOut(self.look.excludes)
        self._deepest = max((pattern.count("/") for pattern in self.look.excludes), default=0)
        self._numbers = index.holding(self.inodes) | index.holding(self.look.changed)

    @property
    def is_too_large(self) -> bool:
        """Whether there are more directories to be listed than are to be kept in memory by name."""
        return len(self._numbers) > MOST

    def entries(self) -> Iterator[Change]:
        """Parents come before what is in them. Raises CopyError: nothing may go under our eyes."""
        try:
            yield from self._entries()
        except OSError as error:
            raise CopyError("What has changed cannot be looked for.", details=str(error)) from error

    def _entries(self) -> Iterator[Change]:
        tree, visits = Tree(self.look.root), self._visits()
        for name in sorted(visits, key=_in_order):
            if not self._is_passed_over(name):
                with ExitStack() as stack:
                    try:
                        folder = stack.enter_context(tree.folder(name))
                    except OSError as error:
                        if error.errno not in ELSEWHERE:
                            raise
                        continue  # what it was in has changed, and tells where it is
                    yield from self._visited(name, folder, is_unsure=visits[name])

    def _visits(self) -> dict[bytes, bool]:
        """The directories to be listed, by name, and whether what they hold was not noted to the last."""
        index = self.look.index
        unsure = [*map(index.name, index.unsure), *map(parent, self.look.unlisted)]
        return {**dict.fromkeys(map(index.name, self._numbers), False), **dict.fromkeys(unsure, True)}

    def _is_passed_over(self, name: bytes) -> bool:
        """Whether it is left out, or in something that is, or in what everything was found in already."""
        parts = name.split(b"/", self._deepest + 1)[: self._deepest + 1]
        if any(above in self._left_out for above in accumulate(parts, join)):
            return True
        key = _in_order(name)
        at = bisect_right(self._wholes, key)  # none of them is in another: the last before it, if any
        return at > 0 and (key + b"\0").startswith(self._wholes[at - 1] + b"\0")

    def _visited(self, where: bytes, folder: int, *, is_unsure: bool) -> Iterator[Change]:
        status = os.fstat(folder)
        has_changed = status.st_ctime > self.look.since
        if has_changed:
            is_known = self._is_known(status.st_ino, where)
            yield from self._folder(where, status, is_known=is_known)
            if not is_known:
                return
        yield from self._listed(where, folder, is_unsure=has_changed or is_unsure)

    def _listed(self, where: bytes, folder: int, *, is_unsure: bool) -> Iterator[Change]:
        inodes, changed = self.inodes, self.look.changed
        with os.scandir(folder) as listing:
            for entry in listing:
                inode = entry.inode()
                if is_unsure or inode in inodes or inode in changed:
                    last = os.fsencode(entry.name)
                    if (name := join(where, last)) in self._left_out:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._directory(name, last, folder, is_unsure=is_unsure)
                    elif inode in inodes:
                        yield from self._file(name, last, folder)

    def _file(self, name: bytes, last: bytes, folder: int) -> Iterator[Change]:
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
        if not self.only_changed or status.st_ctime > self.look.since:
            yield Change(b"-", status.st_ino, status.st_nlink, 512 * status.st_blocks, name)

    def _directory(self, name: bytes, last: bytes, folder: int, *, is_unsure: bool) -> Iterator[Change]:
        """One in another. If it was noted there it is visited by itself, if at all."""
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
        if self._is_known(status.st_ino, name):
            return
        if status.st_ctime > self.look.since:
            yield from self._folder(name, status, is_known=False)
        elif is_unsure:
            insort(self._wholes, _in_order(name))
            yield from self.look.changes(name) if self.only_changed else self.look.below(name)

    def _folder(self, name: bytes, status: os.stat_result, *, is_known: bool) -> Iterator[Change]:
        size = 512 * status.st_blocks
        yield Change(DIRECTORY, status.st_ino, status.st_nlink, size, name, whole=not is_known)
        if not is_known:
            insort(self._wholes, _in_order(name))
            yield from self.look.below(name)

    def _is_known(self, inode: int, name: bytes) -> bool:
        return self._marks.mark(inode, name) in self.look.places


def _in_order(name: bytes) -> bytes:
    """A key by which what is in a directory comes next after it."""
    return name.replace(b"/", b"\0")

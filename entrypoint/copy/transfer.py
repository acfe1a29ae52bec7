"""Making the target equal to the source at named places: what is gone goes, files by the copier, directories last.

The copier does the files, a few hundred names at a time and several at once, in programs of its own while the engine
runs, and in this one when it is down and nothing is held back. Names, directories and hard links are ours: a file of
several names is copied once and linked to the others; a directory gets its attributes when nothing is written into it
any more, for that would change its times.

rsync is not used. Since 3.5.0 it follows symbolic links itself, one by one, and takes `/proc/1/root`, through which the
container sees the host, for the container's own root. With -H it can wait for itself for ever when names come and go,
and it holds every name of a tree in memory, three times.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from entrypoint.console.errors import CopyError
from entrypoint.copy import cp
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking.changes import DIRECTORY, Change, Found, Look
from entrypoint.copy.looking.left_out import LeftOut
from entrypoint.copy.tree_copier import FULL, TreeCopier
from entrypoint.host.confined.beneath import CHANGED, join
from entrypoint.host.confined.entries import dress_folder, link, made, unlink
from entrypoint.host.confined.removal import remove_beneath
from entrypoint.host.confined.tree import Names, Tree

BATCH = 300  # names for one program at once, so that several have to do
LONGEST = 1_000_000  # bytes of names for one program


@dataclass
class Sent:
    """What a pass did; `partial` is what could not be copied while the engine runs, a line each."""

    files: int = 0
    size: int = 0
    partial: str = ""


@dataclass
class Transfer:
    """One pass. `live`: the source is in use, and what goes or turns into something else is left to the next pass.

    `linked` are the inodes of files of several names that were found to differ.
    """

    source: Path
    target: Path
    left_out: LeftOut
    live: bool
    programs: Programs
    workers: int = 2
    sent: Sent = field(default_factory=Sent)
    linked: set[int] = field(default_factory=set)
    _batch: list[bytes] = field(default_factory=list)
    _names: Names = field(default_factory=Names)
    _firsts: dict[int, int] = field(default_factory=dict)
    _links: list[tuple[int, int]] = field(default_factory=list)
    _found: Found = field(default_factory=Found)
    _folders: set[int] = field(default_factory=set)
    _running: "deque[Future[str]]" = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._ours, self._theirs = Tree(self.source), Tree(self.target)
        self._device = os.fstat(self._ours.root).st_dev

    def apply(self, changes: Iterable[Change], look: Look, folders: Iterable[bytes] = ()) -> Sent:
        """Copy what a look finds; `folders` get their attributes in any case. Raises CopyError."""
        with self.programs.signals.pool(self.workers) as self._pool:
            for change in changes:
                if not self.live:
                    self._found.note(change)
                self.take(change, look)
            for change in self._found.others(look):
                self.take(change, look)
            for folder in folders:
                self._dress(folder)
            return self.finish()

    def apply_names(self, names: Iterable[bytes], look: Look) -> Sent:
        """Copy entries that were found to differ: a missing directory with all it holds, a file with its links."""
        with self.programs.signals.pool(self.workers) as self._pool:
            for name in names:
                if (status := self._ours.found(name)) is None:
                    with self._changing(name):
                        self._remove(name)
                elif status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    self.linked.add(status.st_ino)
                else:
                    self._take_named(name, look)
            for change in look.names_of(self.linked):
                self.take(change, look)
            return self.finish()

    @property
    def folders(self) -> Iterator[bytes]:
        """The directories of the copy in which anything was changed."""
        return map(self._names.name, self._folders)

    def link_again(self, inodes: Iterable[int], look: Look) -> Sent:
        """Make the names of each of these files names of one file, where they are not. Raises CopyError."""
        files: dict[int, list[Change]] = {}
        for change in look.names_of(set(inodes)):
            files.setdefault(change.inode, []).append(change)
        with self.programs.signals.pool(self.workers) as self._pool:
            for change in chain.from_iterable(names for names in files.values() if not self._are_one(names)):
                self.take(change, look)
            return self.finish()

    def _are_one(self, names: Iterable[Change]) -> bool:
        found = {status and status.st_ino for status in (self._theirs.found(change.name) for change in names)}
        return len(found) == 1 and None not in found

    def take(self, change: Change, look: Look) -> None:
        """Copy one entry, now or with others."""
        with self._changing(change.name):
            if change.kind == DIRECTORY:
                self._take_directory(change, look)
            else:
                self._take_file(change)

    def finish(self) -> Sent:
        """Wait for what was begun; then the links, and the directories, which nothing touches any more."""
        self._copy_batch()
        while self._running:
            self.sent.partial += self._running.popleft().result()
        for first, other in (map(self._names.name, pair) for pair in self._links):
            with self._changing(other):
                self._link(first, other)
        for folder in map(self._names.name, self._folders):
            with self._changing(folder), self._ours.folder(folder) as ours, self._theirs.folder(folder) as theirs:
                dress_folder(ours, theirs)
        return self.sent

    def _take_named(self, name: bytes, look: Look) -> None:
        with self._changing(name):
            status = self._ours.status(name)
            kind = DIRECTORY if stat.S_ISDIR(status.st_mode) else b"-"
            is_new = self._theirs.found(name) is None
            self.take(Change(kind, status.st_ino, status.st_nlink, 512 * status.st_blocks, name), look)
            if kind == DIRECTORY and is_new:
                for change in look.below(name):
                    self.take(change, look)

    def _take_directory(self, change: Change, look: Look) -> None:
        if not self._theirs.has_directory(change.name):
            self._remove(change.name)
            with self._theirs.above(change.name) as (folder, last):
                made(folder, last, lambda: os.mkdir(last, 0o700, dir_fd=folder))
        self._dress(change.name)
        self._take_names(change, look)

    def _take_names(self, change: Change, look: Look) -> None:
        """Remove what the source no longer has there. What the target lacks is listed by itself, if it is new."""
        theirs = set(self._theirs.names(change.name))
        for name in self._ours.names(change.name):
            if name in theirs:
                theirs.discard(name)
            elif not change.whole and (place := join(change.name, name)) not in self.left_out:
                self._take_old(place, look)
        for name in theirs:
            if (place := join(change.name, name)) not in self.left_out:
                self._remove(place)

    def _take_old(self, name: bytes, look: Look) -> None:
        """Something that is missing though it has not changed: a pass before this one could not copy it."""
        with self._changing(name):
            status = self._ours.status(name)
            if status.st_ctime <= look.since and status.st_dev == self._device:
                self._take_named(name, look)

    def _take_file(self, change: Change) -> None:
        self._dress(change.name.rpartition(b"/")[0])
        if change.links > 1:
            name = self._names.put(change.name)
            first = self._firsts.setdefault(change.inode, name)
            if first != name:
                self._links.append((first, name))
                return
        if self._theirs.has_directory(change.name):
            self._remove(change.name)
        self.sent.files += 1
        self.sent.size += change.size
        self._batch.append(change.name)
        if len(self._batch) >= BATCH or sum(map(len, self._batch)) > LONGEST:
            self._copy_batch()

    def _dress(self, folder: bytes) -> None:
        """A directory gets its attributes at the end."""
        self._folders.add(self._names.put(folder))

    def _copy_batch(self) -> None:
        if self._batch:
            copy = self._copy_live if self.live else self._copy_at_once
            self._running.append(self._pool.submit(copy, self._batch))
            self._batch = []
        while len(self._running) > 2 * self.workers:
            self.sent.partial += self._running.popleft().result()

    def _copy_live(self, names: list[bytes]) -> str:
        return self.programs.copy("names", self.source, self.target, names)

    def _copy_at_once(self, names: list[bytes]) -> str:
        try:
            TreeCopier(self._ours.root, self._theirs.root, live=False).names(names)
        except OSError as error:
            raise failed(error.filename or b"", error) from error
        return ""

    def _link(self, first: bytes, other: bytes) -> None:
        self._remove(other)
        with self._theirs.above(first) as (one, name), self._theirs.above(other) as (folder, last):
            link(one, name, folder, last)

    def _remove(self, name: bytes) -> None:
        """Remove whatever the target has at a place; the directory it was in is dressed again."""
        self._dress(name.rpartition(b"/")[0])
        self._folders.discard(self._names.put(name))
        self._theirs.forget()
        with suppress(FileNotFoundError), self._theirs.above(name) as (folder, last):
            if not _is_directory(folder, last):
                unlink(folder, last)
            elif problems := remove_beneath(folder, [os.fsdecode(last)]):
                if self.live:  # somebody has exchanged it, and another program of ours is copying into it just now
                    raise OSError(errno.ENOTEMPTY, problems[0], name)
                raise CopyError(f"{os.fsdecode(name)!r} in the copy cannot be removed.", details="\n".join(problems))

    @contextmanager
    def _changing(self, name: bytes) -> Iterator[None]:
        """With the engine down nothing may go under our eyes; while it runs that is left to the next pass, and so is
        what cannot be copied just now."""
        try:
            yield
        except OSError as error:
            if not self.live or error.errno in FULL:
                raise failed(name, error) from error
            if error.errno not in CHANGED:
                self.sent.partial += f"{os.fsdecode(name)!r}: {error.strerror}\n"


def failed(name: bytes, error: OSError) -> CopyError:
    return cp.failed(f"{os.fsdecode(name)!r} cannot be copied.", str(error))


def _is_directory(folder: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)

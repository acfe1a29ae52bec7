"""Making the target equal to the source at named places: what is gone goes, files by cp, directories last.

cp does the bytes, a few hundred names at a time and several at once. Names, directories and hard links are ours: a file
of several names is copied once and linked to the others; a directory gets its attributes when nothing is written into
it any more, for that would change its times.

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
from pathlib import Path

from entrypoint import cp
from entrypoint.changes import DIRECTORY, Change, Look
from entrypoint.comparison import LeftOut, attributes
from entrypoint.errors import CopyError
from entrypoint.host import run
from entrypoint.interruption import pool
from entrypoint.selinux import LABEL

BATCH = 300  # names for one cp; starting one takes as long as copying some tens of small files
LONGEST = 100_000  # bytes of names for one cp; the kernel takes two million
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ESTALE)


@dataclass
class Sent:
    """What a pass did; `partial` is what cp said of files that it could not copy while the engine runs."""

    files: int = 0
    size: int = 0
    partial: str = ""


@dataclass
class Transfer:
    """One pass. `live`: the source is in use, and what goes or turns into something else is left to the next pass."""

    source: Path
    target: Path
    left_out: LeftOut
    live: bool
    workers: int = 2
    sent: Sent = field(default_factory=Sent)
    _batch: list[bytes] = field(default_factory=list)
    _firsts: dict[int, bytes] = field(default_factory=dict)
    _links: list[tuple[bytes, bytes]] = field(default_factory=list)
    _folders: set[bytes] = field(default_factory=set)
    _running: "deque[Future[str]]" = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._roots = os.fsencode(self.source), os.fsencode(self.target)

    def apply(self, changes: Iterable[Change], look: Look, folders: Iterable[bytes] = ()) -> Sent:
        """Copy what a look finds; `folders` get their attributes in any case. Raises CopyError."""
        with pool(self.workers) as self._pool:
            for change in changes:
                self.take(change, look)
            self._folders |= set(folders)
            return self.finish()

    def apply_names(self, names: Iterable[bytes], look: Look) -> Sent:
        """Copy entries that were found to differ: a missing directory with all it holds, a file with its links."""
        with pool(self.workers) as self._pool:
            linked: set[int] = set()
            for name in names:
                if (status := self._source_status(name)) is None:
                    self._remove(name)
                elif status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    linked.add(status.st_ino)
                else:
                    self._take_named(name, look)
            for change in look.names_of(linked) if linked else ():
                self.take(change, look)
            return self.finish()

    def _source_status(self, name: bytes) -> os.stat_result | None:
        try:
            return os.lstat(self._place(0, name))
        except OSError as error:
            if error.errno in GONE:
                return None
            raise

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
        for first, other in self._links:
            with self._changing(other):
                self._link(first, other)
        for folder in self._folders:
            with self._changing(folder):
                dress(self._place(0, folder), self._place(1, folder))
        return self.sent

    def _take_named(self, name: bytes, look: Look) -> None:
        with self._changing(name):
            status = os.lstat(self._place(0, name))
            kind = DIRECTORY if stat.S_ISDIR(status.st_mode) else b"-"
            is_new = not os.path.lexists(self._place(1, name))
            self.take(Change(kind, status.st_ino, status.st_nlink, 512 * status.st_blocks, name), look)
            if kind == DIRECTORY and is_new:
                for change in look.below(name):
                    self.take(change, look)

    def _take_directory(self, change: Change, look: Look) -> None:
        place = self._place(1, change.name)
        if not _is_directory(place):
            self._remove(change.name)
            os.mkdir(place, 0o700)
        self._folders.add(change.name)
        self._take_names(change, look)

    def _take_names(self, change: Change, look: Look) -> None:
        """Remove what the source no longer has there. What the target lacks is listed by itself, if it is new."""
        theirs = set(_names(self._place(1, change.name)))
        for name in _names(self._place(0, change.name)):
            if name in theirs:
                theirs.discard(name)
            elif not change.whole and (place := _join(change.name, name)) not in self.left_out:
                self._take_old(place, look)
        for name in theirs:
            if (place := _join(change.name, name)) not in self.left_out:
                self._remove(place)

    def _take_old(self, name: bytes, look: Look) -> None:
        """Something that is missing though it has not changed: a pass before this one could not copy it."""
        with self._changing(name):
            status = os.lstat(self._place(0, name))
            if status.st_ctime <= look.since and status.st_dev == os.lstat(self._roots[0]).st_dev:
                self._take_named(name, look)

    def _take_file(self, change: Change) -> None:
        self._folders.add(change.name.rpartition(b"/")[0])
        if change.links > 1:
            first = self._firsts.setdefault(change.inode, change.name)
            if first != change.name:
                self._links.append((first, change.name))
                return
        if _is_directory(self._place(1, change.name)):
            self._remove(change.name)
        self.sent.files += 1
        self.sent.size += change.size
        self._batch.append(b"./" + change.name)
        if len(self._batch) >= BATCH or sum(map(len, self._batch)) > LONGEST:
            self._copy_batch()

    def _copy_batch(self) -> None:
        if self._batch:
            command = cp.names_command(self.target, self._batch)
            self._running.append(self._pool.submit(cp.copy, command, live=self.live, cwd=self.source))
            self._batch = []
        while len(self._running) > 2 * self.workers:
            self.sent.partial += self._running.popleft().result()

    def _link(self, first: bytes, other: bytes) -> None:
        self._remove(other)
        os.link(self._place(1, first), self._place(1, other), follow_symlinks=False)

    def _remove(self, name: bytes) -> None:
        """Remove whatever the target has at a place; the directory it was in is dressed again."""
        self._folders.add(name.rpartition(b"/")[0])
        self._folders.discard(name)
        place = self._place(1, name)
        if _is_directory(place):
            remove(place)
        else:
            with suppress(FileNotFoundError):
                os.unlink(place)

    def _place(self, side: int, name: bytes) -> bytes:
        return self._roots[side] + b"/" + name if name else self._roots[side]

    @contextmanager
    def _changing(self, name: bytes) -> Iterator[None]:
        """With the engine down nothing may go under our eyes; while it runs that is left to the next pass."""
        try:
            yield
        except OSError as error:
            if not self.live or error.errno not in GONE:
                raise cp.failed(f"{os.fsdecode(name)!r} cannot be copied.", str(error)) from error


def dress(source: bytes, target: bytes) -> None:
    """Give a directory the owner, mode, attributes and times of another."""
    status = os.lstat(source)
    if not stat.S_ISDIR(status.st_mode):
        return
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    wanted, there = attributes(source), attributes(target)
    for name in there.keys() - wanted.keys() - {LABEL}:  # nobody may remove a label where SELinux is on
        os.removexattr(target, name, follow_symlinks=False)
    for name, value in wanted.items():
        if there.get(name) != value:
            os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def remove(place: bytes) -> None:
    """Remove a directory with all it holds, but for what is mounted there."""
    result = run(["rm", "-rf", "--one-file-system", "--", os.fsdecode(place)], timeout=None, check=False)
    if result.code:
        raise CopyError(f"{os.fsdecode(place)!r} in the copy cannot be removed.", details=result.stderr[-1000:])


def _is_directory(place: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise


def _names(place: bytes) -> Iterator[bytes]:
    with os.scandir(place) as listing:
        yield from (entry.name for entry in listing)


def _join(where: bytes, name: bytes) -> bytes:
    return where + b"/" + name if where else name

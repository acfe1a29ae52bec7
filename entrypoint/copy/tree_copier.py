"""The program that copies what tenants can write: whole directories, or single names, by descriptors alone.

Several work at a time, each with the two roots as open directories, and each stays for shard after shard: to start one
takes as long as copying hundreds of small files. It enters the confined namespace before it touches anything, where
nothing of the host is but source and target. It reads from its input what to copy, and tells on its output what it
could not, a line each; what went or became another thing meanwhile is not told, for the next look finds that changed.
It ends with code 1 if the target cannot take any more.

Nothing is imported here but what the image's Python has itself, and little of that.
"""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator

from entrypoint.host.confined.beneath import CHANGED, FOLDER, open_beneath
from entrypoint.host.confined.blocks import Blocks
from entrypoint.host.confined.entries import (
    copy_entry,
    copy_opened,
    dress_folder,
    gives_nothing,
    link,
    made,
    open_known,
    unlink,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
END = b"\0"
DEEPEST = 100  # names below each other; each holds two descriptors and a call of a function
# So many are copied of a directory and those in each other in it: who adds some to the last would keep us for ever. The
# next look refuses what is as deep.
MOST = 25_000
NEW_NAMESPACE = 0x20000  # CLONE_NEWNS


# A name within another: what is above many deep ones is kept once, not in each of them. Only the first is a path.
Node = tuple["Node | None", bytes]


def whole(node: "Node | None") -> bytes:
    parts: list[bytes] = []
    while node is not None:
        node, last = node
        parts.append(last)
    return b"/".join(filter(None, reversed(parts)))  # a root's own name is empty


class TreeCopier:
    """Source and target are open directories; `said` is what could not be copied, a line each.

    With `links` files are linked, not copied: of what never changes, on one file system. While the source is in use
    (`live`), what goes or changes is passed over.
    """

    def __init__(self, source: int, target: int, *, links: bool = False, live: bool = True) -> None:
        self.source, self.target, self.links, self.live = source, target, links, live
        self.said: list[str] = []
        self._blocks = Blocks()
        self._firsts: dict[int, Node] = {}
        self._deep: list[tuple[Node, int]] = []
        self._level = 0

    def tree(self, name: bytes) -> None:
        """A directory with all that it holds, but for what another file system holds."""
        self._deep = [((None, name), 0)]
        while self._deep:
            where, self._level = self._deep.pop()
            if self._level > MOST:
                continue
            try:
                self._begin(where, whole(where))
            except OSError as error:
                self.tell(whole(where), error)

    def names(self, names: list[bytes]) -> None:
        """Entries that are no directories, each by itself; the directories that they are in are there."""
        where, ours, theirs = None, -1, -1
        try:
            for name in names:
                above, _, last = name.rpartition(b"/")
                try:
                    if above != where:
                        _close(ours, theirs)
                        where, ours, theirs = None, -1, -1
                        ours = open_beneath(self.source, above)
                        theirs = open_beneath(self.target, above)
                        where = above
                    status = os.stat(last, dir_fd=ours, follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):  # else the next look finds a new directory
                        copy_entry(ours, theirs, last, status, self._blocks)
                except OSError as error:
                    self.tell(name, error)
        finally:
            _close(ours, theirs)

    def tell(self, name: bytes, error: OSError) -> None:
        """Raises what ends all; keeps in mind what only this entry has."""
        if error.errno in FULL or not self.live:
            raise OSError(error.errno, error.strerror, name) from error
        if error.errno not in CHANGED:
            self.said.append(f"{os.fsdecode(name)!r}: {error.strerror}")

    def _begin(self, where: Node, name: bytes) -> None:
        ours = theirs = -1
        try:
            ours = open_beneath(self.source, name)
            above, _, last = name.rpartition(b"/")
            folder = open_beneath(self.target, above)
            try:
                theirs = self._folder(folder, last or b".")
            finally:
                os.close(folder)
            self._inside(ours, theirs, where, 0)
            dress_folder(ours, theirs)
        finally:
            _close(ours, theirs)

    def _folder(self, folder: int, name: bytes) -> int:
        """A directory of the target, made if it is not there."""
        try:
            return os.open(name, FOLDER, dir_fd=folder)
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            unlink(folder, name)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            unlink(folder, name)
        made(folder, name, lambda: os.mkdir(name, 0o700, dir_fd=folder))
        return os.open(name, FOLDER, dir_fd=folder)

    def _inside(self, ours: int, theirs: int, where: Node, depth: int) -> None:
        if os.fstat(ours).st_dev != os.fstat(self.source).st_dev:
            return
        plain = not self.links and gives_nothing(theirs)
        with os.scandir(ours) as listing:
            for entry in listing:
                name = os.fsencode(entry.name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._directory(ours, theirs, name, (where, name), depth)
                    elif self.links:
                        _link_same(ours, theirs, name)
                    elif entry.is_file(follow_symlinks=False):
                        self._file(ours, theirs, name, where, plain)
                    else:
                        self._other(ours, theirs, name, where)
                except OSError as error:
                    self.tell(whole((where, name)), error)

    def _directory(self, ours: int, theirs: int, name: bytes, where: Node, depth: int) -> None:
        inner = os.open(name, FOLDER, dir_fd=ours)
        copy = -1
        try:
            copy = self._folder(theirs, name)
            if depth < DEEPEST:
                self._inside(inner, copy, where, depth + 1)
                dress_folder(inner, copy)
            else:
                self._deep.append((where, self._level + depth + 1))
        finally:
            _close(inner, copy)

    def _file(self, ours: int, theirs: int, name: bytes, where: Node, plain: bool) -> None:
        handle, status = open_known(ours, name)
        try:
            if status.st_nlink == 1:
                copy_opened(handle, status, theirs, name, self._blocks, is_plain=plain)
            elif (first := self._firsts.get(status.st_ino)) is not None:
                self._link(whole(first), theirs, name)
            else:
                copy_opened(handle, status, theirs, name, self._blocks, is_plain=plain)
                self._firsts[status.st_ino] = (where, name)
        finally:
            os.close(handle)

    def _other(self, ours: int, theirs: int, name: bytes, where: Node) -> None:
        status = os.stat(name, dir_fd=ours, follow_symlinks=False)
        if status.st_nlink > 1 and (first := self._firsts.get(status.st_ino)) is not None:
            self._link(whole(first), theirs, name)
            return
        copy_entry(ours, theirs, name, status, self._blocks)
        if status.st_nlink > 1:
            self._firsts[status.st_ino] = (where, name)

    def _link(self, first: bytes, theirs: int, name: bytes) -> None:
        above, _, last = first.rpartition(b"/")
        folder = open_beneath(self.target, above)
        try:
            link(folder, last, theirs, name)
        finally:
            os.close(folder)


def _link_same(ours: int, theirs: int, name: bytes) -> None:
    """Another name for a file of a layer, on the same file system."""
    made(theirs, name, lambda: os.link(name, name, src_dir_fd=ours, dst_dir_fd=theirs, follow_symlinks=False))


def _close(*handles: int) -> None:
    for handle in handles:
        if handle >= 0:
            os.close(handle)


def enter(namespace: int) -> None:
    """Go where source and target are, and nothing else; there is no /proc there. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, NEW_NAMESPACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main(words: list[str]) -> int:
    """The descriptors of the two roots, and that of the namespace, if any."""
    source, target, *namespace = map(int, words)
    try:
        if namespace:
            enter(namespace[0])
        for what, *names in requests(sys.stdin.fileno()):
            copier = TreeCopier(source, target, links=what == b"links")
            copy(copier, what, names)
            sys.stdout.buffer.write(os.fsencode("".join(f"{line}\n" for line in copier.said)) + END)
            sys.stdout.buffer.flush()
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {os.fsdecode(error.filename or b'')!r}\n")
        return 1
    return 0


def copy(copier: TreeCopier, what: bytes, names: list[bytes]) -> None:
    """`trees`, `names` or `links` (of trees)."""
    if what == b"names":
        copier.names(names)
    else:
        for name in names:
            copier.tree(name)


def requests(handle: int) -> Iterator[list[bytes]]:
    """Words, each ended by a zero byte, and one more at the end; each request is answered before the next comes."""
    while True:
        asked = b""
        while not asked.endswith(END + END):
            if not (piece := os.read(handle, 1 << 18)):
                return
            asked += piece
        yield asked[:-2].split(END)

"""The program that copies what tenants can write: whole directories, or single names, by descriptors alone.

It is started for each shard, several at a time, with the two roots as open directories, and reads from its input the
names, each ended by a zero byte. It enters the confined namespace before it touches anything, where nothing of the host
is but source and target. On its output it tells what it could not copy, a line each; what went or became another thing
meanwhile is not told, for the next look finds that changed. Its code is 1 if the target cannot take any more.

Nothing is imported here but what the image's Python has itself: there may be thousands of these in a move.
"""

import ctypes
import errno
import os
import stat
import sys

from entrypoint import beneath
from entrypoint.beneath import CHANGED, FOLDER, join, open_beneath
from entrypoint.entries import copy_entry, dress_folder, link, made, unlink

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
DEEPEST = 100  # names below each other; each holds two descriptors and a call of a function
NEW_NAMESPACE = 0x20000  # CLONE_NEWNS


class TreeCopier:
    """Source and target are open directories; `said` is what could not be copied, a line each.

    With `links` files are linked, not copied: of what never changes, on one file system. While the source is in use
    (`live`), what goes or changes is passed over.
    """

    def __init__(self, source: int, target: int, *, links: bool = False, live: bool = True) -> None:
        self.source, self.target, self.links, self.live = source, target, links, live
        self.said: list[str] = []
        self._firsts: dict[int, bytes] = {}
        self._deep: list[bytes] = []

    def tree(self, name: bytes) -> None:
        """A directory with all that it holds, but for what another file system holds."""
        self._deep = [name]
        while self._deep:
            self._begin(self._deep.pop())

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
                        copy_entry(ours, theirs, last, status)
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

    def _begin(self, name: bytes) -> None:
        ours = theirs = -1
        try:
            ours = open_beneath(self.source, name)
            above, _, last = name.rpartition(b"/")
            folder = open_beneath(self.target, above)
            try:
                theirs = self._folder(folder, last or b".")
            finally:
                os.close(folder)
            self._inside(ours, theirs, name, 0)
            dress_folder(ours, theirs)
        except OSError as error:
            self.tell(name, error)
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

    def _inside(self, ours: int, theirs: int, where: bytes, depth: int) -> None:
        if os.fstat(ours).st_dev != os.fstat(self.source).st_dev:
            return
        with os.scandir(ours) as listing:
            for entry in listing:
                name = os.fsencode(entry.name)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._directory(ours, theirs, name, join(where, name), depth)
                    else:
                        self._entry(ours, theirs, name, join(where, name))
                except OSError as error:
                    self.tell(join(where, name), error)

    def _directory(self, ours: int, theirs: int, name: bytes, whole: bytes, depth: int) -> None:
        inner = os.open(name, FOLDER, dir_fd=ours)
        copy = -1
        try:
            copy = self._folder(theirs, name)
            if depth < DEEPEST:
                self._inside(inner, copy, whole, depth + 1)
                dress_folder(inner, copy)
            else:
                self._deep.append(whole)
        finally:
            _close(inner, copy)

    def _entry(self, ours: int, theirs: int, name: bytes, whole: bytes) -> None:
        if self.links:
            made(theirs, name, lambda: os.link(name, name, src_dir_fd=ours, dst_dir_fd=theirs, follow_symlinks=False))
            return
        status = os.stat(name, dir_fd=ours, follow_symlinks=False)
        if status.st_nlink > 1 and (first := self._firsts.get(status.st_ino)) is not None:
            self._link(first, theirs, name)
            return
        copy_entry(ours, theirs, name, status)
        if status.st_nlink > 1:
            self._firsts[status.st_ino] = whole

    def _link(self, first: bytes, theirs: int, name: bytes) -> None:
        above, _, last = first.rpartition(b"/")
        folder = open_beneath(self.target, above)
        try:
            link(folder, last, theirs, name)
        finally:
            os.close(folder)


def _close(*handles: int) -> None:
    for handle in handles:
        if handle >= 0:
            os.close(handle)


def enter(namespace: int) -> None:
    """Go where source and target are, and nothing else; there is no /proc there. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, NEW_NAMESPACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    beneath.without_proc()


def main(words: list[str]) -> int:
    """`trees`, `names` or `links` (of trees), the descriptors of the two roots, and that of the namespace, if any."""
    what, source, target, *namespace = words
    names = [name for name in sys.stdin.buffer.read().split(b"\0") if name]
    copier = TreeCopier(int(source), int(target), links=what == "links")
    try:
        if namespace:
            enter(int(namespace[0]))
        if what == "names":
            copier.names(names)
        else:
            for name in names:
                copier.tree(name)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {os.fsdecode(error.filename or b'')!r}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in copier.said))
    return 0

"""A directory as the root of all that is asked below it, by descriptors alone (beneath.py)."""

import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrypoint.host.confined.beneath import CHANGED, FOLDER, LONGEST, open_beneath


class Tree:
    """A directory as the root of all that is asked here; names are bytes relative to it, and empty for itself.

    The last directory that lies deeper than a path can tell is kept open, for what is asked next is mostly inside it:
    from the root the kernel would walk ten thousand names each time. So one is for one thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.root)
        self._near = b""
        self._kept: list[int] = []
        weakref.finalize(self, _close, self._kept)

    def forget(self) -> None:
        """What is kept open may have been removed, or replaced."""
        _close(self._kept)

    @contextmanager
    def folder(self, name: bytes) -> Iterator[int]:
        """A directory's descriptor. Raises OSError, also if the name is a link by now."""
        handle = self._open(name)
        try:
            yield handle
        finally:
            os.close(handle)

    def _open(self, name: bytes) -> int:
        if len(name) <= LONGEST:
            return open_beneath(self.root, name)
        if self._kept and is_within(name, self._near):
            handle = open_beneath(self._kept[0], name[len(self._near) + 1 :])
        else:
            handle = open_beneath(self.root, name)
        self.forget()
        self._near = name
        self._kept.append(os.open(b".", FOLDER, dir_fd=handle))
        return handle

    @contextmanager
    def above(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """The descriptor of the directory that a name is in, and its last part; the root is in itself."""
        where, _, last = name.rpartition(b"/")
        if not where:
            yield self.root, last or b"."
            return
        with self.folder(where) as handle:
            yield handle, last

    def status(self, name: bytes) -> os.stat_result:
        with self.above(name) as (folder, last):
            return os.stat(last, dir_fd=folder, follow_symlinks=False)

    def found(self, name: bytes) -> os.stat_result | None:
        """The same, or nothing if there is nothing by this name."""
        try:
            return self.status(name)
        except OSError as error:
            if error.errno in CHANGED:
                return None
            raise

    def has_directory(self, name: bytes) -> bool:
        status = self.found(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def names(self, name: bytes) -> list[bytes]:
        """What a directory holds."""
        with self.folder(name) as handle, os.scandir(handle) as listing:
            return [os.fsencode(entry.name) for entry in listing]


class Names:
    """Many names, each by a number; what is above them is kept once.

    Ten thousand directories below each other have names of gigabytes, if each is kept whole. They are put one after
    the other, so where the last one is is kept, too.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._names: list[tuple[int, bytes]] = [(0, b"")]
        self._near, self._at = b"", 0

    def put(self, name: bytes) -> int:
        above, _, last = name.rpartition(b"/")
        if not is_within(above, self._near):
            self._near, self._at = b"", 0
        self._at = self._below(self._at, above[len(self._near) :].lstrip(b"/"))
        self._near = above
        return self._below(self._at, last)

    def _below(self, at: int, name: bytes) -> int:
        for last in name.split(b"/") if name else ():
            number = self._numbers.setdefault((at, last), len(self._names))
            if number == len(self._names):
                self._names.append((at, last))
            at = number
        return at

    def name(self, number: int) -> bytes:
        parts: list[bytes] = []
        while number:
            number, last = self._names[number]
            parts.append(last)
        return b"/".join(reversed(parts))


def is_within(name: bytes, where: bytes) -> bool:
    """Whether a name is that of a directory, or of something in it; the root's is empty."""
    return not where or (name.startswith(where) and name[len(where) : len(where) + 1] in (b"", b"/"))


def _close(handles: list[int]) -> None:
    while handles:
        os.close(handles.pop())

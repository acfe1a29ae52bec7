"""Numbers for places, and for what is there: eight bytes in the stead of a name."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from entrypoint.host.confined.beneath import LONGEST
from entrypoint.host.disks.filesystem import atomic_write, read_ours


class Marks:
    """The marks of directories that are looked at one after the other.

    What lies deeper than a path can tell is mostly in what was looked at just before, of which so much is known: of
    ten thousand directories in each other, gigabytes of names would be read each time.
    """

    def __init__(self) -> None:
        self._near, self._known = b"", blake2b(digest_size=8)

    def mark(self, inode: int, name: bytes) -> int:
        of_place = self._of(name).copy()
        of_place.update(b"\0%d" % inode)
        return int.from_bytes(of_place.digest(), "little")

    def place(self, name: bytes) -> int:
        """The same of a place alone, whatever is there."""
        return int.from_bytes(self._of(name).digest(), "little")

    def _of(self, name: bytes) -> blake2b:
        if len(name) <= LONGEST:
            return blake2b(name, digest_size=8)
        if not name.startswith(self._near):
            self._near, self._known = b"", blake2b(digest_size=8)
        found = self._known.copy()
        found.update(memoryview(name)[len(self._near) :])
        self._near, self._known = name, found
        return found


@dataclass
class Places:
    """Which directory, by its inode number, is at which place: eight bytes each, in order."""

    marks: "array[int]" = field(default_factory=lambda: array("Q"))

    def __contains__(self, mark: int) -> bool:
        index = bisect_left(self.marks, mark)
        return index < len(self.marks) and self.marks[index] == mark

    @staticmethod
    def mark(inode: int, name: bytes) -> int:
        return Marks().mark(inode, name)

    @classmethod
    def of(cls, marks: Iterable[int]) -> "Places":
        return cls(array("Q", sorted(marks)))

    @classmethod
    def read(cls, place: Path) -> "Places":
        """What was written; nothing if it is not there or not whole, and then everything counts as changed."""
        marks = array("Q")
        with suppress(OSError, ValueError):
            marks.frombytes(read_ours(place.parent, place.name) or b"")
        return cls(marks)

    def write(self, place: Path) -> None:
        atomic_write(place, self.marks.tobytes(), mode=0o600)

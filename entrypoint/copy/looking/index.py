"""Which directory holds which inode: noted while everything is compared with the engine up, asked when it is down.

A directory that has not changed since it was listed here holds what it held then. So an inode that has changed is in a
directory that is noted with it, or in one that has changed itself, or in one that was not noted as it is now; the look
that asks goes by that (table_look.py).

A file takes eight bytes, a directory about fifty and its name: there may be millions.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path

from entrypoint.copy.looking.marks import Marks, Places
from entrypoint.host.disks.filesystem import atomic_write, read_ours

# Its version, what it belongs to, and how many there are of: inodes, directories, and such to be looked into always.
HEADER = struct.Struct("=8sdQQ3Q")
VERSION = b"inodes 1"
# Bits for the number of a directory, and those that are left for an inode's: ext4 has 32, an xfs of 512 TiB as many.
NUMBERS, INODES = 24, 40
NOWHERE = (1 << 32) - 1  # in the place of the directory above: the name is from the root on
# A directory that is deeper, or has a longer name, is left to a walk: whoever makes many such could keep us busy.
MOST_ABOVE, MOST_BYTES = 100, 1000
AT_ONCE = 1 << 16  # numbers that are put in order at once: as objects they take five times as much


@dataclass(frozen=True)
class Whose:
    """What an index is of: a pass that began at an instant (seconds since 1970), a file system, and its root there."""

    since: float
    device: int
    root: int


@dataclass
class Draft:
    """An index in the making. Directories are numbered as they come, those above before those in them."""

    _entries: "array[int]" = field(default_factory=lambda: array("Q"))
    _ends: "array[int]" = field(default_factory=lambda: array("Q"))
    _above: "array[int]" = field(default_factory=lambda: array("I"))
    _names: bytearray = field(default_factory=bytearray)
    _marks: "array[int]" = field(default_factory=lambda: array("Q"))
    _holders: "array[int]" = field(default_factory=lambda: array("I"))
    _way: list[tuple[int, int]] = field(default_factory=list)
    _of: Marks = field(default_factory=Marks)
    _is_fit: bool = True

    def __len__(self) -> int:
        return len(self._entries)

    def takes(self, where: bytes) -> bool:
        """Whether a directory can be noted; if one cannot, there is no index."""
        self._is_fit = self._is_fit and len(where) <= MOST_BYTES and where.count(b"/") < MOST_ABOVE
        return self._is_fit

    def note(self, where: bytes, inode: int, files: "array[int]", folders: "array[int]") -> None:
        """A directory that was listed to its end: what it holds, by inode, and the directories in it, by mark."""
        if max(inode, max(files, default=0)) >> INODES or len(self._above) >> NUMBERS:
            self._is_fit = False
            return
        number = len(self._above)
        above, name = self._placed(where, number)
        self._above.append(above)
        self._names += name
        self._ends.append(len(self._names))
        self._entries.append(inode << NUMBERS | number)
        self._entries.extend(file << NUMBERS | number for file in files)
        self._marks.extend(folders)
        self._holders.extend([number] * len(folders))

    def _placed(self, where: bytes, number: int) -> tuple[int, bytes]:
        """The number of the directory above, and the name in it. The way to the last one is kept: what is in it is
        next."""
        depth = where.count(b"/") + 1 if where else 0
        parent, _, last = where.rpartition(b"/")
        above = self._way[depth - 1] if 0 < depth <= len(self._way) else (0, NOWHERE)
        self._way[depth:] = [(self._of.place(where), number)] if depth <= len(self._way) else []
        return (above[1], last) if above == (self._of.place(parent), above[1]) else (NOWHERE, where)

    def write(self, place: Path, whose: Whose, places: Places) -> bool:
        """Keep it, beside the places that it goes with; whether that can be.

        A directory in which another one was seen that is not among those is looked into in any case.
        """
        unsure = array("I", dict.fromkeys(self._unsure(places)))
        counts = len(self._entries), len(self._above), len(unsure)
        header = HEADER.pack(VERSION, whose.since, whose.device, whose.root, *counts)
        parts = (in_order(self._entries), self._ends, self._above, unsure)
        if self._is_fit:
            atomic_write(place, b"".join((header, *(part.tobytes() for part in parts), self._names)), mode=0o600)
        return self._is_fit

    def _unsure(self, places: Places) -> Iterator[int]:
        return (holder for mark, holder in zip(self._marks, self._holders, strict=True) if mark not in places)


def in_order(numbers: "array[int]") -> "array[int]":
    pieces = [array("Q", sorted(numbers[at : at + AT_ONCE])) for at in range(0, len(numbers), AT_ONCE)]
    return array("Q", merge(*pieces))


@dataclass(frozen=True)
class Index:
    """What a `Draft` has kept. Directories are known by number; `unsure` are those to be looked into in any case."""

    entries: memoryview
    ends: memoryview
    above: memoryview
    unsure: memoryview
    names: memoryview

    @classmethod
    def read(cls, place: Path, whose: Whose) -> "Index | None":
        """What was written, if it is whole and of this pass; otherwise nothing."""
        with suppress(OSError, ValueError, TypeError, struct.error):
            raw = memoryview(read_ours(place.parent, place.name) or b"")
            version, since, device, root, entries, folders, unsure = HEADER.unpack_from(raw)
            if (version, Whose(since, device, root)) == (VERSION, whose):
                return cls(*_sections(raw[HEADER.size :], entries, folders, unsure))
        return None

    def __len__(self) -> int:
        return len(self.entries)

    def holding(self, inodes: Iterable[int]) -> set[int]:
        """The directories in which one of these is, or which are one of these."""
        return {number for inode in inodes for number in self._holding(inode)}

    def _holding(self, inode: int) -> Iterator[int]:
        at = bisect_left(self.entries, inode << NUMBERS)
        while at < len(self.entries) and self.entries[at] >> NUMBERS == inode:
            yield self.entries[at] & ((1 << NUMBERS) - 1)
            at += 1

    def name(self, number: int) -> bytes:
        """Relative to the root. Raises ValueError if the directories go in a circle."""
        parts: list[bytes] = []
        while number != NOWHERE:
            start = self.ends[number - 1] if number else 0
            parts.append(bytes(self.names[start : self.ends[number]]))
            if self.above[number] != NOWHERE and self.above[number] >= number:
                raise ValueError(f"directory {number} is in one that came later")
            number = self.above[number]
        return b"/".join(filter(None, reversed(parts)))


def _sections(raw: memoryview, entries: int, folders: int, unsure: int) -> Iterator[memoryview]:
    """Numbers of eight bytes and of four, and the names. Raises ValueError and TypeError if it is not whole."""
    for size, count in ((8, entries), (8, folders), (4, folders), (4, unsure)):
        part, raw = raw[: count * size], raw[count * size :]
        if len(part) != count * size:
            raise ValueError("it is cut off")
        yield part.cast("Q") if size == 8 else part.cast("I")
    yield raw

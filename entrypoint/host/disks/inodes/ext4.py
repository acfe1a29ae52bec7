"""The inode table of an ext4 that is mounted, read through its block device: which inodes have a new ctime.

The kernel changes an inode in the buffer of its table's block as soon as it changes the inode itself (fs/ext4/inode.c,
ext4_do_update_inode), and the block device shows these buffers, whatever of them is on the disk. Only times that
`lazytime` keeps back may come no sooner than with a syncfs(2). An inode takes a tenth of what an entry takes a walk, or
less.

What is read may be an image that somebody has made: all of it is compared with what it can be, and where it is anything
else, or has a feature that is not known here, there is no table.
"""

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from entrypoint.host.disks.filesystem import device_node
from entrypoint.host.disks.inodes.unfit import UnfitError, require

KIND = "ext4"
AT, SIZE, MAGIC = 1024, 1024, 0xEF53  # of the superblock (Documentation/filesystems/ext4)
# What says nothing of where tables are, nor of what an inode's time is: types in directories, a journal to be played,
# extents, 64 bits, multiple mounts, flexible groups, large attributes, a seed of checksums, large directories, data in
# inodes, encryption, names in any case. With META_BG the descriptors are elsewhere.
KNOWN = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
WIDE, SUMMED = 0x80, 0x10 | 0x400  # 64 bits; the kernel believes the flags of groups that have checksums
UNUSED = 0x1  # EXT4_BG_INODE_UNINIT
MOST_GROUPS = 1 << 18  # 32 TiB in groups of usual size; so many descriptors fit into memory
SMALLEST, PIECE = 128, 1 << 20  # bytes of an inode, and of what is read at once
CTIME, EXTRA = 0x0C, 0x84  # where in an inode the seconds are, and their two bits more with the nanoseconds
NO_EPOCH = bytes(byte for byte in range(256) if not byte & 3)
LAST = (1 << 32) - 1


@dataclass(frozen=True)
class Part:
    """What is used of one group's table: where it is, in bytes, its first inode's number, and how many there are."""

    at: int
    first: int
    count: int


@dataclass(frozen=True)
class Table:
    """The table of a device that is open as `handle`."""

    handle: int
    inode_size: int
    parts: tuple[Part, ...]
    times: int = 5  # with room to spare: what is not of the tree may have to come from the disk

    @property
    def count(self) -> int:
        """The inodes that are looked at, in use or not."""
        return sum(part.count for part in self.parts)

    def changed(self, since: float, most: int) -> set[int]:
        """See table.py; whether an inode is in use is not looked at either. Raises OSError and UnfitError."""
        floor, found = min(max(int(since), 0), LAST), set[int]()
        for part in self.parts:
            found.update(self._changed(part, floor))
            require(len(found) <= most, f"more than {most} inodes have changed")
        return found

    def _changed(self, part: Part, floor: int) -> Iterator[int]:
        size, most = self.inode_size, PIECE // self.inode_size
        for done in range(0, part.count, most):
            count = min(most, part.count - done)
            piece = os.pread(self.handle, count * size, part.at + done * size)
            if len(piece) != count * size:
                raise UnfitError("the table ends too early")
            seconds = memoryview(piece).cast("I")[CTIME // 4 :: size // 4].tolist()
            first = part.first + done
            # Before 1970, and after 2038, they are as large as these.
            yield from [first + index for index, one in enumerate(seconds) if one >= floor]
            if size > SMALLEST and (epochs := piece[EXTRA::size]).translate(None, NO_EPOCH):
                yield from [first + index for index, byte in enumerate(epochs) if byte & 3]


@contextmanager
def opened(root: Path) -> Iterator["Table"]:
    """The device of a directory, by a node of our own; nothing but its number says which it is. Raises OSError and
    UnfitError."""
    with device_node(root.stat().st_dev) as node:
        handle = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield read(handle)
    finally:
        os.close(handle)


def read(handle: int) -> Table:
    """The tables that an open device, or image, tells of. Raises OSError and UnfitError."""
    if sys.byteorder != "little":
        raise UnfitError("its numbers are the other way round")
    end = os.lseek(handle, 0, os.SEEK_END)
    shape = Shape.of(_pread(handle, SIZE, AT), end)
    descriptors = _pread(handle, shape.groups * shape.descriptor_size, shape.descriptors_at)
    return Table(handle, shape.inode_size, tuple(shape.parts(descriptors, end)))


@dataclass(frozen=True)
class Shape:
    """What the superblock says of groups and inodes; sizes in bytes."""

    block: int
    groups: int
    inodes_a_group: int
    inode_size: int
    descriptor_size: int
    descriptors_at: int
    is_summed: bool

    @classmethod
    def of(cls, raw: bytes, end: int) -> "Shape":
        """Of a device of so many bytes. Raises UnfitError for what cannot be, and for what is not known."""
        inodes, blocks_low, first, log_block, a_group, inodes_a_group = (
            _number(raw, at) for at in (0x00, 0x04, 0x14, 0x18, 0x20, 0x28)
        )
        incompatible, read_only = _number(raw, 0x60), _number(raw, 0x64)
        is_wide = bool(incompatible & WIDE)
        require(_number(raw, 0x38, "H") == MAGIC, "no superblock")
        require(_number(raw, 0x4C) == 1 and not incompatible & ~KNOWN, f"features {incompatible:#x}")
        require(log_block <= 6 and a_group > 0 and first <= 1, "blocks")
        block = 1024 << log_block
        blocks = blocks_low | (_number(raw, 0x150) << 32 if is_wide else 0)
        inode_size, descriptor_size = _number(raw, 0x58, "H"), _number(raw, 0xFE, "H") if is_wide else 32
        require(first < blocks <= end // block, "more blocks than the device has")
        groups = -(-(blocks - first) // a_group)
        require(SMALLEST <= inode_size <= block and inode_size & (inode_size - 1) == 0, "inode size")
        require(descriptor_size in ((64, 128, 256, 512, 1024) if is_wide else (32,)), "descriptor size")
        require(0 < inodes_a_group <= 8 * block and groups <= MOST_GROUPS, "groups")
        require(groups * inodes_a_group == inodes, "inodes")
        return cls(block, groups, inodes_a_group, inode_size, descriptor_size, (AT // block + 1) * block,
                   bool(read_only & SUMMED))  # fmt: skip

    def parts(self, raw: bytes, end: int) -> Iterator[Part]:
        """What is in use, by the descriptors of the groups. Raises UnfitError."""
        for group in range(self.groups):
            at = group * self.descriptor_size
            low, flags, unused = (_number(raw, at + where, kind) for where, kind in ((8, "I"), (18, "H"), (28, "H")))
            if self.descriptor_size >= 64:
                low |= _number(raw, at + 40) << 32
                unused |= _number(raw, at + 50, "H") << 16
            if self.is_summed and flags & UNUSED:
                continue
            count = self.inodes_a_group - (unused if self.is_summed else 0)
            require(count >= 0, "unused inodes")
            require(low > 0 and low * self.block + self.inodes_a_group * self.inode_size <= end, "a table's place")
            yield Part(low * self.block, group * self.inodes_a_group + 1, count)


def _number(raw: bytes, at: int, kind: str = "I") -> int:
    number: int = struct.unpack_from(f"<{kind}", raw, at)[0]
    return number


def _pread(handle: int, count: int, at: int) -> bytes:
    raw = os.pread(handle, count, at)
    require(len(raw) == count, "its end")
    return raw

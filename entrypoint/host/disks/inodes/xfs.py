"""The inodes of an xfs, as the kernel lists them all by one call after the other (ioctl_xfs_bulkstat(2)).

They are those in memory, if they are there, so that nothing has to be written before. One takes a quarter of what an
entry takes a walk.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from entrypoint.host.disks.inodes.unfit import require

KIND = "xfs"
BULKSTAT = 0x8040587F  # XFS_IOC_BULKSTAT (xfs_fs.h), of Linux 5.4 and newer
# struct xfs_bulk_ireq: the inode to begin with, flags, how many there is room for, how many there are; and the rest.
REQUEST = struct.Struct("=QIII44x")
SIZE, AT_ONCE = 192, 4096  # bytes of a struct xfs_bulkstat, and how many are asked for
NUMBER, CTIME = 0, 6  # which of its words of eight bytes


@dataclass(frozen=True)
class Inodes:
    """All of the file system on which the directory is that is open as `handle`."""

    handle: int
    times: int = 3

    @property
    def count(self) -> int:
        info = os.fstatvfs(self.handle)
        return info.f_files - info.f_ffree

    def changed(self, since: float, most: int) -> set[int]:
        """See table.py. Raises OSError and UnfitError."""
        floor, found = int(since), set[int]()
        for words in self._pieces():
            times = words[CTIME :: SIZE // 8].tolist()
            found.update(words[index * (SIZE // 8) + NUMBER] for index, one in enumerate(times) if one >= floor)
            require(len(found) <= most, f"more than {most} inodes have changed")
        return found

    def _pieces(self) -> Iterator[memoryview]:
        first = 0
        while True:
            answer = bytearray(REQUEST.size + AT_ONCE * SIZE)
            REQUEST.pack_into(answer, 0, first, 0, AT_ONCE, 0)
            fcntl.ioctl(self.handle, BULKSTAT, answer)
            following, _, _, count = REQUEST.unpack_from(answer)
            if not count:
                return
            require(count <= AT_ONCE and following > first, "how many there are")
            yield memoryview(answer)[REQUEST.size : REQUEST.size + count * SIZE].cast("q")
            first = following


@contextmanager
def opened(root: Path) -> Iterator[Inodes]:
    """Raises OSError where the kernel does not know the call."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, BULKSTAT, bytearray(REQUEST.pack(0, 0, 1, 0) + bytes(SIZE)))
        yield Inodes(handle)
    finally:
        os.close(handle)

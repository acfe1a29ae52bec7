"""Project ids of files, and the project quota of a file system: the kernel's calls.

An id belongs to an inode (ioctl_xfs_fsgetxattr(2), on ext4 too), its limit to the file system (quotactl(2)).
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import device_node

NOT_COUNTED = (errno.ENOSYS, errno.ESRCH, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO, errno.ENOTBLK)

# struct fsxattr (linux/fs.h): flags, two numbers that stay as they are, the id, and one more.
ATTRIBUTES = struct.Struct("5I8x")
GET_ATTRIBUTES, SET_ATTRIBUTES = 0x801C581F, 0x401C5820
INHERITED = 0x200
TO_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# struct fs_disk_quota (linux/dqblk_xfs.h): version, whose, which fields, id, limits in 512 bytes, and after those
# of inodes what is used.
QUOTA = struct.Struct("bbHI2Q16xQ64x")
VERSION, OF_PROJECT, BOTH_LIMITS = 1, 2, 1 << 2 | 1 << 3
GET, SET, NEXT = ((ord("X") << 8 | number) << 8 | OF_PROJECT for number in (3, 4, 9))
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Quota:
    """The project quota of one file system, by the node of its device; limits are in 512 bytes, 0 is none."""

    node: Path

    def limit(self, project: int) -> int:
        with suppress(FileNotFoundError):
            return self._ask(GET, project)[4]
        return 0

    def left(self, project: int) -> int | None:
        """What may still be written; nothing if there is no limit."""
        with suppress(FileNotFoundError):
            *_, limit, _, used = self._ask(GET, project)
            return limit - used if limit else None
        return None

    def set_limit(self, project: int, blocks: int) -> None:
        self._ask(SET, project, QUOTA.pack(VERSION, OF_PROJECT, BOTH_LIMITS, project, blocks, blocks, 0))

    def require(self) -> None:
        """Raises OSError where projects are not counted."""
        with suppress(FileNotFoundError):
            self._ask(NEXT, 0)

    def highest(self) -> int:
        """The highest id that anything has."""
        found = 0
        with suppress(FileNotFoundError):
            while True:
                found = self._ask(NEXT, found + 1)[3]
        return found

    def _ask(self, what: int, project: int, told: bytes = b"") -> tuple[int, ...]:
        buffer = ctypes.create_string_buffer(told, QUOTA.size)
        if LIBC.quotactl(what, os.fsencode(self.node), ctypes.c_int(project), buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return QUOTA.unpack(buffer.raw)


@contextmanager
def quota_of(place: Path) -> Iterator[Quota | None]:
    """The project quota of the file system of a directory, if projects are counted there."""
    with ExitStack() as stack:
        quota = None
        try:
            asked = Quota(stack.enter_context(device_node(place.stat().st_dev)))
            asked.require()
            quota = asked
        except OSError as error:
            if error.errno not in NOT_COUNTED:
                log.warning("limits.unknown", place=str(place), why=str(error))
        yield quota


def project_of(folder: int) -> int:
    """That of an open directory."""
    return _attributes(folder)[3]


def give(top: int, project: int) -> None:
    """Give an id to an open directory and all that is in it, to itself last; what is made in it inherits it."""
    _give_within(top, project, INHERITED)
    _give(top, project, INHERITED)


def take(top: int) -> None:
    """Take the id from all that is in an open directory, but not from itself."""
    _give_within(top, 0, 0)


def _give_within(top: int, project: int, inherited: int) -> None:
    for place, _, names, folder in os.fwalk(".", topdown=False, dir_fd=top):
        for name in names:
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                with _opened(name, folder) as handle:
                    _give(handle, project, 0)
        if place != ".":
            _give(folder, project, inherited)


def _give(handle: int, project: int, inherited: int) -> None:
    had = _attributes(handle)
    wanted = (had[0] & ~INHERITED | inherited, *had[1:3], project, had[4])
    if wanted != had:
        fcntl.ioctl(handle, SET_ATTRIBUTES, ATTRIBUTES.pack(*wanted))


def _attributes(handle: int) -> tuple[int, ...]:
    return ATTRIBUTES.unpack(fcntl.ioctl(handle, GET_ATTRIBUTES, bytes(ATTRIBUTES.size)))


@contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    handle = os.open(name, TO_LOOK, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)

"""What chattr(1) sets on a file or a directory, which no copy of files carries (ioctl_iflags(2))."""

import errno
import fcntl
import os
import struct
from pathlib import Path

# S, i, a, d, A, D and C of chattr(1); others are the file system's own, or not to be set.
GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602
NO_COPY_ON_WRITE, IMMUTABLE, APPEND = 0x800000, 0x10, 0x20
CARRIED = 0x8 | IMMUTABLE | APPEND | 0x40 | 0x80 | 0x10000 | NO_COPY_ON_WRITE
FIXED = IMMUTABLE | APPEND  # what keeps root itself from changing a file
HAS_NO_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
# What is tried where a file system lacks some: all, all but C and D, and only i and a.
FORGOING = (CARRIED, FIXED | 0x8 | 0x40 | 0x80, FIXED)


def flags_of(handle: int) -> int:
    """What chattr(1) has set, of what is carried; nothing where the file system knows none."""
    return _flags(handle) & CARRIED


def is_fixed(place: Path) -> bool:
    """Whether a file or a directory is kept from being changed; what is not there, or neither, is not."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(flags_of(handle) & FIXED)
    finally:
        os.close(handle)


def set_flags(handle: int, wanted: int) -> None:
    """Raises OSError where the file system cannot forbid changes."""
    has = _flags(handle)
    for known in FORGOING:
        if has & CARRIED == wanted & known:
            return
        try:
            fcntl.ioctl(handle, SET_FLAGS, struct.pack("i", has & ~CARRIED | wanted & known))
        except OSError as error:
            if error.errno not in HAS_NO_FLAGS or wanted & known == wanted & FIXED:
                raise
        else:
            return


def loosen(handle: int) -> None:
    """Let it be changed."""
    if (has := _flags(handle)) & FIXED:
        fcntl.ioctl(handle, SET_FLAGS, struct.pack("i", has & ~FIXED))


def _flags(handle: int) -> int:
    try:
        return int(struct.unpack("i", fcntl.ioctl(handle, GET_FLAGS, b"\0\0\0\0"))[0])
    except OSError as error:
        if error.errno in HAS_NO_FLAGS:
            return 0
        raise

"""The content of one file, by open descriptors: its blocks shared or copied, its holes, and what was set aside."""

import ctypes
import errno
import fcntl
import os

BLOCK = 512  # bytes, in st_blocks (stat(3type))
PIECE = 1 << 24  # bytes for one call, so that an interrupt is heard
SMALL = 1 << 16  # bytes that are read and written at once: two calls
CLONE = 0x40049409  # FICLONE (ioctl_ficlonerange(2))
KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE
_LIBC = ctypes.CDLL(None, use_errno=True)


class Blocks:
    """The contents of files of one copy, and which file systems share no blocks with the target's."""

    def __init__(self) -> None:
        self._apart: set[int] = set()

    def copy(self, ours: int, theirs: int, status: os.stat_result) -> None:
        """The bytes of a file; a hole stays one, and what was set aside beyond the end is set aside again."""
        size, taken = status.st_size, BLOCK * status.st_blocks
        is_cloned = bool(size) and self._cloned(ours, theirs, status.st_dev)
        if size and not is_cloned:
            if taken < size:
                _copy_sparse(ours, theirs, size)
            else:
                _copy_range(ours, theirs, 0, size)
        # More than any file system's own foresight for a small file; or a clone, which shares only what was written.
        if taken > size + (1 << 20) or (is_cloned and taken >= size):
            _set_aside(theirs, taken)

    def _cloned(self, ours: int, theirs: int, device: int) -> bool:
        """On a file system that shares blocks between files nothing is copied; asked until one says that it cannot."""
        if device in self._apart:
            return False
        try:
            fcntl.ioctl(theirs, CLONE, ours)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS):
                self._apart.add(device)
            return False
        return True


def _copy_sparse(ours: int, theirs: int, size: int) -> None:
    end = 0
    while end < size:
        try:
            start = os.lseek(ours, end, os.SEEK_DATA)
            end = min(os.lseek(ours, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole
                break
            raise
        if start >= size:
            break
        _copy_range(ours, theirs, start, end)
    os.ftruncate(theirs, size)


def _copy_range(ours: int, theirs: int, start: int, end: int) -> None:
    """A file that became shorter meanwhile ends where it ends now: the next look will find it changed."""
    if end - start <= SMALL:
        content = os.pread(ours, end - start, start)
        if os.pwrite(theirs, content, start) == len(content):
            return
    os.lseek(theirs, start, os.SEEK_SET)
    while start < end:
        sent = os.sendfile(theirs, ours, start, min(PIECE, end - start))
        if not sent:
            return
        start += sent


def _set_aside(handle: int, size: int) -> None:
    """Only what the file system will give: it is no content."""
    _LIBC.fallocate(ctypes.c_int(handle), ctypes.c_int(KEEP_SIZE), ctypes.c_int64(0), ctypes.c_int64(size))

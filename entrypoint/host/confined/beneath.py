"""Reaching what is below a directory without ever leaving it, whoever exchanges names for links meanwhile.

Tenants write below source and target while we copy there as root: between two calls a directory can become a link to
any place of the host. So nothing below a root is reached by a path that the kernel may resolve as it likes. A directory
is opened by openat2(2), which gives up at a symbolic link or at the edge of the root, and everything in it is asked by
its single name relative to that descriptor. Kernels before 5.6 have no openat2; there each directory is opened by its
single name, and not if it is a link, which comes to the same and takes longer.
"""

import ctypes
import errno
import os
from functools import cache

# The two constants of this wall: without them the kernel would follow links.
NO_LINKS = os.O_NOFOLLOW
RESOLVE = 0x08 | 0x04 | 0x02  # RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS (linux/openat2.h)

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | NO_LINKS
OPENAT2 = 437  # the same number on every architecture
DESCRIPTORS = b"/proc/self/fd"
LONGEST = 4000  # bytes of a name that are given to the kernel at once; it takes 4,096
MISSING = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # no openat2, or a filter that knows none
# What a call says when a name went, or became another kind of thing, after it was read.
CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ESTALE,
           errno.EXDEV, errno.EINVAL, errno.ENXIO, errno.EACCES, errno.EAGAIN, errno.ENODATA,
           errno.ERANGE)  # fmt: skip
_LIBC = ctypes.CDLL(None, use_errno=True)
# Nothing is imported here that a program of a few thousand files would wait for (tree_copier.py).


class _How(ctypes.Structure):
    """struct open_how (openat2(2))."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, name: bytes, flags: int = FOLDER) -> int:
    """A descriptor for a name relative to the directory `root`; the last part is no link either. Raises OSError."""
    folder = root
    while len(name) > LONGEST:  # in pieces that the kernel takes
        cut = name.rindex(b"/", 0, LONGEST)
        folder, name = _next(root, folder, name[:cut], FOLDER), name[cut + 1 :]
    return _next(root, folder, name or b".", flags)


def _next(root: int, folder: int, name: bytes, flags: int) -> int:
    try:
        return _open(folder, name, flags)
    finally:
        if folder != root:
            os.close(folder)


def _open(folder: int, name: bytes, flags: int) -> int:
    how = _How(flags | os.O_CLOEXEC, 0, RESOLVE)
    while True:
        handle: int = _LIBC.syscall(
            ctypes.c_long(OPENAT2), ctypes.c_int(folder), name, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        number = ctypes.get_errno()
        if handle >= 0:
            return handle
        if number == errno.ENOSYS or (number in MISSING and not has_openat2()):
            return _step_by_step(folder, name, flags)
        if number not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: something was renamed just then
            raise OSError(number, os.strerror(number), name)


def has_openat2() -> bool:
    """Whether the kernel has the call, and nothing forbids it."""
    how = _How(os.O_PATH | os.O_CLOEXEC, 0, 0)
    handle: int = _LIBC.syscall(ctypes.c_long(OPENAT2), ctypes.c_int(-100), b"/", ctypes.byref(how),
                                ctypes.c_size_t(ctypes.sizeof(how)))  # fmt: skip
    if handle >= 0:
        os.close(handle)
    return handle >= 0


def _step_by_step(folder: int, name: bytes, flags: int) -> int:
    steps = [step for step in name.split(b"/") if step != b"."] or [b"."]
    if b".." in steps:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    opened: list[int] = []
    try:
        for step in steps[:-1]:
            folder = os.open(step, FOLDER, dir_fd=folder)
            opened.append(folder)
        return os.open(steps[-1], flags | NO_LINKS | os.O_CLOEXEC, dir_fd=folder)
    finally:
        for handle in opened:
            os.close(handle)


def place(folder: int, name: bytes) -> bytes:
    """A path for the calls that know no directory by descriptor, which are those for extended attributes.

    The last name is followed by none of them that is told not to, and before it there is nothing but the descriptor.
    Where no /proc is, the working directory serves; that is so in programs of one thread alone (tree_copier.py).
    """
    if not has_proc():
        os.fchdir(folder)
        return name
    return b"%s/%d/%s" % (DESCRIPTORS, folder, name)


@cache
def has_proc() -> bool:
    """Whether this program sees its own descriptors in /proc. One that has none has one thread (tree_copier.py).

    Asked once: a program goes where none is, if ever, before it reaches for anything.
    """
    return os.access(DESCRIPTORS, os.F_OK)


def join(where: bytes, name: bytes) -> bytes:
    return where + b"/" + name if where else name

"""One entry of a directory made equal to another's, by the descriptors of the two directories and its single name.

Everything that an entry has goes along: owner, mode, times to the nanosecond, ACLs and all extended attributes, holes
and blocks set aside, device numbers, and what chattr(1) sets. A file is made anew and never written in place: an
interrupted copy may have left half of it, or one that is linked elsewhere.

What a name stands for can be another thing at each call. So nothing is followed, a file is opened without waiting for
whoever is at the other end of a FIFO, and what was opened is asked again what it is.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from entrypoint.host.confined import beneath
from entrypoint.host.confined.beneath import NO_LINKS, place
from entrypoint.host.confined.blocks import Blocks
from entrypoint.host.confined.chattr import NO_COPY_ON_WRITE, flags_of, loosen, set_flags

TO_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC | NO_LINKS
TO_LOOK = os.O_PATH | os.O_CLOEXEC | NO_LINKS
TO_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | NO_LINKS
FCHMODAT2, ITSELF = 452, 0x100  # the same number on every architecture; AT_SYMLINK_NOFOLLOW
TRIES = 5
ROOM = 64 << 20  # bytes
LABEL = "security.selinux"
XFS_ACL = "trusted.SGI_ACL_"  # XFS's second name of each ACL
_LIBC = ctypes.CDLL(None, use_errno=True)


class Turned(OSError):
    """A name stands for another kind of thing than just before; the next look will find it changed."""

    def __init__(self, name: bytes) -> None:
        super().__init__(errno.ESTALE, "it became something else", name)


class Unfit(OSError):
    """What an entry has is more than the file system keeps of such."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.E2BIG, f"it has {what} than fit on the target's file system")


def copy_entry(source: int, target: int, name: bytes, status: os.stat_result, blocks: Blocks) -> None:
    """Make what `status` was of, which is no directory, anew in the target. Raises OSError."""
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        copy_file(source, target, name, blocks)
    elif kind == stat.S_IFLNK:
        wanted = os.readlink(name, dir_fd=source)
        made(target, name, lambda: os.symlink(wanted, name, dir_fd=target))
        dress_name(source, target, name, status)
    elif kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
        made(target, name, lambda: os.mknod(name, kind | 0o600, status.st_rdev, dir_fd=target))
        dress_name(source, target, name, status)
        set_mode(target, name, stat.S_IMODE(status.st_mode))
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    else:
        raise Turned(name)


def copy_file(source: int, target: int, name: bytes, blocks: Blocks) -> None:
    """A regular file, whatever its size."""
    ours, status = open_known(source, name)
    try:
        copy_opened(ours, status, target, name, blocks)
    finally:
        os.close(ours)


def copy_opened(
    ours: int, status: os.stat_result, target: int, name: bytes, blocks: Blocks, *, is_plain: bool = False
) -> None:
    """The same of a file that is open; `is_plain` if what is made in that directory is given nothing by it."""
    theirs = made(target, name, lambda: os.open(name, TO_MAKE, 0o600, dir_fd=target))
    try:
        flags = flags_of(ours)
        if flags & NO_COPY_ON_WRITE:  # has no effect on a file that holds something
            set_flags(theirs, NO_COPY_ON_WRITE)
        blocks.copy(ours, theirs, status)
        dress_handle(ours, theirs, status, flags, is_plain=is_plain)
    finally:
        os.close(theirs)


def gives_nothing(folder: int) -> bool:
    """Whether a directory gives nothing to what is made in it: no default ACL, label or flag. It would have some."""
    return not os.listxattr(folder) and not flags_of(folder)


def open_file(folder: int, name: bytes) -> int:
    """A regular file, to read. Raises Turned for anything else, and opens none: to open a device can be an act."""
    return open_known(folder, name)[0]


def open_known(folder: int, name: bytes) -> tuple[int, os.stat_result]:
    """The same, and what it is.

    In the confined program, which has no /proc, no device can be opened (confinement.py).
    """
    if not beneath.has_proc():
        handle = os.open(name, TO_READ, dir_fd=folder)
        if stat.S_ISREG((status := os.fstat(handle)).st_mode):
            return handle, status
        os.close(handle)
        raise Turned(name)
    looked = os.open(name, TO_LOOK, dir_fd=folder)
    try:
        if not stat.S_ISREG((status := os.fstat(looked)).st_mode):
            raise Turned(name)
        again = f"/proc/self/fd/{looked}"
        try:
            return os.open(again, TO_READ & ~os.O_NOFOLLOW), status
        except BlockingIOError:  # somebody holds a lease, which the kernel ends (fcntl(2), lease-break-time)
            return os.open(again, TO_READ & ~(os.O_NOFOLLOW | os.O_NONBLOCK)), os.fstat(looked)
    finally:
        os.close(looked)


def set_mode(folder: int, name: bytes, mode: int) -> None:
    """chmod(2) that follows no link, which the kernel has since 6.6; before that by a descriptor."""
    if not _LIBC.syscall(
        ctypes.c_long(FCHMODAT2), ctypes.c_int(folder), name, ctypes.c_uint(mode), ctypes.c_int(ITSELF)
    ):
        return
    if not beneath.has_proc():  # on a mount of our own that follows no link either
        os.chmod(name, mode, dir_fd=folder)
        return
    looked = os.open(name, TO_LOOK, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(looked).st_mode):
            os.chmod(f"/proc/self/fd/{looked}", mode)
    finally:
        os.close(looked)


def made(folder: int, name: bytes, make: Callable[[], int | None]) -> int:
    """What `make` makes, and its descriptor if it opens one; whatever is at its place goes first, but no directory."""
    for _ in range(TRIES):  # two of ours may be told of one name, by itself and by its directory
        try:
            return make() or 0
        except FileExistsError:
            with suppress(FileNotFoundError):
                unlink(folder, name)
        except PermissionError:
            loosen(folder)
    return make() or 0


def link(source: int, name: bytes, target: int, other: bytes) -> None:
    """Another name for a file of the copy; one that nobody may change takes none (link(2)), and is let for a moment."""

    def make() -> None:
        os.link(name, other, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    try:
        made(target, other, make)
    except PermissionError:
        handle = open_file(source, name)
        try:
            flags = flags_of(handle)
            loosen(handle)
            try:
                made(target, other, make)
            finally:
                set_flags(handle, flags)
        finally:
            os.close(handle)


def unlink(folder: int, name: bytes) -> None:
    """Remove a name that is no directory, also of a file that nobody may change."""
    try:
        os.unlink(name, dir_fd=folder)
    except PermissionError:
        loosen(folder)
        _loosen_file(folder, name)
        os.unlink(name, dir_fd=folder)


def _loosen_file(folder: int, name: bytes) -> None:
    """What is none has no such attribute."""
    try:
        handle = open_file(folder, name)
    except OSError:
        return
    try:
        loosen(handle)
    finally:
        os.close(handle)


def dress_folder(ours: int, theirs: int) -> None:
    """Give a directory what another has, when nothing is written into it any more: that would change its times."""
    loosen(theirs)
    dress_handle(ours, theirs, os.fstat(ours), flags_of(ours))


def dress_handle(ours: int, theirs: int, status: os.stat_result, flags: int, *, is_plain: bool = False) -> None:
    """Owner, then mode and attributes, which a new owner would take away; times; and last what forbids changes.

    What is `is_plain` has no attributes and flags yet.
    """
    os.fchown(theirs, status.st_uid, status.st_gid)
    os.fchmod(theirs, stat.S_IMODE(status.st_mode))
    if (wanted := attributes(ours)) or not is_plain:
        carry_attributes(wanted, theirs)
    os.utime(theirs, ns=(status.st_atime_ns, status.st_mtime_ns))
    if flags or not is_plain:
        set_flags(theirs, flags)


def dress_name(source: int, target: int, name: bytes, status: os.stat_result) -> None:
    """The same for what cannot be opened: links, devices, FIFOs and sockets."""
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    carry_attributes(attributes(place(source, name)), place(target, name))
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def carry_attributes(wanted: dict[str, bytes], theirs: int | bytes) -> None:
    """Give what is open, or a name that is not followed, these attributes and no others.

    Nobody may take a label away where SELinux is on.
    """
    options: dict[str, bool] = {} if isinstance(theirs, int) else {"follow_symlinks": False}
    there = attributes(theirs)
    for name in there.keys() - wanted.keys() - {LABEL}:
        os.removexattr(theirs, name, **options)
    for name, value in wanted.items():
        if there.get(name) != value:
            try:
                os.setxattr(theirs, name, value, **options)
            except OSError as error:
                if error.errno == errno.ENOSPC and isinstance(theirs, int) and _has_room(theirs):
                    raise Unfit("more or larger extended attributes") from error
                raise


def _has_room(handle: int) -> bool:
    """Whether a file system is not full by far; ext4 says that it is when a file's attributes fill its one block."""
    found = os.fstatvfs(handle)
    return found.f_bavail * found.f_frsize > ROOM and (found.f_favail > 0 or not found.f_files)


def attributes(where: int | bytes) -> dict[str, bytes]:
    """Every extended attribute, but for XFS's second name of each ACL."""
    follows = isinstance(where, int)  # what is open is what it is
    if not (names := os.listxattr(where) if follows else os.listxattr(where, follow_symlinks=False)):
        return {}  # as for most entries, and this is asked for all
    options: dict[str, bool] = {} if follows else {"follow_symlinks": False}
    return {name: os.getxattr(where, name, **options) for name in names if not name.startswith(XFS_ACL)}

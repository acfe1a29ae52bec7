"""Why a file cannot be removed though nobody has it open, and what to do: swap, and files that may not be changed."""

import fcntl
import os
import shlex
import struct
from contextlib import suppress
from pathlib import PurePosixPath

from entrypoint.console.errors import RelocatorError
from entrypoint.host.host import Host

GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, ioctl_iflags(2)
IMMUTABLE, APPEND_ONLY = 0x10, 0x20


def told(host: Host, root: str, problem: str) -> str:
    """What `removal` tells, from the host's root, with the way out if it is known."""
    place, _, why = problem.rpartition(": ")
    path = PurePosixPath(root, place)
    return f"{path}: {way(host, path) or why}"


def way(host: Host, path: PurePosixPath) -> str:
    if str(path) in swaps(host):
        return f"it is in use as swap; end that with: swapoff {shlex.quote(str(path))}"
    for one, what in ((path, "it"), (path.parent, "its directory")):
        found = flags(host, one)
        if letters := "i" * bool(found & IMMUTABLE) + "a" * bool(found & APPEND_ONLY):
            return f"{what} may not be changed; allow it with: chattr -{letters} {shlex.quote(str(one))}"
    return ""


def swaps(host: Host) -> frozenset[str]:
    """The host's swap files; a name is written there with its blanks as octal numbers (proc(5))."""
    with suppress(RelocatorError):
        lines = host.run(["cat", "/proc/swaps"], check=False).stdout.splitlines()[1:]
        return frozenset(_unescaped(line.split()[0]) for line in lines if line.split())
    return frozenset()


def _unescaped(name: str) -> str:
    for octal in ("040", "011", "012", "134"):
        name = name.replace(f"\\{octal}", chr(int(octal, 8)))
    return name.removesuffix(" (deleted)")


def flags(host: Host, path: PurePosixPath) -> int:
    """A file's attributes as `lsattr` has them; none where it cannot be opened, or its file system has none."""
    with suppress(OSError):
        handle = os.open(host.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return int(struct.unpack("=l", fcntl.ioctl(handle, GET_FLAGS, b"\0" * 8)[:4])[0])
        finally:
            os.close(handle)
    return 0

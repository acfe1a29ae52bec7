"""Whether two entries are equal: what is asked of every one, in numbers and in words, and of content."""

import errno
import os
import stat
from contextlib import ExitStack
from io import FileIO

from entrypoint.host.confined.entries import LABEL, open_file

BLOCK = 1 << 20
NOWHERE = 1 << 63  # beyond every file


def facts(status: os.stat_result) -> tuple[int, ...]:
    """What must be equal, quickly: this is asked for every entry of both trees."""
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, size, status.st_rdev


def in_words(status: os.stat_result) -> dict[str, object]:
    """The same in words."""
    mode, uid, gid, mtime, size, device = facts(status)
    return {
        "type": stat.S_IFMT(mode),
        "mode": oct(stat.S_IMODE(mode)),
        "owner": f"{uid}:{gid}",
        "time": mtime,
        "size": size,
        "device": device,
    }


def have_same_content(folders: tuple[int, int], name: bytes) -> bool:
    """Where one of the two has data: anybody may make a hole that nobody could read to its end."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(FileIO(open_file(folder, name))).fileno() for folder in folders)
        at = 0
        while (at := min(_next_data(one, at), _next_data(other, at))) < NOWHERE:
            piece = os.pread(one, BLOCK, at)
            if os.pread(other, BLOCK, at) != piece:
                return False
            at += len(piece) or BLOCK
        return os.fstat(one).st_size == os.fstat(other).st_size


def _next_data(handle: int, at: int) -> int:
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return NOWHERE


def is_carried(ours: dict[str, bytes], theirs: dict[str, bytes]) -> bool:
    """Whether the copy has the same attributes. Where SELinux is on, what has no label is given one by being made."""
    if ours == theirs:
        return True
    given = {LABEL} - ours.keys()
    return ours == {name: value for name, value in theirs.items() if name not in given}

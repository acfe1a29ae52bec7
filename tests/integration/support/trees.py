"""A small tree that is built twice the same to the nanosecond, and how two of them differ."""

import os
import stat
from pathlib import Path

from entrypoint.copy.looking.comparison import Comparison
from tests.unit.support.data_root import acl

TIME = (1_000_000_000, 1_123_456_789)
ODD = os.fsdecode(b"new\nline \xff")


def build(tree: Path) -> Path:
    """Twice the same to the nanosecond, on every call."""
    (tree / "sub/deep").mkdir(parents=True)
    for name in ("plain", "sub/first", "sub/deep/inner", ODD):
        (tree / name).write_bytes(b"content")
    os.link(tree / "sub/first", tree / "second")
    (tree / "symlink").symlink_to("plain")
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.setxattr(tree / "plain", "user.colour", b"blue")
    os.setxattr(tree / "sub", "security.selinux", b"system_u:object_r:container_file_t:s0:c1,c2\0")
    os.setxattr(tree / "plain", "system.posix_acl_access", acl(1000))
    set_times(tree)
    return tree


def set_times(tree: Path) -> None:
    for folder, _, files in os.walk(os.fsencode(tree), topdown=False):
        names = [*files, b".", *(name for name in (b"symlink",) if folder == os.fsencode(tree))]
        for name in names:
            place = os.path.join(folder, name)
            if os.path.lexists(place):
                os.utime(place, ns=TIME, follow_symlinks=False)


def differences(source: Path, target: Path, *excludes: str) -> list[str]:
    return sorted(map(str, Comparison(source, target, excludes).differences()))

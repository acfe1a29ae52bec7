"""What can be done to a tree: everything that makes or changes a file, as functions that never fail.

Each takes the tree, two numbers that choose among what is there, and a third for sizes, modes and the like.
"""

import os
import shutil
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.support.data_root import CAPABILITY, acl, unseen_write

NAMES = (b"plain", b"new\nline", b"\xff\xfe", b"-rf", b"*?[a]", b" sp ace ", b"#hash", b"back\\slash")
SIZES = (0, 1, 4095, 4096, 70_000)
Act = Callable[["Tree", int, int, int], None]


@dataclass
class Tree:
    """A directory; new names are numbered, so that none is taken by chance."""

    top: Path
    made: int = 0
    done: list[str] = field(default_factory=list)

    def entries(self, wanted: Callable[[int], bool] = lambda mode: True) -> list[Path]:
        """What is in it now and is of a kind, in an order that depends on names alone."""
        found = [Path(folder, name) for folder, folders, files in os.walk(self.top) for name in (*folders, *files)]
        return sorted((one for one in found if wanted(one.lstat().st_mode)), key=os.fsencode)

    def one(self, number: int, wanted: Callable[[int], bool] = lambda mode: True) -> Path | None:
        there = self.entries(wanted)
        return there[number % len(there)] if there else None

    def fresh(self, number: int) -> Path:
        """A new name in one of the directories."""
        self.made += 1
        folders = [self.top, *self.entries(stat.S_ISDIR)]
        return folders[number % len(folders)] / os.fsdecode(NAMES[number % len(NAMES)] + b"%d" % self.made)


def make_file(tree: Tree, a: int, b: int, n: int) -> None:
    tree.fresh(a).write_bytes(os.urandom(SIZES[n % len(SIZES)]))


def make_sparse(tree: Tree, a: int, b: int, n: int) -> None:
    with tree.fresh(a).open("wb") as file:
        file.truncate((n % 3 + 1) << 20)
        file.seek((n % 7) << 16)
        file.write(b"data")


def make_directory(tree: Tree, a: int, b: int, n: int) -> None:
    tree.fresh(a).mkdir(mode=0o700 | n % 0o1000)


def make_full_directory(tree: Tree, a: int, b: int, n: int) -> None:
    """The names and sizes are those of every other such directory: only content and inodes differ."""
    folder = tree.fresh(a)
    for place in (folder, folder / "inner"):
        place.mkdir()
        for name in ("same", "other"):
            (place / name).write_bytes(os.urandom(100))
            os.utime(place / name, ns=(0, 10**18))


def make_link(tree: Tree, a: int, b: int, n: int) -> None:
    tree.fresh(a).symlink_to(("nowhere", "/etc", "..", "x" * 300)[n % 4])


def make_node(tree: Tree, a: int, b: int, n: int) -> None:
    kind, device = ((stat.S_IFIFO, 0), (stat.S_IFSOCK, 0), (stat.S_IFCHR, 0), (stat.S_IFBLK, os.makedev(7, 99)))[n % 4]
    os.mknod(tree.fresh(a), kind | 0o600, device)


def link_anew(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, lambda mode: not stat.S_ISDIR(mode)):
        os.link(place, tree.fresh(b), follow_symlinks=False)


def break_link(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        new = place.with_name(f"{tree.fresh(0).name}.new")
        shutil.copy2(place, new)
        new.replace(place)


def write_unseen(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        unseen_write(place)


def append(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        with place.open("ab") as file:
            file.write(b"more")


def truncate(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        os.truncate(place, SIZES[n % len(SIZES)])


def replace(tree: Tree, a: int, b: int, n: int) -> None:
    """Another inode of the same size and time, put in place by a rename."""
    if place := tree.one(a, stat.S_ISREG):
        status = place.stat()
        new = place.with_name(f"{tree.fresh(0).name}.new")
        new.write_bytes(os.urandom(status.st_size))
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        new.replace(place)


def rename(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a):
        with suppress(OSError):  # into itself
            place.rename(tree.fresh(b))


def rename_over(tree: Tree, a: int, b: int, n: int) -> None:
    first, second = tree.one(a), tree.one(b)
    if first and second:
        with suppress(OSError):  # of another kind, not empty, or inside
            first.rename(second)


def exchange(tree: Tree, a: int, b: int, n: int) -> None:
    """Two entries change places; what directories hold keeps its own ctime."""
    first, second = tree.one(a, stat.S_ISDIR if n % 2 else bool), tree.one(b, stat.S_ISDIR if n % 2 else bool)
    if first and second and first not in (second, *second.parents) and second not in first.parents:
        aside = tree.top / f"aside{tree.made}"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)


def change_mode(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, lambda mode: not stat.S_ISLNK(mode)):
        place.chmod((n % 0o10000) | 0o500)


def change_owner(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a):
        os.lchown(place, n % 4_000_000_000, b % 70_000)


def change_time(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a):
        os.utime(place, ns=(0, n * 1_000_003), follow_symlinks=False)


def set_attribute(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        name, value = (
            ("user.colour", struct.pack("<Q", n)),
            ("trusted.overlay.opaque", b"y"),
            ("security.capability", CAPABILITY),
            ("system.posix_acl_access", acl(n % 60_000)),
        )[b % 4]
        os.setxattr(place, name, value)
    if place := tree.one(b, stat.S_ISDIR):
        os.setxattr(place, "system.posix_acl_default", acl(n % 60_000))


def drop_attributes(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a):
        for name in os.listxattr(place, follow_symlinks=False):
            os.removexattr(place, name, follow_symlinks=False)


def remove(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a):
        # Not `is_dir`, which follows a link, and raises for one that is longer than a name may be.
        shutil.rmtree(place) if stat.S_ISDIR(place.lstat().st_mode) else place.unlink()


def become_directory(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, lambda mode: not stat.S_ISDIR(mode)):
        place.unlink()
        place.mkdir()
        (place / "inside").write_bytes(b"in")


def become_file(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISDIR):
        shutil.rmtree(place)
        place.write_bytes(b"file")


def be_made_again(tree: Tree, a: int, b: int, n: int) -> None:
    """A directory of the same name, and on some file systems of the same inode number, that holds others' files."""
    if place := tree.one(a, stat.S_ISDIR):
        other = tree.one(b, stat.S_ISREG)
        shutil.rmtree(place)
        place.mkdir()
        if other and other.exists():
            other.rename(place / other.name)


def write_into_hole(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        with place.open("r+b") as file:
            file.seek((n % 9) << 15)
            file.write(b"late")


MAKING: tuple[Act, ...] = (
    make_file, make_sparse, make_directory, make_full_directory, make_link, make_node, link_anew, set_attribute,
    change_mode, change_owner, change_time,
)  # fmt: skip
CHANGING: tuple[Act, ...] = (
    *MAKING, break_link, write_unseen, append, truncate, replace, rename, rename_over, exchange,
    drop_attributes, remove, become_directory, become_file, be_made_again, write_into_hole,
)  # fmt: skip

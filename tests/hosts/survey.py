"""Everything the kernel tells about a directory tree, as data that can be compared.

The outer machine's root looks at a test host's files before and after a move. Paths are bytes, because a volume
holds names that are no text. Nothing but regular files and directories is ever opened.
"""

import errno
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

# Paths are relative to the surveyed root, whose own entry is b".". A skipped directory is not entered either.
Skip = Callable[[bytes], bool] | Collection[bytes]
# Asked with a path and an aspect ("mode", "xattr user.a", "content", "missing", "extra", …); or just the aspects.
Ignore = Callable[[bytes, str], bool] | Collection[str]
Inode = tuple[int, int]
Found = tuple["Entry", Inode, bool]

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
BLOCK = 64 * 1024
ZEROS = bytes(BLOCK)
# Below this many entries, starting processes costs more than they save.
SMALL_TREE = 4000
CHUNK = 500
# File systems allocate in different units, so a sparse file may grow this much, or by half, when it is copied.
SPARSE_SLACK = 128 * 1024
# XFS shows each ACL a second time under a name of its own.
DOUBLES = {"trusted.SGI_ACL_DEFAULT", "trusted.SGI_ACL_FILE"}

CONFIGURATION = ("etc", "run/systemd/system", "var/lib")
# What a host that is left alone, or in which one container is run and removed, changes by itself.
VOLATILE = (
    b"var/lib/containerd",
    b"var/lib/docker/buildkit",
    b"var/lib/docker/containers",
    b"var/lib/docker/image/*/layerdb",
    b"var/lib/docker/network",
    b"var/lib/docker/overlay2",
    b"var/lib/docker/rootfs",
    b"var/lib/docker/runtimes",
    b"var/lib/docker/tmp",
    b"var/lib/docker/volumes/*/_data",
    b"var/lib/docker/volumes/metadata.db",
    b"var/lib/logrotate",
    b"var/lib/systemd/random-seed",
    b"var/lib/systemd/timers",
    b"var/lib/systemd/timesync",
)


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str
    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    mtime_ns: int
    target: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    allocated: int
    mount_point: bool
    content: str
    # Every path of this inode within the tree, where there is more than one.
    links: tuple[bytes, ...] = ()

    @property
    def sparse(self) -> bool:
        return self.kind == "file" and self.size - self.allocated >= BLOCK


@dataclass(frozen=True)
class Survey:
    root: Path
    entries: Mapping[bytes, Entry]


class Differences(list[str]):
    """All of them; only the text is cut short, so that a failed test stays readable."""

    SHOWN = 40

    def __str__(self) -> str:
        left_off = len(self) - self.SHOWN
        return "\n".join([*self[: self.SHOWN], *([f"… and {left_off} more"] if left_off > 0 else [])])


def matching(*patterns: bytes) -> Callable[[bytes], bool]:
    """A skip made of shell patterns, in which an asterisk also matches slashes."""
    return lambda path: any(fnmatchcase(path, pattern) for pattern in patterns)


def survey(root: Path, *, skip: Skip = ()) -> Survey:
    """A mount point is recorded and not entered; what vanishes while it is looked at was not there."""
    base = os.fsencode(root)
    device = os.stat(base).st_dev
    paths = [b".", *_walk(base, device, _predicate(skip))]
    entries: dict[bytes, Entry] = {}
    groups: dict[Inode, list[bytes]] = defaultdict(list)
    for path, found in zip(paths, _examine_all(base, device, paths), strict=True):
        if found is not None:
            entries[path], inode, linked = found
            if linked:
                groups[inode].append(path)
    for links in (tuple(sorted(group)) for group in groups.values() if len(group) > 1):
        entries.update({path: replace(entries[path], links=links) for path in links})
    return Survey(root, entries)


def host_survey(root_of_host: Path, *, target: str | None = None, skip: Skip | None = None) -> Survey:
    """What `plan` and `check` must leave as it is: configuration, state and the target.

    Each place is a survey of its own, because some are file systems of their own. The directories that lead to
    the target are recorded without their contents: a thing made there and removed again shows in their mtime.
    """
    skips = _predicate(matching(*VOLATILE) if skip is None else skip)
    way = [Path(target.strip("/")), *Path(target.strip("/")).parents] if target else []
    entries: dict[bytes, Entry] = {}
    for place in (*CONFIGURATION, *map(str, way[:1])):
        if (root_of_host / place).is_dir():
            entries |= _survey_below(root_of_host, os.fsencode(place), skips)
    base = os.fsencode(root_of_host)
    for path in map(os.fsencode, way):
        if path not in entries and (found := _examine(base, os.stat(base).st_dev, path)):
            entries[path] = found[0]
    return Survey(root_of_host, entries)


def compare(before: Survey, after: Survey, *, ignore: Ignore = ()) -> Differences:
    ignores = ignore if callable(ignore) else lambda _path, aspect: aspect in ignore
    found = Differences()
    for path in sorted(before.entries.keys() | after.entries.keys()):
        old, new = before.entries.get(path), after.entries.get(path)
        if old != new:
            found += [
                f"{readable(path)}: {aspect}{detail}"
                for aspect, detail in _entry_differences(old, new)
                if not ignores(path, aspect)
            ]
    return found


def readable(path: bytes) -> str:
    return repr(path)[2:-1]


def _survey_below(root: Path, prefix: bytes, skips: Callable[[bytes], bool]) -> dict[bytes, Entry]:
    def whole(path: bytes) -> bytes:
        return prefix if path == b"." else os.path.join(prefix, path)

    part = survey(root / os.fsdecode(prefix), skip=lambda path: skips(whole(path)))
    return {whole(path): replace(entry, links=tuple(map(whole, entry.links))) for path, entry in part.entries.items()}


def _predicate(skip: Skip) -> Callable[[bytes], bool]:
    return skip if callable(skip) else frozenset(skip).__contains__


def _walk(base: bytes, device: int, skips: Callable[[bytes], bool]) -> Iterator[bytes]:
    pending = [b""]
    while pending:
        folder = pending.pop()
        for name, is_directory in _listing(os.path.join(base, folder), device):
            path = os.path.join(folder, name)
            if not skips(path):
                yield path
                if is_directory:
                    pending.append(path)


def _listing(folder: bytes, device: int) -> list[tuple[bytes, bool]]:
    try:
        with _opened(folder, os.O_DIRECTORY) as descriptor, os.scandir(descriptor) as listing:
            if os.fstat(descriptor).st_dev != device:
                return []
            return [(os.fsencode(each.name), each.is_dir(follow_symlinks=False)) for each in listing]
    except FileNotFoundError:
        return []


def _examine_all(base: bytes, device: int, paths: Sequence[bytes]) -> Iterable[Found | None]:
    work = partial(_examine_chunk, base, device)
    if len(paths) < SMALL_TREE:
        return work(paths)
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    # Not fork: the caller may have threads.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        return list(chain.from_iterable(pool.map(work, chunks)))


def _examine_chunk(base: bytes, device: int, paths: Sequence[bytes]) -> list[Found | None]:
    return [_examine(base, device, path) for path in paths]


def _examine(base: bytes, device: int, path: bytes) -> Found | None:
    place = os.path.join(base, path)
    try:
        status = os.lstat(place)
        entry = _entry(place, status, device)
    except FileNotFoundError:
        return None
    return entry, (status.st_dev, status.st_ino), status.st_nlink > 1 and entry.kind != "directory"


def _entry(place: bytes, status: os.stat_result, device: int) -> Entry:
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    names = sorted(set(os.listxattr(place, follow_symlinks=False)) - DOUBLES)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        rdev=status.st_rdev,
        # A directory's size tells how it was filled, not what it holds.
        size=0 if kind == "directory" else status.st_size,
        mtime_ns=status.st_mtime_ns,
        target=os.readlink(place) if kind == "symlink" else b"",
        xattrs=tuple((name, os.getxattr(place, name, follow_symlinks=False)) for name in names),
        allocated=status.st_blocks * 512 if kind == "file" else 0,
        mount_point=kind == "directory" and status.st_dev != device,
        content=_digest(place, status) if kind == "file" else "",
    )


def _digest(place: bytes, status: os.stat_result) -> str:
    """Of every block that is not all zeros, and of its place: holes and written zeros read the same.

    So a sparse file of a gigabyte costs what its data costs.
    """
    digest = sha256()
    with _opened(place) as descriptor:
        sparse = status.st_blocks * 512 < status.st_size
        for start, end in _extents(descriptor) if sparse else [(0, status.st_size)]:
            for offset in range(start, end, BLOCK):
                block = os.pread(descriptor, BLOCK, offset)
                if block != ZEROS[: len(block)]:
                    digest.update(offset.to_bytes(8, "big") + block)
    return digest.hexdigest()


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        # Whole blocks of the file, wherever the file system's own ones begin: the digest must not depend on those.
        end = -(-os.lseek(descriptor, start, os.SEEK_HOLE) // BLOCK) * BLOCK
        yield start // BLOCK * BLOCK, end


@contextmanager
def _opened(place: bytes, flags: int = 0) -> Iterator[int]:
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(place, flags | os.O_NOATIME)
    except PermissionError:
        # Only the owner and root may leave the access time alone.
        descriptor = os.open(place, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _entry_differences(old: Entry | None, new: Entry | None) -> Iterator[tuple[str, str]]:
    """Pairs of an aspect and what became of it."""
    if old is None or new is None:
        yield ("missing", "") if new is None else ("extra", "")
        return
    if old.kind != new.kind:
        # Everything else follows from this.
        yield "type", f" {old.kind} -> {new.kind}"
        return
    yield from _changed("mode", f"{old.mode:04o}", f"{new.mode:04o}")
    yield from _changed("owner", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}")
    yield from _changed("device", _device(old.rdev), _device(new.rdev))
    yield from _changed("size", old.size, new.size)
    yield from _changed("mtime", old.mtime_ns, new.mtime_ns)
    yield from _changed("target", readable(old.target), readable(new.target))
    yield from _changed("mount point", old.mount_point, new.mount_point)
    yield from _changed("content", old.content[:12], new.content[:12])
    yield from _changed("links", _names(old.links), _names(new.links))
    before, after = dict(old.xattrs), dict(new.xattrs)
    for name in sorted(before.keys() | after.keys()):
        yield from _changed(f"xattr {name}", _value(before.get(name)), _value(after.get(name)))
    if old.sparse and new.allocated > old.allocated + max(old.allocated // 2, SPARSE_SLACK):
        yield "sparse", f" {old.allocated} -> {new.allocated} bytes allocated of {new.size}"


def _changed(aspect: str, old: object, new: object) -> Iterator[tuple[str, str]]:
    if old != new:
        yield aspect, f" {old} -> {new}"


def _device(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _names(links: tuple[bytes, ...]) -> str:
    return " = ".join(map(readable, links)) or "none"


def _value(value: bytes | None) -> str:
    return "none" if value is None else f"0x{value.hex()}"

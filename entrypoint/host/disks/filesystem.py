"""File systems as the kernel tells of them, and writes that are there after a power cut."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from entrypoint.host.children import QUICK, Children, run
from entrypoint.host.host import HOST_PID, Host

TOP = PurePosixPath("/")
OURS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DEVICES = Path("/dev")  # on this file system a device node is one
FLUSH = 3600.0  # seconds; a slow disk may have gigabytes of dirty pages to write


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo (proc_pid_mountinfo(5)), as the host's first process sees it.

    `root` is the directory of the file system that is mounted; of a bind mount it is what was bound.
    """

    point: PurePosixPath
    source: str
    kind: str
    device: str
    options: frozenset[str]
    root: PurePosixPath = TOP

    @classmethod
    def from_mountinfo(cls, line: str) -> "Mount":
        left, _, right = line.partition(" - ")
        # Only spaces divide: the kernel escapes those in names, and leaves other blanks of Unicode as they are.
        fields, tail = left.split(" "), right.split(" ")
        options = frozenset(fields[5].split(",")) | frozenset(tail[2].split(",") if len(tail) > 2 else ())
        point, root = PurePosixPath(unescape(fields[4])), PurePosixPath(unescape(fields[3]))
        return cls(point, unescape(tail[1]), tail[0], fields[2], options, root)


def unescape(text: str) -> str:
    """Space, tab, newline and backslash are octal in mountinfo and in fstab(5)."""
    raw = text.encode("utf-8", "surrogateescape")
    for code in (b"040", b"011", b"012", b"134"):
        raw = raw.replace(b"\\" + code, bytes([int(code, 8)]))
    return raw.decode("utf-8", "surrogateescape")


def mounts() -> tuple[Mount, ...]:
    """The host's mounts, in the order they were made."""
    return mounts_of(HOST_PID)


def mounts_of(pid: int) -> tuple[Mount, ...]:
    """The mounts that a process sees."""
    return mounts_in(Path(f"/proc/{pid}/mountinfo"))


def mounts_in(place: Path) -> tuple[Mount, ...]:
    """Those that such a file of the kernel's tells of."""
    text = place.read_bytes().decode("utf-8", "surrogateescape")
    return tuple(Mount.from_mountinfo(line) for line in text.split("\n") if line)


def mount_of(path: PurePosixPath, table: tuple[Mount, ...]) -> Mount:
    """The mount a resolved host path lies on; of two on one point the later hides the earlier."""
    over = [mount for mount in table if path.is_relative_to(mount.point)]
    return max(reversed(over), key=lambda mount: len(mount.point.parts))


def mounts_below(path: PurePosixPath, table: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The mounts inside a directory, without the one it is itself."""
    return tuple(mount for mount in table if path in mount.point.parents)


def covered_places(path: PurePosixPath, table: tuple[Mount, ...]) -> tuple[str, ...]:
    """Where inside a directory something else is mounted than what is there by itself, by names relative to it.

    A bind mount of the same file system has the same device number: nothing but this table tells it apart. A directory
    that is bound on itself, as an engine does with those of its plugins, shows its own content.
    """
    own = mount_of(path, table)
    return tuple(
        dict.fromkeys(
            str(mount.point.relative_to(path))
            for mount in mounts_below(path, table)
            if (mount.device, mount.root) != (own.device, own.root / mount.point.relative_to(own.point))
        )
    )


@dataclass(frozen=True)
class Space:
    """What a file system has free for root, in bytes and inodes; it has no inode limit if `inodes` is None."""

    free: int
    inodes: int | None

    @classmethod
    def at(cls, path: Path) -> "Space":
        """Root gets what is reserved for it; but ext4 keeps up to 4,096 blocks for itself that count as free and that
        nobody gets (fs/ext4/super.c, ext4_calculate_resv_clusters). Of others so much less is no matter."""
        info = os.statvfs(path)
        own = min(info.f_blocks // 50, 4096)
        return cls(max(0, info.f_bfree - own) * info.f_frsize, info.f_ffree if info.f_files else None)


@contextmanager
def device_node(device: int) -> Iterator[Path]:
    """A node of our own for a block device, for as long as the block: the names that there are may be another's."""
    with tempfile.TemporaryDirectory(prefix="relocator-", dir=DEVICES) as folder:
        node = Path(folder, "device")
        os.mknod(node, stat.S_IFBLK | 0o600, device)
        yield node


def existing_ancestor(host: Host, path: PurePosixPath) -> PurePosixPath:
    """The path itself or the nearest directory above it that is there."""
    while not os.path.lexists(host.path(path)):
        path = path.parent
    return path


def flush(path: Path, children: Children | None = None) -> None:
    """Write what is dirty on the file system of `path` to its disk, and say so if that failed (syncfs(2)).

    Where interrupts are held it is one of the `children` that they end.
    """
    (children or Children()).run(["sync", "--file-system", os.fspath(path)], timeout=FLUSH)


def birth(path: Path) -> str:
    """When a file or directory was made, to the nanosecond; empty where the file system does not note it (statx(2)).

    With its inode number it tells a directory from another that was given the same number later.
    """
    return run(["stat", "--format=%w", "--", os.fspath(path)], timeout=QUICK).stdout.strip().strip("-")


def born_at(path: Path) -> float:
    """The same in seconds since 1970, 0 where it is not noted."""
    return float(run(["stat", "--format=%W", "--", os.fspath(path)], timeout=QUICK).stdout)


def fsync_directory(path: Path) -> None:
    """Make names created, renamed or removed in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directories(path: Path, mode: int = 0o755) -> tuple[Path, ...]:
    """Create what is missing of a path, durably; returns what was created, the outermost first."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for step in reversed(missing):
        step.mkdir(mode)
        step.chmod(mode)  # whatever the umask has taken
        fsync_directory(step.parent)
    return tuple(reversed(missing))


def read_ours(directory: Path, name: str) -> bytes | None:
    """A file's content, if it and its directory belong to us, so that nobody else has put it there.

    What is read is what was asked: no link is followed, and nobody at the other end of a FIFO is waited for.
    """
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(name, "rb", opener=lambda path, _: os.open(path, OURS, dir_fd=folder)) as file:
            facts = [os.fstat(handle) for handle in (folder, file.fileno())]
            is_ours = {one.st_uid for one in facts} == {os.geteuid()} and stat.S_ISREG(facts[1].st_mode)
            return file.read() if is_ours else None
    finally:
        os.close(folder)


def atomic_write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace or create a file so that after a crash it has its old content or the new, never something between.

    An existing file keeps its mode, owner and extended attributes (SELinux labels are among them).
    """
    draft = path.with_name(f".{path.name}.relocator")
    try:
        _write_draft(draft, path, content, mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    fsync_directory(path.parent)


def _write_draft(draft: Path, path: Path, content: bytes, mode: int) -> None:
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        if path.exists():
            _take_attributes(path, handle)
        else:
            os.fchmod(handle, mode)
        file.flush()
        os.fsync(handle)


def _take_attributes(model: Path, handle: int) -> None:
    info = model.stat()
    os.fchown(handle, info.st_uid, info.st_gid)
    os.fchmod(handle, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(model):
        with suppress(OSError):  # one that cannot be set is one the file system makes by itself
            os.setxattr(handle, name, os.getxattr(model, name))


def remove_durably(path: Path) -> None:
    """Remove a file that may already be gone."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        fsync_directory(path.parent)

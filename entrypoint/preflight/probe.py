"""What an engine does on a file system, tried out: whatever it is called, it can or it cannot.

The tries are made in a scratch directory in the nearest directory of the target that exists. It is removed however they
end, the times of that directory are put back, and the overlay is mounted in a namespace that dies with the program that
made it: nothing is left, and nobody else sees a mount. A scratch directory whose maker was killed is removed by the
next; it is told from one in use by its lock, which dies with its holder.
"""

import errno
import fcntl
import mmap
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import HostCommandError
from entrypoint.host.children import QUICK, run
from entrypoint.host.confined.entries import LABEL
from entrypoint.host.host import Host

PREFIX = ".relocator-probe-"
MIB = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)  # says nothing of what the file system can do
CAPABILITY = struct.pack("<5I", 0x02000000, 1 << 10, 0, 0, 0)  # CAP_NET_BIND_SERVICE; struct vfs_cap_data, version 2
# A copy-up, a whiteout, a new file: what every layer is made of. Relative names, because mount's options have
# separators of their own.
OVERLAY = """
set -e
cd "$1"
mkdir lower upper work merged
echo below >lower/kept
echo below >lower/removed
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged || exit 98
echo above >>merged/kept && rm merged/removed && echo above >merged/new || exit 99
test -f upper/kept && test -c upper/removed && test -f upper/new || exit 99
"""
OVERLAY_FAILED = {98: "the kernel refuses one", 99: "what is changed does not come to lie above"}


def lacks(host: Host, path: PurePosixPath, label: bytes = b"", *, overlay: bool = True) -> tuple[str, ...]:
    """What cannot be done in a directory that an engine would do there, each with the reason.

    `label` is one of SELinux that files there will have to take; empty where it is off. Not every engine has the kernel
    mount an `overlay`. Raises OSError where there is no room to try anything.
    """
    try:
        with scratch(host.path(path)) as place:
            attempts = TRIES | ({"SELinux labels": partial(_labels, label)} if label else {})
            tries = [(what, _failure(attempt, place / f"try-{what}")) for what, attempt in attempts.items()]
            tries += [("overlay mounts", _overlay(host, path / place.name))] if overlay else []
    except OSError as error:
        if error.errno in FULL:
            raise
        return (f"new directories ({_reason(error)})",)
    return tuple(f"{what} ({why})" for what, why in tries if why)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A directory of our own, of which nothing is left."""
    info = parent.stat()
    place, handle = _make(parent)
    try:
        yield place
    finally:
        shutil.rmtree(place)
        os.close(handle)
        os.utime(parent, ns=(info.st_atime_ns, info.st_mtime_ns))


def _make(parent: Path) -> tuple[Path, int]:
    """The directory and its lock; made anew if a sweep has met it before it was locked."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            handle = _locked(place, fcntl.LOCK_EX)
            if place.exists():
                return place, handle
            os.close(handle)


def _locked(place: Path, how: int) -> int:
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        pass  # no locks here, which is told by a try of its own
    return handle


def sweep(parent: Path) -> None:
    """Remove what a probe that was killed has left."""
    for place in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            handle = _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)
            os.close(handle)


def _failure(attempt: Callable[[Path], None], own: Path) -> str:
    """Why a try did not succeed in a directory of its own; nothing if it did."""
    try:
        own.mkdir()
        attempt(own)
    except OSError as error:
        if error.errno in FULL:
            raise
        return _reason(error)
    return ""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise OSError(otherwise)


def _owners(place: Path) -> None:
    file = place / "file"
    file.touch()
    os.chown(file, 70000, 70001)
    file.chmod(0o4751)  # last: a change of owner takes the set-user-id bit away
    found = file.stat()
    kept = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (70000, 70001, 0o4751)
    _require(kept, "they are not kept")


def _hard_links(place: Path) -> None:
    (place / "file").touch()
    (place / "link").hardlink_to(place / "file")
    _require((place / "link").stat().st_nlink == 2, "they are copies")


def _symbolic_links(place: Path) -> None:
    (place / "link").symlink_to("nowhere")


def _holes(place: Path) -> None:
    with (place / "file").open("wb") as file:
        file.truncate(8 * MIB)
    _require((place / "file").stat().st_blocks * 512 < 4 * MIB, "they are filled")


def _attributes(place: Path) -> None:
    (place / "file").touch()
    for name, value in (("user.a", b"1"), ("trusted.a", b"1"), ("security.capability", CAPABILITY)):
        try:
            os.setxattr(place / "file", name, value)
        except OSError as error:
            raise OSError(f"{name}: {_reason(error)}") from error
        _require(os.getxattr(place / "file", name) == value, f"{name} is not kept")


def _labels(label: bytes, place: Path) -> None:
    (place / "file").touch()
    os.setxattr(place / "file", LABEL, label)
    _require(os.getxattr(place / "file", LABEL) == label, "they are not kept")


def _programs(place: Path) -> None:
    program = place / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    try:
        run([str(program)], timeout=QUICK)
    except HostCommandError as error:
        raise OSError("they are not started") from error


def _nodes(place: Path) -> None:
    os.mknod(place / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(place / "pipe", stat.S_IFIFO | 0o600)
    os.mknod(place / "socket", stat.S_IFSOCK | 0o600)


def _locks(place: Path) -> None:
    with (place / "file").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _mapping(place: Path) -> None:
    """As the engine's databases do it."""
    with (place / "file").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as pages:
            pages[:3] = b"abc"
            pages.flush()
        _require(file.read(3) == b"abc", "what is written is not there")


def _names(place: Path) -> None:
    (place / ("n" * 255)).touch()
    (place / "case").touch()
    _require(not (place / "CASE").exists(), "large and small letters are one")


def _types(place: Path) -> None:
    """Whether a directory's listing has the types: of an entry that is gone, only the listing can tell it."""
    (place / "file").touch()
    with os.scandir(place) as listing:
        entries = list(listing)
    (place / "file").unlink()
    _require(all(entry.is_file(follow_symlinks=False) for entry in entries), "d_type is not set")


TRIES: dict[str, Callable[[Path], None]] = {
    "owners and modes": _owners,
    "hard links": _hard_links,
    "symbolic links": _symbolic_links,
    "sparse files": _holes,
    "extended attributes": _attributes,
    "programs": _programs,
    "device nodes, pipes and sockets": _nodes,
    "file locks": _locks,
    "mapped files": _mapping,
    "long names, in large and small letters": _names,
    "types in directories": _types,
}


def _overlay(host: Host, place: PurePosixPath) -> str:
    """With the host's own programs: the kernel takes for layers only what is mounted in the caller's namespace."""
    if not (host.program("unshare") and host.program("mount")):
        return ""  # what cannot be tried here is found by the engine's start
    own = place / "overlay"
    host.path(own).mkdir()
    done = host.run(["unshare", "--mount", "--", "sh", "-c", OVERLAY, "sh", str(own)], check=False)
    return OVERLAY_FAILED.get(done.code, "")

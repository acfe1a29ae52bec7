"""Source and target by themselves: mounts of their own, on which no link is followed, and a namespace that has no more.

Each is cloned into a mount that nobody else sees, without what is mounted below it (open_tree(2)): no link is followed
there, no device opened, no program started, and the source cannot be written. We reach both by a descriptor of such a
mount, `/proc/PID/fd/N`, with all calls. The programs that we start for them run in a mount namespace whose root is the
image without everything that is mounted in it: no /host, no /proc, nothing of the host but these two.

A mount can be cloned in the namespace alone that it belongs to: the host's, if it is reached through /proc/1/root.
Kernels before 5.2 know no open_tree, and before 5.10 no mount that follows no links; there beneath.py stands alone.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.console.events import log
from entrypoint.host.confined.tree import Tree
from entrypoint.host.host import HOST_PID

NAMESPACES = ("/proc/self/ns/mnt", f"/proc/{HOST_PID}/ns/mnt")
PLACE = b"/mnt"  # in every image, and a mount needs no more
NEW_NAMESPACE, OWN_FILES = 0x20000, 0x200  # CLONE_NEWNS, CLONE_FS
OPEN_TREE, MOVE_MOUNT = 428, 429  # the same numbers on every architecture
CLONE, EMPTY_PATH, FROM_EMPTY_PATH, HERE = 1, 0x1000, 4, -100
READ_ONLY, NO_SUID, NO_DEVICES, NO_PROGRAMS, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
RECURSIVE, PRIVATE = 1 << 14, 1 << 18
FOLLOW_NO_LINKS = 256  # MS_NOSYMFOLLOW; with NO_DEVICES the constant of this wall
DETACH = 2
WALLED = REMOUNT | BIND | NO_SUID | NO_DEVICES | NO_PROGRAMS | FOLLOW_NO_LINKS
_LIBC = ctypes.CDLL(None, use_errno=True)
NAMES = (b"source", b"target")
TARGET = Path(os.fsdecode(PLACE + b"/" + NAMES[1]))  # as programs in the namespace know it


@dataclass(frozen=True)
class Roots:
    """Source and target as they are to be reached, for as long as they are confined; and the namespace in which the
    programs for them run, if they are."""

    source: Path
    target: Path
    namespace: int | None = None


@dataclass
class Opened:
    """Descriptors that one thread has made in a namespace of its own."""

    namespace: int = -1
    roots: list[int] = field(default_factory=list)

    def close(self) -> None:
        for handle in (self.namespace, *self.roots):
            if handle >= 0:
                os.close(handle)


@contextmanager
def confined(source: Path, target: Path) -> Iterator[Roots]:
    """Both confined in the block; where the kernel cannot, that is told, and they are what they are. Raises OSError."""
    opened = Opened()
    try:
        with ExitStack() as stack:
            handles = [_open(stack, place) for place in (source, target)]
            spaces = [_open_space(stack, place) for place in NAMESPACES]
            with ThreadPoolExecutor(1) as thread:  # whose namespace is its own
                thread.submit(_confine, opened, handles, [one for one in spaces if one is not None]).result()
    except OSError as error:
        opened.close()
        log.warning("copy.unconfined", why=str(error))
        yield Roots(source, target)
        return
    # Good for our programs, too.
    one, other = (Path(f"/proc/{os.getpid()}/fd/{handle}") for handle in opened.roots)
    try:
        yield Roots(one, other, opened.namespace)
    finally:
        opened.close()


def _open(stack: ExitStack, place: Path) -> int:
    handle = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, handle)
    return handle


def _open_space(stack: ExitStack, place: str) -> int | None:
    with suppress(PermissionError, FileNotFoundError):
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, handle)
        return handle
    return None


def _confine(opened: Opened, roots: Sequence[int], spaces: Sequence[int]) -> None:
    """In a thread of its own, which ends after it: its namespace is none that the program goes on with."""
    _call(_LIBC.unshare(OWN_FILES))
    clones = [_clone(root, spaces) for root in roots]
    try:
        _call(_LIBC.setns(spaces[0], NEW_NAMESPACE))
        _call(_LIBC.unshare(NEW_NAMESPACE))
        opened.namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        _leave_all()
        for clone, name, more in zip(clones, NAMES, (READ_ONLY, 0), strict=True):
            opened.roots.append(_attach(clone, PLACE + b"/" + name, more))
        _mount(None, b"/", None, REMOUNT | BIND | READ_ONLY)
    finally:
        for clone in clones:
            os.close(clone)


def _clone(root: int, spaces: Sequence[int]) -> int:
    """A mount of a directory alone, without what is mounted below it."""
    for number, space in enumerate(spaces, 1):
        _call(_LIBC.setns(space, NEW_NAMESPACE))
        try:
            flags = CLONE | EMPTY_PATH | os.O_CLOEXEC
            return _call(_LIBC.syscall(ctypes.c_long(OPEN_TREE), ctypes.c_int(root), b"", ctypes.c_uint(flags)))
        except OSError:
            if number == len(spaces):
                raise
    raise AssertionError("there is a namespace of our own")


def _leave_all() -> None:
    """The root becomes the image's files, without anything that is mounted there (pivot_root(2), "." for both)."""
    _mount(None, b"/", None, RECURSIVE | PRIVATE)
    _mount(b"/", PLACE, None, BIND)
    os.chdir(PLACE)
    _call(_LIBC.pivot_root(b".", b"."))
    _call(_LIBC.umount2(b".", DETACH))
    os.chdir(b"/")
    _mount(b"relocator", PLACE, b"tmpfs", NO_SUID | NO_DEVICES | NO_PROGRAMS, b"mode=700,size=64k")


def _attach(clone: int, place: bytes, more: int) -> int:
    os.mkdir(place)
    _call(_LIBC.syscall(ctypes.c_long(MOVE_MOUNT), ctypes.c_int(clone), b"", ctypes.c_int(HERE), place,
                        ctypes.c_uint(FROM_EMPTY_PATH)))  # fmt: skip
    _mount(None, place, None, WALLED | more)
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _mount(what: bytes | None, where: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _call(_LIBC.mount(what, where, kind, ctypes.c_ulong(flags), data))


def _call(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@dataclass(frozen=True)
class Place:
    """How a program is started in a directory below a root: what goes before its argv, and what it inherits."""

    prefix: tuple[str, ...]
    cwd: Path
    handles: tuple[int, ...]


@contextmanager
def place(root: Path, where: bytes = b"", namespace: int | None = None) -> Iterator[Place]:
    """A directory below a root as the working directory of a program, in the roots' namespace if they have one.

    nsenter opens the directory before it enters, so that it needs no path there. Raises OSError.
    """
    with Tree(root).folder(where) as folder:
        cwd = Path(f"/proc/self/fd/{folder}")
        if namespace is None:
            yield Place((), cwd, ())
        else:
            enter = ("nsenter", f"--mount=/proc/self/fd/{namespace}", f"--wd={cwd}", "--")
            yield Place(enter, Path("/"), (namespace, folder))

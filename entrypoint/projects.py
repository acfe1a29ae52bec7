"""Project ids: how the kernel counts what a volume or a container with a limit of size holds.

The engine gives a directory an id of its own and limits that id; what is made in the directory inherits the id (moby
daemon/internal/quota/projectquota.go). No copy of files carries ids, and an engine that limits a volume again
gives an id to the directory alone: what was copied before would not count. So the directories of the copy get ids that
nothing else on the target's file system has, with all that is in them, as soon as that is copied; and once nothing
more is written, the limits. An engine learns the ids from the directories when it starts.

A limit that a target has from earlier on is lifted first: in what order files grow and shrink there is cp's affair.
"""

import ctypes
import fcntl
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import CopyError
from entrypoint.layers import immutable_layers
from entrypoint.log import log

# What the engine gives ids to; where it maps users, in a directory with their numbers.
GIVEN = ("volumes/*/_data", "overlay2/*", "vfs/dir/*")
REMAPPED = "[0-9]*.[0-9]*"
DEVICES = Path("/dev")  # quotactl(2) wants a device node, on a file system where one is one

# struct fsxattr (linux/fs.h): flags, three numbers of no matter here but for the third, the id, and one more.
ATTRIBUTES = struct.Struct("5I8x")
GET_ATTRIBUTES, SET_ATTRIBUTES = 0x801C581F, 0x401C5820
INHERITED = 0x200
TO_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

# struct fs_disk_quota (linux/dqblk_xfs.h): version, whose, which fields, id, limits in 512 bytes; then what is used.
QUOTA = struct.Struct("bbHI2Q88x")
VERSION, OF_PROJECT, BOTH_LIMITS = 1, 2, 1 << 2 | 1 << 3
GET, SET, NEXT = ((ord("X") << 8 | number) << 8 | OF_PROJECT for number in (3, 4, 9))
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Quota:
    """The project quota of one file system, by the node of its device; limits are in 512 bytes, 0 is none."""

    node: Path

    def limit(self, project: int) -> int:
        with suppress(FileNotFoundError):
            return self._ask(GET, project)[4]
        return 0

    def set_limit(self, project: int, blocks: int) -> None:
        self._ask(SET, project, QUOTA.pack(VERSION, OF_PROJECT, BOTH_LIMITS, project, blocks, blocks))

    def highest(self) -> int:
        """The highest id that anything has. Raises OSError where projects are not counted."""
        found = 0
        with suppress(FileNotFoundError):
            while True:
                found = self._ask(NEXT, found + 1)[3]
        return found

    def _ask(self, what: int, project: int, told: bytes = b"") -> tuple[int, ...]:
        buffer = ctypes.create_string_buffer(told, QUOTA.size)
        if LIBC.quotactl(what, os.fsencode(self.node), ctypes.c_int(project), buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return QUOTA.unpack(buffer.raw)


@dataclass(frozen=True)
class Limits:
    """Source and target of a copy, as seen from here, and the quota of both file systems."""

    source: Path
    target: Path
    here: Quota
    there: Quota

    def lift(self) -> None:
        """Take the limits off what an earlier move has left in the target."""
        for project in self._in_copy(self._projects()).values():
            if project:
                self.there.set_limit(project, 0)

    def carry(self) -> None:
        """Give ids to the copies of directories that have one, and to all that is in them."""
        projects = self._projects()
        log.info("limits.carried", directories=len(projects))
        self._give(self._in_copy(projects))

    def set(self) -> None:
        """Set the limits, with ids for what is there only since they were carried. Nothing is written any more."""
        projects = self._projects()
        self._give({place: 0 for place, project in self._in_copy(projects).items() if not project})
        for place, project in self._in_copy(projects).items():
            if project:
                self.there.set_limit(project, self.here.limit(projects[place]))

    def _projects(self) -> dict[str, int]:
        """Directories of the source and their ids, where those are their own; not layers, which nobody writes to."""
        layers = {layer.place for layer in immutable_layers(self.source)}
        patterns = (*GIVEN, *(f"{REMAPPED}/{given}" for given in GIVEN))
        found = {str(one.relative_to(self.source)): one for pattern in patterns for one in self.source.glob(pattern)}
        projects = {place: own_project(one) for place, one in found.items() if not layers & {place, f"{place}/diff"}}
        return {place: project for place, project in projects.items() if project}

    def _in_copy(self, projects: Mapping[str, int]) -> dict[str, int]:
        """The ids of the directories in the copy. On the same file system one that the source uses is none."""
        is_one = self.source.stat().st_dev == self.target.stat().st_dev
        taken = {0, *projects.values()} if is_one else {0}
        found = {place: own_project(self.target / place) for place in projects}
        return {place: 0 if project in taken else project for place, project in found.items()}

    def _give(self, wanted: Mapping[str, int]) -> None:
        """Give ids, and where none is wanted the next that is free."""
        free = self.there.highest() + 1
        for place, project in wanted.items():
            give(self.target / place, project or free)
            free += not project


def tend(source: Path, target: Path, act: Callable[[Limits], None]) -> None:
    """Do something about limits, if projects are counted on both file systems. Raises CopyError."""
    with quota_of(source) as here, quota_of(target) as there:
        if here and there:
            try:
                act(Limits(source, target, here, there))
            except OSError as error:
                raise CopyError("A limit of size cannot be set in the copy.", details=str(error)) from error


@contextmanager
def quota_of(place: Path) -> Iterator[Quota | None]:
    """The project quota of the file system of a directory, if projects are counted there."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="relocator-", dir=DEVICES))
            quota = Quota(Path(folder, "device"))
            os.mknod(quota.node, stat.S_IFBLK | 0o600, place.stat().st_dev)
            quota.highest()
        except OSError:
            yield None
        else:
            yield quota


def own_project(place: Path) -> int:
    """The id of a directory; 0 if it has none, or only that of the directory it is in, or is not there."""
    try:
        project, above = project_of(place), project_of(place.parent)
    except OSError:
        return 0
    return 0 if project == above else project


def project_of(place: Path) -> int:
    with _opened(place) as handle:
        return _attributes(handle)[3]


def give(top: Path, project: int) -> None:
    """Give an id to a directory and all that is in it; what is made in it from then on has it, too.

    Links and devices cannot be opened to be given one, and take no space that counts.
    """
    for _, _, names, folder in os.fwalk(top):
        _give(folder, project, INHERITED)
        for name in names:
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                with _opened(name, folder) as handle:
                    _give(handle, project)


def _give(handle: int, project: int, flags: int = 0) -> None:
    had = _attributes(handle)
    fcntl.ioctl(handle, SET_ATTRIBUTES, ATTRIBUTES.pack(had[0] | flags, *had[1:3], project, had[4]))


def _attributes(handle: int) -> tuple[int, ...]:
    return ATTRIBUTES.unpack(fcntl.ioctl(handle, GET_ATTRIBUTES, bytes(ATTRIBUTES.size)))


@contextmanager
def _opened(place: "Path | str", folder: int | None = None) -> Iterator[int]:
    handle = os.open(place, TO_LOOK, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)

"""A root that is to move, and the place it is to move to, as the file systems tell of them."""

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath

from entrypoint.copy.looking.changes import DIRECTORY, Change, changed_command, listed
from entrypoint.copy.looking.clock import Ahead, ahead
from entrypoint.copy.looking.left_out import covered_now, left_out
from entrypoint.engine.drivers import WITH_VIEWS, layers
from entrypoint.host.children import run
from entrypoint.host.disks import fstab, kinds, names
from entrypoint.host.disks.filesystem import Mount, Space, birth, existing_ancestor, mount_of
from entrypoint.host.host import Host
from entrypoint.host.machine.mentions import mentions
from entrypoint.host.machine.openers import Opener, openers
from entrypoint.journal.unfinished import Unfinished

SUBVOLUME = 256  # the inode number of each one's root: BTRFS_FIRST_FREE_OBJECTID of linux/btrfs_tree.h
MEASURING = 3600.0  # seconds; `du` over tens of millions of files on a slow disk


@dataclass(frozen=True)
class Size:
    """What a data root holds on its disk: allocated bytes, and entries."""

    allocated: int
    entries: int


class RootKind(StrEnum):
    """What a root is: the engine's own, or where containerd keeps the images."""

    DATA_ROOT = "data-root"
    IMAGE_STORE = "image-store"


class Left(StrEnum):
    """Of a root that a move has left: whether `rollback` leads back to it. Or it is the copy of one that failed."""

    WAY_BACK = "way back"
    ASIDE = "aside"
    FAILED = "failed"


@dataclass(frozen=True)
class Rest:
    """Of a target that is to be made a copy: how many entries are there, and how many of them the source has not."""

    entries: int
    extra: int


@dataclass(frozen=True)
class Target:
    """The path the operator named, and what is there now.

    `path` is as named, `resolved` with the host's symlinks followed. `content` are up to a few names found in it;
    `ancestor` is the nearest directory that exists, `unfinished` the record of an attempt that was cut off. `closed`
    are the directories above it that only some users may pass, `exposed` those that others than root can change;
    `lacks` is what its file system cannot do, as far as that was tried (probe.py), `full` why nothing could be tried;
    `uuid` is that of its disk, if it is known. `rest`: what is there is to be made a copy, as the operator wants it.
    """

    path: PurePosixPath
    resolved: PurePosixPath
    exists: bool
    is_directory: bool
    content: tuple[str, ...]
    ancestor: PurePosixPath
    ancestor_is_directory: bool
    mount: Mount
    space: Space
    identities: tuple[tuple[int, int], ...]
    unfinished: Unfinished | None = None
    closed: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    full: str = ""
    uuid: str = ""
    rest: Rest | None = None


@dataclass(frozen=True)
class Source:
    """A root as it is now: the engine's, or that of its containerd, which has no layers that are known.

    `looking` is how many seconds a look for changes takes that finds the tree in memory. `openers` have something of it
    open, `mentions` are files of the host that name it. `links` are
    parts of it, a directory of the engine's or a volume, that are elsewhere: what stands in the link, by the part.
    """

    path: PurePosixPath
    mount: Mount
    size: Size
    layers: int
    layer_bytes: int
    identity: tuple[int, int]
    ancestors: tuple[tuple[int, int], ...]
    subvolumes: tuple[str, ...] = ()
    openers: tuple[Opener, ...] = ()
    mentions: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    born: str = ""
    space: Space = field(default_factory=lambda: Space(0, None))
    ahead: Ahead = field(default_factory=Ahead)
    looking: float = 0.0


@dataclass(frozen=True)
class RootFacts:
    """A root that is to move, and where to."""

    kind: RootKind
    source: Source
    target: Target

    @property
    def is_on_one_file_system(self) -> bool:
        return self.source.mount.device == self.target.mount.device

    @property
    def can_link(self) -> bool:
        """Whether files can be hard-linked to the target: never across mounts, were they of one file system
        (link(2))."""
        return self.is_on_one_file_system and self.source.mount.point == self.target.mount.point

    @property
    def is_there(self) -> bool:
        """Whether the root is the target already."""
        return is_same(self.source, self.target)

    def is_begun(self, engine_id: str) -> bool:
        """Whether what is in the target is an unfinished copy of this engine's root, made by relocator."""
        record = self.target.unfinished
        return record is not None and record.is_of(str(self.source.path), engine_id)


def measure(path: Path, covered: Iterable[str] = ()) -> Size:
    """What `du` would count on one file system: sparse files as what they take, hard links once.

    du itself is not asked: it ends with nothing said where a directory becomes a link under it, which any container can
    bring about. What is mounted on places that are `covered` is not the root's own, though it may be of the same file
    system.
    """
    views = (f"/{driver.views}" for driver in WITH_VIEWS)
    allocated, entries, linked = 512 * path.stat().st_blocks, 1, set[int]()
    for record in listed(path, changed_command(None, (*views, *(f"/{one}" for one in covered))), live=True):
        change = Change.parse(record)
        if change.links > 1 and change.kind != DIRECTORY:
            if change.inode in linked:
                continue
            linked.add(change.inode)
        allocated, entries = allocated + change.size, entries + 1
    return Size(allocated, entries)


def taken(root: Path, immutable: Collection[layers.Layer]) -> int:
    """Bytes of layers; of those that hold what is below them, too, the engine has noted only what they add to it."""
    whole = [str(root / layer.place) for layer in immutable if layer.is_whole]
    measuring = ["du", "--summarize", "--total", "--one-file-system", "--block-size=1", "--", *whole]
    return sum(layer.size for layer in immutable if not layer.is_whole) + (_sum(measuring) if whole else 0)


def _sum(measuring: Sequence[str]) -> int:
    """The number of du's last line. What it is asked for never changes."""
    return int(run(measuring, timeout=MEASURING).stdout.splitlines()[-1].split()[0])


def source_at(host: Host, path: PurePosixPath, table: tuple[Mount, ...], seen: Source | None = None) -> Source:
    """What is known of a root; one that was `seen` is not measured again, for that takes its time."""
    place = host.path(path)
    if seen and (seen.path, seen.identity) == (path, _identity(place)):
        return replace(seen, mount=mount_of(path, table), space=Space.at(place), openers=openers(host, path))
    immutable, size = layers.immutable_layers(place), measure(place, covered_now(path, table))
    future, looking = timed(lambda: ahead(place, left_out(layer.place for layer in immutable)))  # all is in memory now
    return Source(
        path=path,
        mount=mount_of(path, table),
        size=size,
        layers=len(immutable),
        layer_bytes=taken(place, immutable),
        identity=_identity(place),
        ancestors=_identities(host, path),
        born=birth(place),
        space=Space.at(place),
        ahead=future,
        looking=looking,
        subvolumes=subvolumes(place) if kinds.of(mount_of(path, table).kind).has_subvolumes else (),
        openers=openers(host, path),
        mentions=mentions(host, path),
        links=dict(links(place)),
    )


def timed(look: Callable[[], Ahead]) -> tuple[Ahead, float]:
    """What a look finds, and the seconds that it takes."""
    began = time.monotonic()
    return look(), time.monotonic() - began


def links(root: Path) -> Iterator[tuple[str, str]]:
    """What the engine keeps in a directory of its own, and finds through a symbolic link."""
    for pattern in ("*", "volumes/*", "volumes/*/_data"):
        for place in root.glob(pattern):
            if place.is_symlink():
                yield str(place.relative_to(root)), os.readlink(place)


def subvolumes(root: Path) -> tuple[str, ...]:
    """The subvolumes below a root on btrfs: no mount table has them, and they are file systems of their own."""
    search = ["find", str(root), "-xdev", "-mindepth", "1", "-type", "d", "-inum", str(SUBVOLUME), "-printf", "%P\\0"]
    return tuple(filter(None, run(search, timeout=MEASURING, check=False).stdout.split("\0")))


def target_at(host: Host, path: PurePosixPath, table: tuple[Mount, ...]) -> Target:
    resolved = host.resolve(path)
    place = host.path(resolved)
    ancestor = existing_ancestor(host, resolved)
    mount = mount_of(ancestor, table)
    return Target(
        path=path,
        resolved=resolved,
        exists=os.path.lexists(place),
        is_directory=place.is_dir(),
        content=tuple(sorted(os.listdir(place))[:5]) if place.is_dir() else (),
        ancestor=ancestor,
        ancestor_is_directory=host.path(ancestor).is_dir(),
        mount=mount,
        space=Space.at(host.path(ancestor)),
        identities=_identities(host, ancestor),
        unfinished=Unfinished.read(place),
        closed=_closed(host, ancestor if ancestor != resolved else ancestor.parent),
        exposed=exposed_above(host, resolved),
        uuid=fstab.uuid_of(host, mount),
    )


def is_same(source: Source, target: Target) -> bool:
    """By name, or by being the same directory: a bind mount shows it under another name."""
    return source.path == target.resolved or (target.exists and target.identities[0] == source.identity)


def is_inside(source: Source, target: Target) -> bool:
    """Whether the target lies in the root."""
    return source.path in target.resolved.parents or source.identity in target.identities


def is_around(source: Source, target: Target) -> bool:
    """Whether the root lies in the target."""
    return target.resolved in source.path.parents or (target.exists and target.identities[0] in source.ancestors)


def _closed(host: Host, path: PurePosixPath) -> tuple[str, ...]:
    """A directory and those above it, as far as not everybody may pass through them."""
    steps = (path, *path.parents)
    return tuple(str(step) for step in steps if not host.path(step).stat().st_mode & stat.S_IXOTH)


def exposed_above(host: Host, path: PurePosixPath) -> tuple[str, ...]:
    """The directories above a path in which others than root can put something else in its place."""
    there = (step for step in path.parents if host.path(step).exists())
    return tuple(str(step) for step in there if _others_may_change(host.path(step).stat()))


def _others_may_change(info: os.stat_result) -> bool:
    """By owning it, or by a mode that lets all write; the sticky bit keeps them from what is not theirs."""
    return info.st_uid != 0 or bool(info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX)


def _identities(host: Host, path: PurePosixPath) -> tuple[tuple[int, int], ...]:
    """Device and inode of a directory and of each above it: a bind mount shows the same under another name."""
    return tuple(_identity(host.path(step)) for step in (path, *path.parents))


def _identity(place: Path) -> tuple[int, int]:
    info = place.stat()
    return info.st_dev, info.st_ino


def users(
    root: PurePosixPath, binds: Mapping[str, Collection[str]], table: tuple[Mount, ...]
) -> Iterator[tuple[str, PurePosixPath]]:
    """Who uses paths inside a root, and which, as the root names them: what binds some of the host's, by whatever name,
    and mounts of the host."""
    for name, paths in binds.items():
        for path in (PurePosixPath(path) for path in paths if path.startswith("/")):
            if inside := names.within(path, root, table):
                yield name, inside
    there = names.Place.of(root, table)
    for mount in table:
        shown = names.Place(mount.device, mount.root)
        if shown.is_in(there) and not mount.point.is_relative_to(root):
            yield f"the mount {mount.point}", root / mount.root.relative_to(there.inside)

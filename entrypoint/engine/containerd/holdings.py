"""What a root of containerd's holds, as its databases tell it: nothing can be asked of a root that none runs on.

meta.db      v1/NAMESPACE/images/NAME/target/digest, …/content/blob/DIGEST/size, …/snapshots/SNAPSHOTTER/KEY/name
             (containerd metadata/buckets.go); the engine's key for what a container writes is the container's id
metadata.db  of a snapshotter: v1/snapshots/NAME/id, the number of its directory, and kind; a name is a namespace, a
             number, and the key (snapshots/storage/bolt.go, metadata/snapshot.go)
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from entrypoint.engine.containerd import bolt
from entrypoint.engine.containerd.bolt import Tree, below, value
from entrypoint.engine.containerd.service import BLOBS, DATABASE, snapshots
from entrypoint.engine.drivers import SNAPSHOTTERS
from entrypoint.engine.info import NAMESPACES
from entrypoint.engine.inventory import Inventory

SNAPSHOTS = "metadata.db"
ACTIVE = b"\2"  # the kind of a snapshot that is written to (snapshots/snapshotter.go)


@dataclass(frozen=True)
class ContainerdHoldings:
    """The digests of images, and the keys of snapshots, of whoever works with it; `incomplete` is what should be there
    and is not, relative to the root."""

    images: frozenset[str]
    snapshots: frozenset[str]
    incomplete: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, *, live: bool = False, elsewhere: bool = False) -> "ContainerdHoldings":
        """Of a root that is worked on (`live`) nothing is missing, and what is collected meanwhile must not seem so.

        `elsewhere`: the configuration names where snapshots are; then they are not looked for.
        """
        try:
            known = below(bolt.read((root / DATABASE).read_bytes()), b"v1")
            missing = [] if live else list(_blobs_missing(root, known))
            missing += [] if live or elsewhere else _snapshots_missing(root, known)
            return cls(frozenset(_images(known)), frozenset(_keys(known)), tuple(missing))
        except (OSError, ValueError):
            return cls(frozenset(), frozenset(), (DATABASE,))

    def lacking(self, inventory: Inventory) -> Iterator[tuple[str, str]]:
        """Images that an engine holds and this root does not: the kind, and a name for people."""
        for image, tags in inventory.images.items():
            if tags and image not in self.images:
                yield "image", tags.split()[0]


def writers(root: Path, snapshotter: str, containers: Collection[str] = ()) -> dict[str, str]:
    """Who writes to the directories of a snapshotter, by their numbers: the id of one of an engine's `containers`, what
    tells another's, or an empty text for layers of images. Nothing of a database that cannot be read."""
    try:
        held = _snapshots(root, snapshotter)
        return {str(_number(held, name)): _writer(held, name, containers) for name in held}
    except (OSError, ValueError):
        return {}


def _writer(held: Tree, name: bytes, containers: Collection[str]) -> str:
    namespace, _, key = name.decode().partition("/")
    if value(below(held, name), b"kind") != ACTIVE:
        return ""
    key = key.partition("/")[2]
    return key if key in containers or namespace in NAMESPACES else f"{key} of namespace {namespace}"


def _snapshots(root: Path, snapshotter: str) -> Tree:
    """What a snapshotter keeps, by its own names. Raises OSError and ValueError."""
    place = root / snapshots(snapshotter) / SNAPSHOTS
    return below(bolt.read(place.read_bytes()), b"v1", b"snapshots")


def _number(held: Tree, name: bytes) -> int:
    return bolt.unsigned(value(below(held, name), b"id"))


def _namespaces(known: Tree) -> Iterator[Tree]:
    yield from (below(known, name) for name in known)


def _images(known: Tree) -> Iterator[str]:
    for namespace in _namespaces(known):
        for name in (images := below(namespace, b"images")):
            yield value(below(images, name, b"target"), b"digest").decode()


def _keys(known: Tree) -> Iterator[str]:
    for namespace in _namespaces(known):
        for snapshotter in (kept := below(namespace, b"snapshots")):
            yield from (key.decode() for key in below(kept, snapshotter))


def _blobs_missing(root: Path, known: Tree) -> Iterator[str]:
    for namespace in _namespaces(known):
        for digest in (blobs := below(namespace, b"content", b"blob")):
            place = f"{BLOBS}/{digest.decode().replace(':', '/')}"
            size = bolt.signed(value(below(blobs, digest), b"size"))
            if not (root / place).is_file() or (root / place).stat().st_size != size:
                yield place


def _snapshots_missing(root: Path, known: Tree) -> Iterator[str]:
    """Of the snapshotters whose directories are known; one that was never used has no database."""
    for namespace in _namespaces(known):
        for snapshotter in (row.name for row in SNAPSHOTTERS):
            if wanted := below(namespace, b"snapshots", snapshotter.encode()):
                yield from _directories_missing(root, snapshotter, wanted)


def _directories_missing(root: Path, snapshotter: str, wanted: Tree) -> Iterator[str]:
    place = snapshots(snapshotter)
    try:
        held = _snapshots(root, snapshotter)
    except (OSError, ValueError):
        yield f"{place}/{SNAPSHOTS}"
        return
    for key in wanted:
        number = _number(held, value(below(wanted, key), b"name"))
        directory = f"{place}/snapshots/{number}"
        if not number or not (root / directory).is_dir():
            yield directory if number else f"{place}/snapshots: {key.decode()}"

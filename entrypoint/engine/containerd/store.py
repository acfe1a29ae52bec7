"""What a root of containerd's has on its disk of one image, or of one snapshot, as its two databases tell
(holdings.py has their buckets).

An image is the blob it is named for and all that hangs on it by the labels that keep it from being collected:
`containerd.io/gc.ref.content.…` leads to other blobs, `containerd.io/gc.ref.snapshot.NAME` of a configuration to the
topmost of the snapshots that it was unpacked to. A blob that the database does not know was never fetched: of an image
for several platforms only one is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.engine.containerd import bolt
from entrypoint.engine.containerd.bolt import Tree, below, value
from entrypoint.engine.containerd.service import BLOBS, DATABASE, snapshots
from entrypoint.engine.drivers import SNAPSHOTTERS
from entrypoint.engine.info import NAMESPACES

CONTAINERS = NAMESPACES[0]
SNAPSHOTS = "metadata.db"
KNOWN = tuple(snapshotter.name for snapshotter in SNAPSHOTTERS)
CONTENT_LABEL, SNAPSHOT_LABEL = b"containerd.io/gc.ref.content.", b"containerd.io/gc.ref.snapshot."


@dataclass(frozen=True)
class Store:
    """One snapshotter's part of a root. `place` is where that keeps its directories, `found` is what was
    found to be missing of snapshots and blobs."""

    root: Path
    place: Path
    snapshotter: str
    spaces: tuple[Tree, ...]
    numbers: Tree
    found: dict[bytes, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path, snapshotter: str, place: Path | None = None, space: str = CONTAINERS) -> "Store":
        """What is an engine's in it, by the namespace that it works in. Raises OSError and ValueError for databases
        that are not there, or cannot be read."""
        known = below(bolt.read((root / DATABASE).read_bytes()), b"v1")
        names = (space.encode(),) if space.encode() in known else tuple(known)
        found = place or root / snapshots(snapshotter)
        own = below(bolt.read((found / SNAPSHOTS).read_bytes()), b"v1", b"snapshots") if snapshotter in KNOWN else {}
        return cls(root, found, snapshotter, tuple(below(known, name) for name in names), own)

    def lacks_of_snapshot(self, key: str) -> tuple[str, ...]:
        """What is missing of a snapshot, or of those that it is made upon."""
        return self._once(key.encode(), self._lacks_of_snapshot)

    def _once(self, key: bytes, look: Callable[[bytes], Iterator[str]]) -> tuple[str, ...]:
        if key not in self.found:
            self.found[key] = ()  # an end for those that lead in a circle
            self.found[key] = tuple(look(key))
        return self.found[key]

    def _lacks_of_snapshot(self, key: bytes) -> Iterator[str]:
        entry = self._bucket(key, b"snapshots", self.snapshotter.encode())
        if not entry:
            yield f"snapshot {key.decode()}" if key.startswith(b"sha256:") else "snapshot"
            return
        yield from self._directory_missing(entry)
        if parent := value(entry, b"parent"):
            yield from self._once(parent, self._lacks_of_snapshot)

    def lacks_of_image(self, digest: str) -> Iterator[str]:
        """What is missing of an image by its digest."""
        if digest.encode() not in self._named():
            yield "record in containerd's database"
            return
        yield from self._once(digest.encode(), self._lacks_of_blob)

    def _named(self) -> set[bytes]:
        """The digests that a name leads to, be it by others: that of an image is of all or of one of its platforms."""
        images = [below(space, b"images") for space in self.spaces]
        pending = [value(below(one, name, b"target"), b"digest") for one in images for name in one]
        found: set[bytes] = set()
        while pending:
            if (one := pending.pop()) not in found:
                found.add(one)
                labels = below(self._bucket(one, b"content", b"blob"), b"labels")
                pending += [value(labels, name) for name in labels if name.startswith(CONTENT_LABEL)]
        return found

    def _lacks_of_blob(self, digest: bytes) -> Iterator[str]:
        entry = self._bucket(digest, b"content", b"blob")
        if not entry:
            return
        place = f"{BLOBS}/{digest.decode().replace(':', '/')}"
        if not _is_of_size(self.root / place, bolt.signed(value(entry, b"size"))):
            yield f"content ({place})"
        labels = below(entry, b"labels")
        for name in labels:
            if name.startswith(CONTENT_LABEL):
                yield from self._once(value(labels, name), self._lacks_of_blob)
            elif name == SNAPSHOT_LABEL + self.snapshotter.encode():
                yield from self.lacks_of_snapshot(value(labels, name).decode())

    def _bucket(self, name: bytes, *path: bytes) -> Tree:
        """What the first namespace that knows it has under a name."""
        return next((found for space in self.spaces if (found := below(space, *path, name))), {})

    def _directory_missing(self, entry: Tree) -> Iterator[str]:
        """How other snapshotters keep theirs is not known."""
        name = value(entry, b"name")
        number = bolt.unsigned(value(below(self.numbers, name), b"id"))
        if self.snapshotter in KNOWN and not (number and (self.place / "snapshots" / str(number)).is_dir()):
            yield f"snapshot ({number or name.decode()})"


def _is_of_size(place: Path, size: int) -> bool:
    try:
        return place.stat().st_size == size
    except OSError:
        return False

"""Which parts of a data root never change, and may be copied while the engine runs.

A layer is entered in `image/DRIVER/layerdb/sha256/<chain id>/` by a rename, after its content was unpacked (moby,
daemon/internal/layer/filestore.go and layer_store.go). The file `cache-id` there names the directory with its content;
the id is random and never used again. So what stands in the layer database *before* the copy starts is complete, and
its content never changes; it can only vanish, when an image is removed. The small files beside it (`link`, `lower`,
`committed`) can be added later and are always copied again. Everything not in the database is mutable.

overlay2, fuse-overlayfs   DRIVER/<cache id>/diff holds what a layer adds; a container's own is `diff`, too
vfs                        vfs/dir/<cache id> holds all of it: what is built upon it begins as a copy, never as a hard
                           link (moby daemon/graphdriver/vfs/copy_linux.go), so that nothing is written to it either
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DRIVER = "overlay2"
WHOLE = "vfs"  # the driver that keeps with each layer what is below it
CONTENT = {DRIVER: f"{DRIVER}/{{}}/diff", "fuse-overlayfs": "fuse-overlayfs/{}/diff", WHOLE: f"{WHOLE}/dir/{{}}"}
# Drivers whose layers are files that can be copied. A root may hold what an earlier one has left.
DRIVERS = tuple(CONTENT)
MERGING = tuple(one for one in DRIVERS if one != WHOLE)  # which mount layers one over the other, at `merged`
CACHE_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,127}")


@dataclass(frozen=True, order=True)
class Layer:
    """An image layer: its immutable directory relative to the data root, and the size of its files in bytes, as the
    engine noted what it adds to the layer below it."""

    place: str
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether what is below it is in its directory, too."""
        return self.place.startswith(f"{WHOLE}/")


def content(driver: str, cache_id: str) -> str:
    """Where a layer's content is, or a container's own, relative to the data root."""
    return CONTENT[driver].format(cache_id)


def database(driver: str) -> str:
    return f"image/{driver}/layerdb/sha256"


def mounts(driver: str) -> str:
    """Container id → `mount-id`, which names its own layer (moby daemon/internal/layer/filestore.go)."""
    return f"image/{driver}/layerdb/mounts"


def immutable_layers(root: Path) -> frozenset[Layer]:
    """The layers that the databases name now and whose directory is there."""
    return frozenset(layer for driver in DRIVERS for layer in _layers(root, driver) if (root / layer.place).is_dir())


def _layers(root: Path, driver: str) -> Iterator[Layer]:
    place = root / database(driver)
    if place.is_dir():
        found = (_layer(driver, entry) for entry in place.iterdir())
        yield from (layer for layer in found if layer is not None)


def _layer(driver: str, entry: Path) -> Layer | None:
    """A layer vanishes while it is read when its image is removed; then it is none."""
    try:
        cache_id = (entry / "cache-id").read_text().strip()
        size = int((entry / "size").read_text().strip() or 0)
    except (OSError, ValueError):
        return None
    return Layer(content(driver, cache_id), size) if CACHE_ID.fullmatch(cache_id) else None

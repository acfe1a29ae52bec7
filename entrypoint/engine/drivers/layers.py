"""Which parts of a data root never change, and may be copied while the engine runs.

A layer is entered in `image/DRIVER/layerdb/sha256/<chain id>/` by a rename, after its content was unpacked (moby,
daemon/internal/layer/filestore.go and layer_store.go). The file `cache-id` there names the directory with its content;
the id is random and never used again. So what stands in the layer database *before* the copy starts is complete, and
its content never changes; it can only vanish, when an image is removed. The small files beside it (`link`, `lower`,
`committed`) can be added later and are always copied again. Everything not in the database is mutable.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from entrypoint.engine.drivers import MOVED
from entrypoint.engine.drivers.driver import Driver

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
        return any(driver.holds_all and self.place.startswith(f"{driver.name}/") for driver in MOVED)


def immutable_layers(root: Path) -> frozenset[Layer]:
    """The layers that the databases name now and whose directory is there."""
    return frozenset(layer for driver in MOVED for layer in _layers(root, driver) if (root / layer.place).is_dir())


def _layers(root: Path, driver: Driver) -> Iterator[Layer]:
    place = root / driver.database
    if place.is_dir():
        found = (_layer(driver, entry) for entry in place.iterdir())
        yield from (layer for layer in found if layer is not None)


def _layer(driver: Driver, entry: Path) -> Layer | None:
    """A layer vanishes while it is read when its image is removed; then it is none."""
    try:
        cache_id = (entry / "cache-id").read_text().strip()
        size = int((entry / "size").read_text().strip() or 0)
    except (OSError, ValueError):
        return None
    return Layer(driver.content(cache_id), size) if CACHE_ID.fullmatch(cache_id) else None

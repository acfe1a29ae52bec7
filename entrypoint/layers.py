"""Which parts of an overlay2 data root never change, and may be copied while the engine runs.

A layer is entered in `image/overlay2/layerdb/sha256/<chain id>/` by a rename, after its content was unpacked (moby,
daemon/internal/layer/filestore.go and layer_store.go). The file `cache-id` there names `overlay2/<cache id>`; the id is
random and never used again. So what stands in the layer database *before* the copy starts is complete, and its `diff`
never changes; it can only vanish, when an image is removed. The small files beside `diff` (`link`, `lower`,
`committed`) can be added later and are always copied again. Everything not in the database is mutable.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DRIVER = "overlay2"
LAYER_DATABASE = f"image/{DRIVER}/layerdb/sha256"
CACHE_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,127}")


@dataclass(frozen=True, order=True)
class Layer:
    """An image layer: the directory below `overlay2/`, and the size of its files in bytes as the engine noted it."""

    cache_id: str
    size: int

    @property
    def diff(self) -> str:
        """The immutable directory, relative to the data root."""
        return f"{DRIVER}/{self.cache_id}/diff"


def immutable_layers(root: Path) -> frozenset[Layer]:
    """The layers that the database names now and whose directory is there."""
    database = root / LAYER_DATABASE
    if not database.is_dir():
        return frozenset()
    named = (_layer(entry) for entry in database.iterdir())
    return frozenset(layer for layer in named if layer is not None and (root / layer.diff).is_dir())


def _layer(entry: Path) -> Layer | None:
    """A layer vanishes while it is read when its image is removed; then it is none."""
    try:
        cache_id = (entry / "cache-id").read_text().strip()
        size = int((entry / "size").read_text().strip() or 0)
    except (OSError, ValueError):
        return None
    return Layer(cache_id, size) if CACHE_ID.fullmatch(cache_id) else None

"""What a data root has on its disk of one image, or of what one container writes, where a storage driver keeps them.

image/DRIVER/imagedb/content/sha256/ID   an image's configuration; `rootfs` names the layers' contents (diff ids)
image/DRIVER/layerdb/sha256/CHAIN        a layer: `cache-id` names its directory, `parent` the layer below it
image/DRIVER/layerdb/mounts/CONTAINER    what a container writes: `mount-id` and `init-id` name directories, `parent`
                                         the image's topmost layer (moby daemon/internal/layer/filestore.go)
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.engine import drivers
from entrypoint.engine.drivers.driver import Driver


@dataclass(frozen=True)
class Store:
    """`found` is what was found to be missing of layers, by their ids."""

    root: Path
    driver: str
    found: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kept(self) -> Driver:
        return drivers.of(self.driver)

    def lacks_of_container(self, container: str) -> Iterator[str]:
        own = self.root / self.kept.mounts / container
        if not (mount := _word(own / "mount-id")):
            yield "layer of its own"
            return
        for name in filter(None, (mount, _word(own / "init-id"))):
            yield from self._directory_missing(name)
        yield from self.lacks_of_layer(_word(own / "parent"))

    def lacks_of_image(self, image: str) -> Iterator[str]:
        place = f"image/{self.driver}/imagedb/content/{image.replace(':', '/')}"
        try:
            rootfs = json.loads((self.root / place).read_bytes()).get("rootfs") or {}
            chain = topmost(rootfs.get("diff_ids") or ())
        except (OSError, ValueError, AttributeError):
            yield f"record ({place})"
            return
        yield from self.lacks_of_layer(chain)

    def lacks_of_layer(self, chain: str) -> tuple[str, ...]:
        """What is missing of a layer or of one below it; nothing of none, as with an image that is empty."""
        if chain and chain not in self.found:
            self.found[chain] = ()  # an end for those that lead in a circle
            self.found[chain] = tuple(self._lacks_of_layer(chain))
        return self.found.get(chain, ())

    def _lacks_of_layer(self, chain: str) -> Iterator[str]:
        entry = self.root / self.kept.database / chain.partition(":")[2]
        if not (name := _word(entry / "cache-id")):
            yield f"layer {chain}"
            return
        yield from self._directory_missing(name)
        yield from self.lacks_of_layer(_word(entry / "parent"))

    def _directory_missing(self, name: str) -> Iterator[str]:
        """How drivers keep theirs that are not moved is not known."""
        if self.kept.is_moved and not (self.root / self.kept.content(name)).is_dir():
            yield f"layer ({self.kept.content(name)})"


def topmost(diff_ids: Sequence[str]) -> str:
    """The id of the last of a chain of layers (OCI image-spec, config.md, "Layer ChainID")."""
    chain = ""
    for one in diff_ids:
        chain = f"sha256:{hashlib.sha256(f'{chain} {one}'.encode()).hexdigest()}" if chain else str(one)
    return chain


def _word(place: Path) -> str:
    try:
        return place.read_text().strip()
    except (OSError, ValueError):
        return ""

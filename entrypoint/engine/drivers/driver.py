"""What a move depends on of one way to keep layers: a row of the table of drivers."""

from collections.abc import Sequence
from dataclasses import dataclass

OVERLAYS_SEPARATORS = (":", ",", "\\")  # overlay's mount options join paths with them, or escape, and dockerd does not


@dataclass(frozen=True)
class Limit:
    """How a driver limits what each container writes, by project quotas.

    `option` is the one that limits all containers; `home` the directory below which it gives ids to directories;
    `only_on` the file systems that it does so on, if that are not all that count projects. `needs_room`: the start of a
    container makes a directory in the container's own, which counts.
    """

    option: str
    home: str
    only_on: tuple[str, ...] = ()
    needs_room: bool = False


@dataclass(frozen=True)
class Driver:
    """A storage driver, or a snapshotter of containerd's. Without `layer` it is not moved, for the `reason`.

    `layer` is where the files of a layer are, image's or container's, with `{}` for its id: relative to the data root,
    of a snapshotter to its directory of snapshots. `view` is the directory beside them at which layers are put together
    while a container runs, and which is never copied. `cut` are directories that the copy is cut at, `/*` for each of
    one's. `holds_all`: with each layer it keeps what is below it. `is_overlay`: the kernel mounts an overlay, which a
    process keeps when its container is removed (move/worker/memory.py looks at the mount itself). `separators` cannot
    be in its root's name. `is_overlooked`: what it leaves in a root leads no engine to it.
    `until` is the first major version of Docker without it, if there is one.
    """

    name: str
    layer: str = ""
    view: str = ""
    cut: tuple[str, ...] = ()
    holds_all: bool = False
    is_overlay: bool = False
    is_overlooked: bool = False
    until: int = 0
    separators: tuple[str, ...] = OVERLAYS_SEPARATORS
    limit: Limit | None = None
    reason: str = "Nothing is known of how it keeps its layers."
    way: str = ""

    @property
    def is_moved(self) -> bool:
        return bool(self.layer)

    def content(self, id: str) -> str:
        """Where the files of a layer are."""
        return self.layer.format(id)

    def owner(self, parts: Sequence[str]) -> str:
        """The id of the layer that a file is in, by the names that lead to the file; empty if it is in none."""
        wanted = self.layer.split("/")
        is_in = len(parts) >= len(wanted) and all(one in ("{}", part) for one, part in zip(wanted, parts, strict=False))
        return parts[wanted.index("{}")] if is_in else ""

    @property
    def views(self) -> str:
        """Where layers are put together, as a pattern."""
        return f"{self.name}/*/{self.view}"

    @property
    def database(self) -> str:
        """Layer → `cache-id`, which names its directory (moby daemon/internal/layer/filestore.go)."""
        return f"image/{self.name}/layerdb/sha256"

    @property
    def mounts(self) -> str:
        """Container id → `mount-id`, which names its own layer."""
        return f"image/{self.name}/layerdb/mounts"

"""What a copy of a root leaves out."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from entrypoint.engine.drivers.layers import DRIVERS, MERGING
from entrypoint.host.disks.filesystem import Mount, covered_places
from entrypoint.journal import finished, unfinished
from entrypoint.journal.unfinished import PLACES

# Remade or emptied by dockerd at each start (moby daemon.go, runtime_unix.go, internal/quota/projectquota.go); what is
# mounted at `merged`, or in `rootfs`, is the containers' view of the layers, not data.
NEVER_COPIED = (
    "/tmp",  # noqa: S108 - a name in the data root
    "/runtimes",
    *(f"/{driver}/*/merged" for driver in MERGING),
    "/rootfs/*/*",
    *(f"/{driver}/backingFsBlockDev" for driver in DRIVERS),
    "/volumes/backingFsBlockDev",
    "/lost+found",
    f"/{unfinished.NAME}",  # the copy's own records, until an engine starts on it
    f"/{PLACES}",
    f"/{finished.NAME}",  # of the source alone
)


def left_out(layers: Iterable[str], covered: Iterable[str] = ()) -> tuple[str, ...]:
    """What is never copied, the content of layers, and places that are covered, as anchored patterns."""
    return (*NEVER_COPIED, *(f"/{place}" for place in (*sorted(layers), *covered)))


def covered_now(source: PurePosixPath, table: tuple[Mount, ...]) -> list[str]:
    """Where something is mounted over what a data root holds, but for `merged` and `rootfs`, which are never copied.

    Not where a name has a star: as a pattern it would leave out others with it.
    """
    views = (*(f"{driver}/" for driver in MERGING), "rootfs/")
    return [name for name in covered_places(source, table) if not name.startswith(views) and "*" not in name]

"""Have in memory what an engine reads first, so that its start does not wait for the disk."""

import os
from contextlib import suppress
from pathlib import Path

from entrypoint.engine.drivers import MOVED

# What dockerd reads at each start (moby daemon.go: restore; image/store.go; libnetwork), and so much of each file.
READ_FIRST = ("containers", *(f"image/{driver.name}" for driver in MOVED), "network", "buildkit")
WARM = 1 << 20  # bytes


def warm(root: Path) -> None:
    """Containers, images and networks, and not what they hold; a copy larger than the memory has pushed them out."""
    for name in READ_FIRST:
        for folder, _, files in os.walk(root / name):
            for place in (Path(folder, file) for file in files):
                with suppress(OSError):
                    _read_ahead(place)


def _read_ahead(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        os.posix_fadvise(handle, 0, WARM, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(handle)

"""Storage drivers: why some cannot be copied as files, and what makes an engine pick one on a root.

An engine takes the driver that its configuration names. Where that names none it looks into the root for what a driver
has left there, and since Docker 29 it keeps its images in containerd if it finds nothing. So a root that lacks its
layers makes an engine choose anew, without a word, and see none of its images and containers (moby
daemon/image_store_choice.go; daemon/graphdriver/driver.go, which overlooks vfs).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from entrypoint.engine.containerd.service import NATIVE, OVERLAYFS
from entrypoint.engine.drivers.layers import DRIVER, DRIVERS, WHOLE
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

LEAVING_TRACES = (*DRIVERS, "btrfs", "zfs", "aufs", "overlay", "devicemapper")
OVERLOOKED = WHOLE  # the traces of this one lead no engine to it: it must be named
OVERLAY = (DRIVER, OVERLAYFS)  # the kernel mounts an overlay for these
PLAIN = (WHOLE, NATIVE)  # nothing is mounted: a container works in a directory of its own
VARIABLE = "DOCKER_DRIVER"  # wins over both others
FLAGS = ("--storage-driver", "-s")
KEY = "storage-driver"
SAVE = 'Save images with docker save and volumes by their files, set "storage-driver": "overlay2", load them again.'
# Why not, and the way that works.
REFUSED = {
    "btrfs": (
        "Its layers are subvolumes and snapshots; as files they could be neither removed nor built upon.",
        "Move the whole file system (btrfs replace, or btrfs send | btrfs receive), or leave the driver: " + SAVE,
    ),
    "zfs": (
        "Its layers are datasets below that of the root, which a copy of files does not have.",
        "Move the dataset: zfs send -R | zfs receive, mounted where the root is to be. Or leave the driver: " + SAVE,
    ),
    "devicemapper": ("Its layers are in a thin pool, not in files; Docker 25 has removed it.", SAVE),
    "aufs": ("Its layers name each other by paths, and kernels have lost it; Docker 24 has removed it.", SAVE),
    "overlay": ("Its layers share files by hard links across layers; Docker 24 has removed it.", SAVE),
}


def named(variable: str, arguments: Sequence[str], config: bytes | None, place: str) -> str:
    """The driver that is configured, empty if none is. Raises PreflightError for a file that cannot be read."""
    if variable:
        return variable
    flag = flags.last(arguments, FLAGS)
    return flag.value if flag else str(daemon_json.parse(config, place).get(KEY, ""))


def traces(root: Path) -> frozenset[str]:
    """The drivers that have left something in a root. With the same traces an engine makes the same choice."""
    return frozenset(driver for driver in LEAVING_TRACES if _is_filled(root / driver))


def _is_filled(place: Path) -> bool:
    try:
        with os.scandir(place) as listing:
            return next(listing, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False

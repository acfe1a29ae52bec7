"""What makes an engine pick a storage driver on a root.

An engine takes the driver that its configuration names. Where that names none it looks into the root for what a driver
has left there, and since Docker 29 it keeps its images in containerd if it finds nothing. So a root that lacks its
layers makes an engine choose anew, without a word, and see none of its images and containers (moby
daemon/image_store_choice.go; daemon/graphdriver/driver.go).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from entrypoint.engine.drivers import STORAGE_DRIVERS
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

VARIABLE = "DOCKER_DRIVER"  # wins over both others
FLAGS = ("--storage-driver", "-s")
KEY = "storage-driver"


def named(variable: str, arguments: Sequence[str], config: bytes | None, place: str) -> str:
    """The driver that is configured, empty if none is. Raises PreflightError for a file that cannot be read."""
    if variable:
        return variable
    flag = flags.last(arguments, FLAGS)
    return flag.value if flag else str(daemon_json.parse(config, place).get(KEY, ""))


def traces(root: Path) -> frozenset[str]:
    """The drivers that have left something in a root. With the same traces an engine makes the same choice."""
    return frozenset(driver.name for driver in STORAGE_DRIVERS if _is_filled(root / driver.name))


def _is_filled(place: Path) -> bool:
    try:
        with os.scandir(place) as listing:
            return next(listing, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False

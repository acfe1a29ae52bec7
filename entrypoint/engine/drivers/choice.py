"""What makes an engine pick a storage driver on a root, or containerd to keep its images in.

An engine takes the driver that its configuration names. Where that names none it looks into the root for what a driver
has left there, and since Docker 29 it keeps its images in containerd if it finds nothing. So a root that lacks its
layers makes an engine choose anew, without a word, and see none of its images and containers (moby
daemon/image_store_choice.go; daemon/graphdriver/driver.go).
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrypoint.engine import versions
from entrypoint.engine.drivers import OVERLOOKED, STORAGE_DRIVERS
from entrypoint.engine.drivers.overlay import OVERLAY2
from entrypoint.engine.drivers.vfs import VFS
from entrypoint.engine.versions import Since
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

VARIABLE = "DOCKER_DRIVER"  # wins over both others
FLAGS = ("--storage-driver", "-s")
KEY = "storage-driver"
FEATURE, MIGRATION = "containerd-snapshotter", "containerd-migration"
MIGRATED = frozenset({OVERLAY2.name, VFS.name})  # moby daemon/daemon.go
FEATURE_FLAGS = ("--feature",)  # from 28 on (moby daemon/command/config.go)
TRUE = ("1", "t", "true", "")


@dataclass(frozen=True)
class Configured:
    """What the next start is told: the variable, the flags, and the file. To read it raises PreflightError for a file
    that cannot be read."""

    variable: str
    arguments: Sequence[str]
    config: bytes | None
    place: str

    @property
    def driver(self) -> str:
        """The storage driver, or the snapshotter, that is named; empty if none is."""
        if self.variable:
            return self.variable
        flag = flags.last(self.arguments, FLAGS)
        return flag.value if flag else str(daemon_json.parse(self.config, self.place).get(KEY, ""))

    def feature(self, feature: str) -> bool | None:
        """Whether a feature is on; nothing if it is not named."""
        said = [flag.value.partition("=") for flag in flags.given(self.arguments, FEATURE_FLAGS)]
        if values := [value for name, _equals, value in said if name == feature]:
            return values[-1].lower() in TRUE
        features = daemon_json.parse(self.config, self.place).get("features")
        value = features.get(feature) if isinstance(features, dict) else None
        return value if isinstance(value, bool) else None

    def takes_containerd(self, version: str, traces: Collection[str]) -> bool:
        """Whether an engine keeps its images in containerd, on a root with these traces.

        Since 29, without a word on the feature, a storage driver decides that has left something in the root, then the
        driver that is named (moby: daemon/image_store_choice.go, 29.7, lines 94-155). 29.0 asked in the other order,
        which makes a difference only where a snapshotter is named.
        """
        wanted = self.feature(FEATURE)
        if wanted is None and versions.is_at_least(version, Since.CONTAINERD):
            return not seen(traces, version) and self.driver not in known(version)
        return bool(wanted)


def traces(root: Path) -> frozenset[str]:
    """The drivers that have left something in a root. With the same traces an engine makes the same choice."""
    return frozenset(driver.name for driver in STORAGE_DRIVERS if _is_filled(root / driver.name))


def known(version: str) -> frozenset[str]:
    """The drivers that an engine has."""
    return frozenset(
        one.name for one in STORAGE_DRIVERS if not (one.until and versions.is_at_least(version, one.until))
    )


def seen(found: Collection[str], version: str) -> frozenset[str]:
    """Which of these traces an engine looks at (moby daemon/graphdriver/driver.go, scanPriorDrivers)."""
    return known(version).intersection(found) - OVERLOOKED


def _is_filled(place: Path) -> bool:
    try:
        with os.scandir(place) as listing:
            return next(listing, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False

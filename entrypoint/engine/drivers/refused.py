"""Storage drivers that keep layers in something else than files, and the way that works for each."""

from entrypoint.engine.drivers.driver import Driver

SAVE = 'Save images with docker save and volumes by their files, set "storage-driver": "overlay2", load them again.'
BTRFS = Driver(
    name="btrfs",
    reason="Its layers are subvolumes and snapshots; as files they could be neither removed nor built upon.",
    way="Move the whole file system (btrfs replace, or btrfs send | btrfs receive), or leave the driver: " + SAVE,
)
ZFS = Driver(
    name="zfs",
    reason="Its layers are datasets below that of the root, which a copy of files does not have.",
    way="Move the dataset: zfs send -R | zfs receive, mounted where the root is to be. Or leave the driver: " + SAVE,
)
DEVICEMAPPER = Driver(
    name="devicemapper",
    until=25,
    reason="Its layers are in a thin pool, not in files; Docker 25 has removed it.",
    way=SAVE,
)
AUFS = Driver(
    name="aufs",
    until=24,
    reason="Its layers name each other by paths, and kernels have lost it; Docker 24 has removed it.",
    way=SAVE,
)
OVERLAY = Driver(
    name="overlay",
    until=24,
    reason="Its layers share files by hard links across layers; Docker 24 has removed it.",
    way=SAVE,
)
ROWS = (BTRFS, ZFS, DEVICEMAPPER, AUFS, OVERLAY)

"""containerd's snapshotters that keep files: in its root, known to its database alone."""

from entrypoint.engine.drivers.driver import Driver

OVERLAYFS = Driver(name="overlayfs", layer="{}/fs", is_overlay=True)
NATIVE = Driver(name="native", layer="{}", separators=())  # nothing is mounted
ROWS = (OVERLAYFS, NATIVE)

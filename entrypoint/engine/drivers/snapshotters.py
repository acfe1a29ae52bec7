"""containerd's snapshotters that keep files: in its root, known to its database alone."""

from entrypoint.engine.drivers.driver import Driver

OVERLAYFS = Driver(name="overlayfs", layer="{}/fs", is_overlay=True)
# Nothing is mounted; and an engine that is told no snapshotter takes the other one, where that works.
NATIVE = Driver(name="native", layer="{}", separators=(), is_overlooked=True)
ROWS = (OVERLAYFS, NATIVE)

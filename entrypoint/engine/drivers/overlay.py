"""Drivers that keep with each layer what it adds: DRIVER/<id>/diff. A container's own is `diff`, too."""

from entrypoint.engine.drivers.driver import Driver, Limit

OVERLAY2 = Driver(
    name="overlay2",
    layer="overlay2/{}/diff",
    view="merged",
    cut=("overlay2", "overlay2/*"),
    is_overlay=True,
    # moby daemon/graphdriver/overlay2/overlay.go: Init, and Get
    limit=Limit(option="overlay2.size=", home="overlay2", only_on=("xfs",), needs_room=True),
)
FUSE_OVERLAYFS = Driver(
    name="fuse-overlayfs",
    layer="fuse-overlayfs/{}/diff",
    view="merged",
    cut=("fuse-overlayfs", "fuse-overlayfs/*"),
)
ROWS = (OVERLAY2, FUSE_OVERLAYFS)

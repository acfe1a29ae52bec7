"""The driver that keeps with each layer all that is below it: vfs/dir/<id>.

What is built upon a layer begins as a copy, never as a hard link (moby daemon/graphdriver/vfs/copy_linux.go), so that
nothing is written to the layer either. A container works in a directory of its own; nothing is mounted. An engine that
looks for what drivers have left overlooks it (moby daemon/graphdriver/driver.go).
"""

from entrypoint.engine.drivers.driver import Driver, Limit

VFS = Driver(
    name="vfs",
    layer="vfs/dir/{}",
    cut=("vfs", "vfs/dir"),
    holds_all=True,
    is_overlooked=True,
    separators=(),
    limit=Limit(option="size=", home="vfs/dir"),
)
ROWS = (VFS,)

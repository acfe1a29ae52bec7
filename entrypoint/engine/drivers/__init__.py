"""How layers are kept: the table of storage drivers and snapshotters, a file for each kind.

Face: the table (`of`, `MOVED`, …); `layers` (which never change), `graph_store` (whether they are whole), `choice`
(which driver an engine takes on a root). What a row says is in `driver`; `overlay` and
`snapshotters` name some of theirs.
"""

from entrypoint.engine.drivers import overlay, refused, snapshotters, vfs
from entrypoint.engine.drivers.driver import Driver

# In the data root, which may hold what an earlier one has left.
STORAGE_DRIVERS: tuple[Driver, ...] = (*overlay.ROWS, *vfs.ROWS, *refused.ROWS)
SNAPSHOTTERS: tuple[Driver, ...] = snapshotters.ROWS
MOVED = tuple(driver for driver in STORAGE_DRIVERS if driver.is_moved)
WITH_VIEWS = tuple(driver for driver in MOVED if driver.view)
OVERLOOKED = frozenset(driver.name for driver in STORAGE_DRIVERS if driver.is_overlooked)


def of(name: str, *, is_snapshotter: bool = False) -> Driver:
    """The row of a driver; one that is not in the table is not moved."""
    rows = SNAPSHOTTERS if is_snapshotter else STORAGE_DRIVERS
    return next((driver for driver in rows if driver.name == name), Driver(name))

"""The table of the file system that a directory is on, by its kind; each is read in a way of its own, and only read."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import Mount, mounts
from entrypoint.host.disks.inodes import ext4, xfs
from entrypoint.host.disks.inodes.unfit import UnfitError


class InodeTable(Protocol):
    """`count` inodes are looked at, in use or not; each takes as long as an entry takes a walk, divided by `times`."""

    @property
    def count(self) -> int: ...

    @property
    def times(self) -> int: ...

    def changed(self, since: float, most: int) -> set[int]:
        """All inodes that can have a ctime after `since` (seconds since 1970), and a few others: fractions are not
        looked at. Raises OSError, and UnfitError also if they are more than `most`."""
        ...


LAZY = "lazytime"  # ext4 puts other times down at once, when the inode changes (fs/inode.c, generic_update_time)
UNFIT = re.compile(r"(?:ro|emergency_ro|sb=.*)\Z")  # options
OPENED: dict[str, Callable[[Path], AbstractContextManager[InodeTable]]] = {
    ext4.KIND: ext4.opened,
    xfs.KIND: xfs.opened,
}


@contextmanager
def inode_table(root: Path) -> Iterator[InodeTable | None]:
    """That of the file system of a directory; nothing, and why is told, where it cannot be read."""
    with ExitStack() as stack:
        table: InodeTable | None = None
        try:
            table = stack.enter_context(OPENED[mount_of(root).kind](root))
        except (OSError, UnfitError) as error:
            log.debug("inode_table.unfit", place=str(root), why=str(error))
        yield table


def mount_of(root: Path) -> Mount:
    """A mount of it, by the number of its device, which the mount table has whatever is mounted where.

    One that cannot be written any more may have changes that never come to its table, and where another superblock was
    named (`sb=`, ext4(5)) the first is not kept, nor what it tells of tables. Raises UnfitError.
    """
    device = root.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts():
        if mount.device == number and mount.kind in OPENED and not any(map(UNFIT.match, mount.options)):
            return mount
    raise UnfitError(f"{number} has none")


def keeps_back(root: Path) -> bool:
    """Whether times come to the table only when the file system is flushed."""
    return LAZY in mount_of(root).options

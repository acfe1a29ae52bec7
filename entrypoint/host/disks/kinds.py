"""The table of file systems: what a move has to know of a kind before it has tried anything there.

A kind that is not in the table is tried like the others (preflight/probe.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass

FORGETS = "it is memory and empty after a reboot"
NETWORK = "it is a network file system; the engine would lose its root with its server"
READ_ONLY = "it cannot be written"
KERNEL = "it shows the kernel's own state and holds no files"


@dataclass(frozen=True)
class FileSystem:
    """A kind, by the name that the kernel's mount table has for it.

    `unfit` is why an engine cannot keep its data there: that needs no try, or must not be tried. A network file system
    may pass every try and still lose its server, or give one root to two engines (for-linux 775). `is_checked`: its
    fsck does something at boot. `counts_projects`: an engine can limit sizes on it. `has_subvolumes`: parts of it may
    be file systems of their own, which no mount table has.
    """

    kind: str
    unfit: str = ""
    is_checked: bool = False
    counts_projects: bool = False
    has_subvolumes: bool = False


def unfit(why: str, *kinds: str) -> Iterable[FileSystem]:
    return (FileSystem(kind, unfit=why) for kind in kinds)


FILE_SYSTEMS = (
    FileSystem("ext2", is_checked=True),
    FileSystem("ext3", is_checked=True),
    FileSystem("ext4", is_checked=True, counts_projects=True),
    FileSystem("xfs", counts_projects=True),
    FileSystem("btrfs", has_subvolumes=True),
    *unfit(FORGETS, "tmpfs", "ramfs"),
    *unfit(NETWORK, "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "afs", "beegfs"),
    *unfit(NETWORK, "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph"),
    *unfit(READ_ONLY, "squashfs", "iso9660", "erofs", "cramfs"),
    *unfit(KERNEL, "proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "debugfs", "tracefs"),
    *unfit(KERNEL, "securityfs", "pstore", "bpf", "configfs", "hugetlbfs", "efivarfs", "binfmt_misc", "nsfs"),
)
BY_KIND = {row.kind: row for row in FILE_SYSTEMS}
COUNTING = tuple(row.kind for row in FILE_SYSTEMS if row.counts_projects)


def of(kind: str) -> FileSystem:
    return BY_KIND.get(kind, FileSystem(kind))

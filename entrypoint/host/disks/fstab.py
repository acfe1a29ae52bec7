"""What mounts a disk at boot: whether a line of fstab(5) does, and the line that would."""

import os
from contextlib import suppress
from pathlib import PurePosixPath

from entrypoint.host.disks import kinds
from entrypoint.host.disks.filesystem import TOP, Mount, unescape
from entrypoint.host.host import Host

BY_UUID = PurePosixPath("/dev/disk/by-uuid")
QUOTAS = ("prjquota", "usrquota", "grpquota")  # of xfs: an engine's limits of size need the first
ESCAPES = {"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012", "#": "\\043"}


def read(host: Host) -> str:
    """The host's table; nothing where there is none."""
    with suppress(OSError):
        return host.path(host.resolve("/etc/fstab")).read_text(errors="replace")
    return ""


def lists(content: str, point: PurePosixPath) -> bool:
    """Whether a line mounts something at `point`."""
    fields = (line.split() for line in content.split("\n") if not line.startswith("#"))
    return any(len(words) > 1 and unescape(words[1]).rstrip("/") == str(point) for words in fields)


def line(mount: Mount, uuid: str = "") -> str:
    """The line that mounts again what is mounted now; empty where that is no disk's whole file system."""
    if not mount.source.startswith("/dev/") or mount.root != TOP:
        return ""
    options = ["defaults", "nofail", *(quota for quota in QUOTAS if quota in mount.options)]
    what = f"UUID={uuid}" if uuid else escaped(mount.source)
    number = 2 if kinds.of(mount.kind).is_checked else 0
    return f"{what} {escaped(str(mount.point))} {mount.kind} {','.join(options)} 0 {number}"


def escaped(text: str) -> str:
    return "".join(ESCAPES.get(char, char) for char in text)


def uuid_of(host: Host, mount: Mount) -> str:
    """The UUID of the disk that is mounted, by udev's links or by blkid; empty where neither knows."""
    if not mount.source.startswith("/dev/"):
        return ""
    links = host.path(BY_UUID)
    for name in sorted(os.listdir(links)) if links.is_dir() else ():
        if host.resolve(BY_UUID / name) == host.resolve(mount.source):
            return name
    if not host.program("blkid"):
        return ""
    return host.run(["blkid", "-s", "UUID", "-o", "value", "--", mount.source], check=False).stdout.strip()

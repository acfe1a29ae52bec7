"""This container's root file system, put into memory where it would be taken away from under the worker.

An overlay that the kernel has mounted is there as long as a process uses it, whatever the engine removes. Other drivers
give a container a plain directory, whose files go with a container that has `--rm` (vfs, containerd's native), or have
a program of their own serve its files, which somebody may end (fuse-overlayfs). There the image's files are copied to
a tmpfs before the hand-over, and that becomes the root of this container's mount namespace (pivot_root(2)): nothing is
kept below the engine's root, and nothing is left when the last process ends.
"""

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from entrypoint.console.errors import ContainerError, HostCommandError
from entrypoint.console.events import log
from entrypoint.host.children import QUICK, run
from entrypoint.host.disks.filesystem import Mount, mounts_of
from entrypoint.host.machine.standing import own_container

KEPT = "overlay"  # the kind of file system that the kernel keeps for whoever uses it
OURS = "relocator"  # the name by which the tmpfs is known again
PLACE = PurePosixPath("/mnt")  # in every image, and a mount needs no more; also where the root may not be written
IMAGE = ".image"
TOP = PurePosixPath("/")
COPYING = 600.0  # seconds


def move_into(*, always: bool = False) -> None:
    """Go on in memory, with everything that is mounted here; nothing is done where that is not needed, unless `always`:
    what stays for days must not need the image, which somebody may remove.

    Raises ContainerError if there is not enough of it; then all is as it was.
    """
    table = mounts_of(os.getpid())
    if own_container() is None or not (is_needed(table) or (always and root_of(table).source != OURS)):
        return
    try:
        for command in commands(table):
            run(command, timeout=COPYING)
    except HostCommandError as error:
        run(["umount", "--recursive", "--lazy", str(PLACE)], timeout=QUICK, check=False)
        raise ContainerError(
            "The image's files cannot be put into memory.",
            details=f"The engine would take them away from the worker when the container ends. {error.details}",
            resolution="Let there be 200 MB of free memory, and run again.",
        ) from error
    os.chdir(TOP)
    log.info("image.in_memory", root=root_of(table).kind)


def is_needed(table: Sequence[Mount]) -> bool:
    root = root_of(table)
    return root.kind != KEPT and root.source != OURS


def root_of(table: Sequence[Mount]) -> Mount:
    return next(mount for mount in reversed(table) if mount.point == TOP)


def commands(table: Sequence[Mount]) -> list[list[str]]:
    """In order: a tmpfs with the image's files and with all mounts, made the root, and the old one let go.

    First no unmount may reach the host any more: of what is bound as `rshared`, a lazy one would take its mounts away.
    The files are read through a bind mount of the root, which is without what is mounted on it: that may be the host's
    whole root, on the same file system as a plain directory.
    """
    place, image = str(PLACE), f"{PLACE}/{IMAGE}"
    bound = [["mount", "--rbind", str(point), f"{place}{point}"] for point in outermost(table)]
    return [
        ["mount", "--make-rslave", "/"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", OURS, place],
        ["mkdir", image],
        ["mount", "--bind", "/", image],
        ["cp", "--archive", "--", f"{image}/.", place],
        ["umount", image],
        ["rmdir", image],
        *bound,
        ["pivot_root", place, f"{place}{place}"],
        ["umount", "--lazy", place],
    ]


def outermost(table: Sequence[Mount]) -> list[PurePosixPath]:
    """Where something is mounted below the root, without what is below that."""
    points = dict.fromkeys(mount.point for mount in table if mount.point not in (TOP, PLACE))
    return [point for point in points if not any(above in points for above in point.parents)]

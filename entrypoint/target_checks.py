"""The checks of the target: its name, what is there, what it lies on, and whether there is room."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint import wording
from entrypoint.errors import UsageError
from entrypoint.facts import HostFacts
from entrypoint.filesystem import unescape
from entrypoint.findings import Finding, error, warning

# File systems that cannot serve as the upper layer of an overlay mount, or keep what a layer holds (moby issues 35476,
# 34897; for-linux 775, 1484; overlay2 rejected several of them by name until 18.09), or forget all at a reboot.
UNSUITABLE = {
    "tmpfs": "it is memory and empty after a reboot",
    "ramfs": "it is memory and empty after a reboot",
    "overlay": "an overlay cannot lie on an overlay",
    "aufs": "an overlay cannot lie on it",
    "vfat": "it keeps no owners, modes or links",
    "msdos": "it keeps no owners, modes or links",
    "exfat": "it keeps no owners, modes or links",
    "ntfs": "an overlay cannot lie on it",
    "ntfs3": "an overlay cannot lie on it",
    "nfs": "an overlay cannot lie on a network file system",
    "nfs4": "an overlay cannot lie on a network file system",
    "cifs": "an overlay cannot lie on a network file system",
    "smb3": "an overlay cannot lie on a network file system",
    "9p": "an overlay cannot lie on it",
    "virtiofs": "an overlay cannot lie on it",
    "zfs": "overlay2 needs features it has only in new versions; the engine has a driver of its own for it",
    "squashfs": "it cannot be written",
    "iso9660": "it cannot be written",
    "erofs": "it cannot be written",
    "ecryptfs": "an overlay cannot lie on it",
    **dict.fromkeys(
        [
            *("proc", "sysfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs"),
            *("pstore", "bpf", "configfs", "hugetlbfs", "efivarfs", "binfmt_misc", "nsfs"),
        ],
        "it shows the kernel's own state and holds no files",
    ),
}
MARGIN = 0.10  # of the source, for growth while the copy runs and for file systems that need more for the same files
LEAST_MARGIN = 256 * 1024 * 1024
OVERLAY_SEPARATORS = (":", ",", "\\")  # overlay's mount options join paths with them, or escape, and dockerd does not


def parse_target(text: str) -> PurePosixPath:
    """The operator's word for the target as a path. Raises UsageError for what cannot be one anywhere."""
    shown = text.encode("unicode_escape").decode()
    if not text.startswith("/"):
        raise UsageError(
            f"The target must be an absolute path, not `{shown}`.",
            resolution="Name the new directory from the host's root, such as /mnt/data/docker.",
        )
    if any(ord(char) < 32 or ord(char) == 127 for char in text) or not _is_utf8(text):
        raise UsageError(f"The target `{shown}` holds control characters or is not UTF-8.")
    path = PurePosixPath("/" + text.strip("/"))
    if str(path) != str(path).rstrip():
        raise UsageError(
            f"The target `{shown}` ends with white space.",
            resolution="systemd cannot wait for a disk at such a path; name it without.",
        )
    if ".." in path.parts:
        raise UsageError(f"The target `{shown}` goes up with `..`.", resolution="Name it without.")
    if path == PurePosixPath("/"):
        raise UsageError("The target must be a directory of its own, not `/`.")
    return path


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def nesting(facts: HostFacts) -> Iterator[Finding]:
    """By names, and by what is really there: a bind mount shows the same directory under another name."""
    source, target = facts.source, facts.target
    inside = source.path in target.resolved.parents or source.identity in target.identities
    around = target.resolved in source.path.parents or (target.exists and target.identities[0] in source.ancestors)
    if inside:
        yield error(
            "target-inside-source",
            "The target lies inside the data root",
            f"{target.path} is in {source.path}, which is what is to be moved.",
            "Choose a directory outside it.",
        )
    elif around:
        yield error(
            "target-around-source",
            "The target contains the data root",
            f"{source.path} lies in {target.path}.",
            "Choose a directory of its own.",
        )


def occupied(facts: HostFacts) -> Iterator[Finding]:
    target = facts.target
    if target.exists and not target.is_directory:
        yield error("target-not-directory", "The target is not a directory", f"{target.path} exists and is none.")
    elif not target.ancestor_is_directory:
        yield error(
            "target-under-file",
            "The target lies below something that is no directory",
            f"{target.ancestor} is not a directory.",
            "Choose another path.",
        )
    elif is_unfinished(facts):
        yield warning(
            "target-unfinished",
            "The target holds an unfinished copy of this data root",
            "An earlier attempt was cut off; what it copied is used. Anything else in there will be removed.",
        )
    elif strangers := [name for name in target.content if name != "lost+found"]:
        yield error(
            "target-not-empty",
            "The target is not empty",
            f"{target.path} holds {', '.join(strangers[:3])}{' …' if len(strangers) > 3 else ''}.",
            "Choose a new directory, or empty this one after a look at what is in it.",
        )


def is_unfinished(facts: HostFacts) -> bool:
    """Whether what is in the target is an unfinished copy of this engine's data root, made by relocator."""
    record = facts.target.unfinished
    return record is not None and record.is_of(str(facts.source.path), facts.engine.engine_id)


def characters(facts: HostFacts) -> Iterator[Finding]:
    found = [char for char in OVERLAY_SEPARATORS if char in str(facts.target.resolved)]
    if found:
        yield error(
            "target-characters",
            "The target's name cannot be used for overlay mounts",
            f"{facts.target.resolved} holds `{'` and `'.join(found)}`, which mean something else there.",
            "Choose a path without them.",
        )


def file_system(facts: HostFacts) -> Iterator[Finding]:
    mount = facts.target.mount
    family = "fuse" if mount.kind.startswith("fuse") else mount.kind
    reason = "an overlay cannot lie on it" if family == "fuse" else UNSUITABLE.get(family)
    if reason:
        yield error(
            "target-file-system",
            f"Docker cannot keep its data on {mount.kind}",
            f"{facts.target.path} is on {mount.point}, a {mount.kind} file system: {reason}.",
            "Choose a directory on a local disk with ext4, xfs or btrfs.",
        )
    for name, harm in (
        ("ro", "nothing can be written there"),
        ("noexec", "no program in a container could be started"),
        ("nosuid", "programs such as sudo and ping would lose their rights in containers"),
    ):
        if name in mount.options:
            yield error(
                f"target-{name}",
                f"The target's file system is mounted {name}",
                f"{mount.point} is mounted with `{name}`: {harm}.",
                f"Remount it without: mount -o remount,{'rw' if name == 'ro' else name[2:]} {mount.point}, "
                "and change /etc/fstab or the mount unit as well.",
            )


def space(facts: HostFacts) -> Iterator[Finding]:
    source, free = facts.source, facts.target.space
    copied = source.size.allocated
    if is_same_file_system(facts):
        copied = max(0, copied - source.layer_bytes)  # layers are hard-linked there
    need = copied + max(int(copied * MARGIN), LEAST_MARGIN)
    if free.free < need:
        yield error(
            "target-space",
            "The target has too little space",
            f"{wording.size(copied)} have to be copied, with a margin {wording.size(need)}; "
            f"{facts.target.mount.point} has {wording.size(free.free)} free.",
            "Free space there, choose a larger disk, or shrink the data root: docker system prune.",
        )
    wanted = int(facts.source.size.entries * (1 + MARGIN))
    if free.inodes is not None and free.inodes < wanted:
        yield error(
            "target-inodes",
            "The target has too few inodes",
            f"The data root has {facts.source.size.entries} files and directories, with a margin {wanted}; "
            f"{facts.target.mount.point} has {free.inodes} inodes free.",
            "Make the file system anew with more inodes (mkfs.ext4 -N), or use xfs.",
        )


def is_same_file_system(facts: HostFacts) -> bool:
    return facts.source.mount.device == facts.target.mount.device


def same_disk(facts: HostFacts) -> Iterator[Finding]:
    if is_same_file_system(facts):
        yield warning(
            "same-file-system",
            "The target is on the same file system as the data root",
            f"Both are on {facts.source.mount.point}; the move frees no space on it.",
            "If a new disk was meant, see that it is mounted (findmnt) and that the path is spelled right.",
        )


def at_boot(facts: HostFacts) -> Iterator[Finding]:
    """A disk that was mounted by hand is not there after a reboot."""
    point = facts.target.mount.point
    fields = (line.split() for line in facts.fstab.split("\n") if not line.startswith("#"))
    listed = any(len(words) > 1 and unescape(words[1]).rstrip("/") == str(point) for words in fields)
    if point != PurePosixPath("/") and not listed and not is_same_file_system(facts):
        yield warning(
            "mount-not-in-fstab",
            "The target's disk is not in /etc/fstab",
            f"Unless a mount unit mounts {point}, it is not there after a reboot, and the engine will not start.",
            "Add it to /etc/fstab, or make a mount unit for it.",
        )


CHECKS = (nesting, occupied, characters, file_system, space, same_disk, at_boot)

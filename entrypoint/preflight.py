"""The checks before anything is touched: facts in, findings out. All run; they are reported together.

An error refuses the move, a warning is shown and the move goes on. Every check is a pure function, so a finding can be
tested without a host that has the fault.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from entrypoint import daemon_config, layers, wording
from entrypoint.errors import PreflightError, UsageError
from entrypoint.facts import SERVICE, HostFacts, option
from entrypoint.filesystem import mounts_below, unescape
from entrypoint.inventory import ALIVE
from entrypoint.systemd import RUNNING

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
ROOT_FLAGS = ("--data-root", "--graph", "-g")
MARGIN = 0.10  # of the source, for growth while the copy runs and for file systems that need more for the same files
LEAST_MARGIN = 256 * 1024 * 1024
OVERLAY_SEPARATORS = (":", ",", "\\")  # overlay's mount options join paths with them, or escape, and dockerd does not


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing the operator should know: what, how it was seen, what to do."""

    id: str
    severity: Severity
    title: str
    detail: str
    remedy: str = ""

    def text(self) -> str:
        return "\n".join(part for part in (f"{self.title} [{self.id}]", self.detail, self.remedy) if part)


def error(id: str, title: str, detail: str, remedy: str = "") -> Finding:
    return Finding(id, Severity.ERROR, title, detail, remedy)


def warning(id: str, title: str, detail: str, remedy: str = "") -> Finding:
    return Finding(id, Severity.WARNING, title, detail, remedy)


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


def check(facts: HostFacts) -> tuple[Finding, ...]:
    """Every finding, errors first."""
    found = [finding for one in CHECKS for finding in one(facts)]
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


def require(findings: Iterable[Finding]) -> None:
    """Raises PreflightError if one of the findings refuses the move."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise PreflightError(
            f"The move is refused, for {len(errors)} reason{'s' if len(errors) > 1 else ''}. Nothing was changed.",
            details="\n".join(finding.text() for finding in errors),
        )


def is_already_there(facts: HostFacts) -> bool:
    """Whether the engine's data root is the target, by its name or by being the same directory."""
    same = facts.source.path == facts.target.resolved
    return same or (facts.target.exists and facts.target.identities[0] == facts.source.identity)


# --- the target ---------------------------------------------------------------------------------------------------


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


# --- the engine ---------------------------------------------------------------------------------------------------


def driver(facts: HostFacts) -> Iterator[Finding]:
    engine = facts.engine
    if engine.store != "graphdriver":
        yield error(
            "containerd-store",
            "The engine keeps its images in containerd",
            "containerd's own root would have to move too; this version of relocator moves the data root only.",
        )
    elif engine.driver != layers.DRIVER:
        yield error(
            "storage-driver",
            f"The storage driver {engine.driver} cannot be moved",
            f"Only {layers.DRIVER} can be copied as files by this version; the engine uses {engine.driver}.",
        )


def unsupported(facts: HostFacts) -> Iterator[Finding]:
    engine = facts.engine
    if engine.live_restore:
        yield error(
            "live-restore",
            "live-restore is on",
            "Containers would go on writing to the old root while the engine is down.",
            'Set "live-restore": false, reload the engine (systemctl reload docker), and run again.',
        )
    if engine.swarm not in ("inactive", ""):
        yield error(
            "swarm", "The engine is part of a swarm", f"Its state there is `{engine.swarm}`; this version does not "
            "move swarm nodes.", "Drain the node and leave the swarm first."
        )  # fmt: skip
    if any("userns" in option for option in engine.security):
        yield error("userns-remap", "The engine remaps user ids", "This version does not move such a data root.")


def unit(facts: HostFacts) -> Iterator[Finding]:
    if not facts.service.exists or facts.service.active_state not in RUNNING:
        yield error(
            "no-service",
            f"The engine does not run as {SERVICE}",
            f"systemd says: {facts.service.load_state}, {facts.service.active_state}.",
            "An engine from a snap, a rootless engine or one started by hand is moved by its own means.",
        )
    if facts.worker.active_state in RUNNING | {"activating", "deactivating"}:
        yield error("already-running", "Another relocator is at work on this host", f"{facts.worker.name} is active.",
                    "Wait for it with `relocator status --wait`.")  # fmt: skip


def configuration(facts: HostFacts) -> Iterator[Finding]:
    config = facts.config
    flag = next((name for name in ROOT_FLAGS if option(facts.arguments, name) is not None), None)
    if flag:
        yield error(
            "root-by-flag",
            "The data root is set on the engine's command line",
            f"{SERVICE} starts dockerd with {flag}; a second place would stop the engine from starting.",
            f'Move the setting to {config.path} as "data-root", restart the engine, and run again.',
        )
    for file in (config, facts.drop_in):
        if not file.writable:
            yield error("config-read-only", f"{file.path} cannot be written", "It is on a read-only file system.")
    if not config.is_file:
        yield error("config-not-file", f"{config.path} is not a file", "The engine's configuration cannot be edited.")
    else:
        try:
            daemon_config.parse(config.content, str(config.path))
        except PreflightError as problem:
            yield error("config-invalid", problem.brief, problem.details, problem.resolution)


def pending(facts: HostFacts) -> Iterator[Finding]:
    """What the next start would change by itself: any start during the move would do it, also one that goes back."""
    if facts.configured_root is not None and facts.configured_root != facts.source.path:
        yield error(
            "configured-root-differs",
            "The engine is configured for another root than the one it runs on",
            f"It runs on {facts.source.path}; {facts.config.path} names {facts.configured_root}.",
            "Put the file right and restart the engine, or take the setting out, then run again.",
        )
    for unit in (facts.service, facts.socket):
        if unit.exists and unit.needs_reload:
            yield error(
                "unit-needs-reload",
                f"{unit.name} was changed and not loaded",
                "The move reloads unit files, which would put that change into force.",
                "Look at the change, then: systemctl daemon-reload",
            )


def dependents(facts: HostFacts) -> Iterator[Finding]:
    if facts.dependents:
        yield warning(
            "dependent-units",
            "Other units stop along with the engine",
            f"systemd stops them with it, and they are started again after the move: {', '.join(facts.dependents)}.",
        )


def sub_mounts(facts: HostFacts) -> Iterator[Finding]:
    """File systems mounted inside the data root that the engine did not mount itself."""
    for mount in mounts_below(facts.source.path, facts.mounts):
        parts = mount.point.relative_to(facts.source.path).parts
        if not _is_the_engines(parts):
            yield error(
                "sub-mount",
                "A part of the data root is a file system of its own",
                f"{mount.point} is mounted from {mount.source} ({mount.kind}).",
                "This version moves a data root only as a whole.",
            )


def _is_the_engines(parts: tuple[str, ...]) -> bool:
    """What dockerd mounts below its root: layers, shared memory and secrets of containers, volumes in use, plugins."""
    match parts:
        case (layers.DRIVER, _, "merged", *_):
            return True
        case ("containers", _, "mounts" | "secrets", *_):
            return True
        case ("volumes", _, "_data", *_):
            return True
        case ("plugins", *_):
            return True
        case _:
            return False


def ephemeral(facts: HostFacts) -> Iterator[Finding]:
    doomed = [one.name for one in facts.inventory.containers if one.auto_remove and one.status in ALIVE]
    if doomed:
        yield warning(
            "ephemeral-containers",
            "Containers started with --rm will be removed",
            f"The engine removes them when it stops, as at any restart: {', '.join(doomed)}.",
        )


CHECKS: tuple[Callable[[HostFacts], Iterator[Finding]], ...] = (
    nesting,
    occupied,
    characters,
    file_system,
    space,
    same_disk,
    at_boot,
    driver,
    unsupported,
    unit,
    configuration,
    pending,
    dependents,
    sub_mounts,
    ephemeral,
)

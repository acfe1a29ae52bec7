"""The checks of the target: its name, what is there, what it lies on, and whether there is room."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console import wording
from entrypoint.console.findings import Finding, Severity, error, warning
from entrypoint.engine.holdings.kinship import Kinship
from entrypoint.engine.versions import Since
from entrypoint.host.disks import fstab, kinds
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Left, RootFacts, is_around, is_inside

FINISH = "add: --finish-copy"
SAME_DISK = "same-file-system"
SYSTEM = (PurePosixPath("/"), PurePosixPath("/usr"))
MARGIN = 0.10  # of the source, for growth while the copy runs and for file systems that need more for the same files
LEAST_MARGIN = 256 * 1024 * 1024
# Older engines take the root for a format, and keep the layers' records outside it, in a place that is new at each
# start. Seen with 20.10 and 26.1; 28.5 does not.
FORMAT = "%"


def nesting(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """By names, and by what is really there: a bind mount shows the same directory under another name."""
    source, target = root.source, root.target
    if is_inside(source, target):
        yield error(
            "target-inside-source",
            "The target lies inside the data root",
            f"{target.path} is in {source.path}, which is what is to be moved.",
            "Choose a directory outside it.",
        )
    elif is_around(source, target):
        yield error(
            "target-around-source",
            "The target contains the data root",
            f"{source.path} lies in {target.path}.",
            "Choose a directory of its own.",
        )


def occupied(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    target = root.target
    if target.exists and not target.is_directory:
        yield error("target-not-directory", "The target is not a directory", f"{target.path} exists and is none.",
                    "Choose another path.")  # fmt: skip
    elif not target.ancestor_is_directory:
        yield error(
            "target-under-file",
            "The target lies below something that is no directory",
            f"{target.ancestor} is not a directory.",
            "Choose another path.",
        )
    elif root.is_begun(facts.engine.engine_id):
        yield warning(
            "target-unfinished",
            "The target holds an unfinished copy of this data root",
            "An earlier attempt was cut off; what it copied is used. Anything else in there will be removed.",
            "To begin anew instead, empty it first.",
        )
    elif target.rest and facts.left.get(root.kind) in (None, Left.FAILED):
        yield warning("target-taken-over", "What is in the target will be made a copy of the root in use",
                      f"{target.path} holds {target.rest.entries} files and directories. {target.rest.extra} of them "
                      "the root in use has not, and they are removed; so is all of it, if the move fails.")  # fmt: skip
    elif root.kind in facts.left and target.content:
        yield from left(facts, root)
    elif strangers := [name for name in target.content if name != "lost+found"]:
        yield error(
            "target-not-empty",
            "The target is not empty",
            f"{target.path} holds {', '.join(strangers[:3])}{' …' if len(strangers) > 3 else ''}.",
            "Choose a new directory, or empty this one after a look at what is in it." + ways(facts),
        )


def ways(facts: HostFacts) -> str:
    """What else can be done with a data root in the target; one that is older than the one in use is never proposed."""
    if facts.occupant is None:
        return ""
    finish = f" To make it a copy of the one in use: {FINISH}"
    return finish if facts.occupant is Kinship.OLDER else f"{finish}. If it is to be used as it is, add: --adopt"


def left(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """A root that a move on this host has left is neither to be copied to nor to be used as it is."""
    path, how = root.target.path, facts.left.get(root.kind)
    if how is Left.FAILED:
        yield error("failed-copy", "The target holds the copy of a move that failed",
                    f"It had come to the start of the engine on {path}, and went back to {root.source.path}, where the "
                    "engine has written since. What was written meanwhile is only in the copy.",
                    f"Look whether something there is missed; then {FINISH}, or empty it.")  # fmt: skip
    elif how:
        ways = {
            Left.WAY_BACK: f"To go back to {path}: relocator rollback. To remove it: relocator cleanup",
            Left.ASIDE: "First copy out of it what you miss in the engine (of a data root it is below `volumes`). Then "
            "remove it, and move again; the root in use is not touched by that: relocator cleanup",
        }
        yield error("root-left", "The engine was moved away from the root in the target",
                    f"{path} is as it was then; what came since is in {root.source.path}.",
                    ways[how])  # fmt: skip


def characters(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    if found := [char for char in facts.engine.layers.separators if char in str(root.target.resolved)]:
        yield error(
            "target-characters",
            "The target's name cannot be used for overlay mounts",
            f"{root.target.resolved} holds `{'` and `'.join(found)}`, which mean something else there.",
            "Choose a path without them.",
        )
    for path in (root.target.resolved, root.source.path):
        if FORMAT in str(path) and not facts.engine.is_at_least(Since.ANY_NAME):
            yield error(
                "percent-in-name",
                "This engine cannot keep its data in a directory with `%` in its name",
                f"Docker {facts.engine.version} takes the name for a format, and records layers outside {path}.",
                f"Choose a path without it, or use Docker {Since.ANY_NAME} or newer.",
            )


def file_system(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Where there is no room to try it, nothing is known of it, and `space` says so."""
    mount, lacks = root.target.mount, ", ".join(root.target.lacks)
    if reason := kinds.of(mount.kind).unfit or (lacks and f"it was tried there, and it cannot do {lacks}"):
        yield error(
            "target-file-system",
            f"Docker cannot keep its data on {mount.kind}",
            f"{root.target.path} is on {mount.point} ({mount.kind}): {reason}.",
            "Choose a directory on a local disk with ext4, xfs or btrfs.",
        )
    for name, harm in (
        ("ro", "nothing can be written there"),
        ("noexec", "no program in a volume could be started"),
        ("nosuid", "programs such as sudo and ping would lose their rights in containers"),
    ):
        if name in mount.options:
            yield error(
                f"target-{name}",
                f"The target's file system is mounted {name}",
                f"{mount.point} is mounted with `{name}`: {harm}.",
                remedy(name, mount.point),
            )
    if "nodev" in mount.options:
        yield warning(
            "target-nodev",
            "The target's file system is mounted nodev",
            f"Device nodes in volumes could not be opened on {mount.point}; containers' own devices are not concerned.",
            f"If a volume holds some: mount -o remount,dev {mount.point}, and /etc/fstab or the mount unit as well.",
        )


def remedy(option: str, point: PurePosixPath) -> str:
    """An immutable host's own file system is read-only on purpose; what can be written there is below /var."""
    if option == "ro" and point in SYSTEM:
        return "Mount the disk below a directory that can be written, such as /var/mnt/data, and choose one on it."
    given = "rw" if option == "ro" else option.removeprefix("no")
    return (
        f"Choose a directory on another disk, or remount this one: mount -o remount,{given} {point}, and change "
        "/etc/fstab or the mount unit as well."
    )


def copied(root: RootFacts) -> int:
    """Bytes that the copy of a root takes."""
    linked = root.source.layer_bytes if root.can_link else 0  # layers are hard-linked there
    return max(0, root.source.size.allocated - linked)


def together(facts: HostFacts, root: RootFacts) -> tuple[RootFacts, ...]:
    """The roots that go to the same file system as one of them."""
    return tuple(other for other in facts.roots if other.target.mount.device == root.target.mount.device)


def space(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Of all roots that go to the same file system together."""
    free, roots = root.target.space, together(facts, root)
    size = sum(map(copied, roots))
    need = size + max(int(size * MARGIN), LEAST_MARGIN)
    if free.free < need:
        yield error(
            "target-space",
            "The target has too little space",
            f"{wording.size(size)} have to be copied, with a margin {wording.size(need)}; "
            f"{root.target.mount.point} has {wording.size(free.free)} free.",
            "Free space there, choose a larger disk, or shrink the data root: docker system prune.",
        )
    entries = sum(other.source.size.entries for other in roots)
    wanted = int(entries * (1 + MARGIN))
    if free.inodes is not None and free.inodes < wanted:
        yield error(
            "target-inodes",
            "The target has too few inodes",
            f"The data root has {entries} files and directories, with a margin {wanted}; "
            f"{root.target.mount.point} has {free.inodes} inodes free.",
            "Make the file system anew with more inodes (mkfs.ext4 -N), or use xfs.",
        )
    elif free.free >= need and root.target.full:
        yield error(
            "target-space",
            "The target takes nothing more",
            f"{root.target.mount.point} has {wording.size(free.free)} free, and not for us: {root.target.full}.",
            "See what limits it there, such as a quota, or choose another disk.",
        )


def same_disk(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """A disk that was not mounted, or a path that is misspelled: the engine would be stopped for nothing."""
    if root.is_on_one_file_system:
        yield error(
            SAME_DISK,
            "The target is on the same file system as the data root",
            f"Both are on {root.source.mount.point}; the move frees no space on it.",
            "If a new disk was meant, see that it is mounted (findmnt) and that the path is spelled right. If this one "
            "is meant, add: --same-disk",
        )


def at_boot(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """A disk that was mounted by hand is not there after a reboot."""
    point = root.target.mount.point
    if point != PurePosixPath("/") and not fstab.lists(facts.fstab, point) and not root.is_on_one_file_system:
        line = fstab.line(root.target.mount, root.target.uuid)
        yield warning(
            "mount-not-in-fstab",
            "The target's disk is not in /etc/fstab",
            f"Unless a mount unit mounts {point}, it is not there after a reboot, and the engine will not start.",
            f"Add it to /etc/fstab: {line}" if line else "Add it to /etc/fstab, or make a mount unit for it.",
        )


def traverse(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Remapped users reach their files through the directories above, and dockerd refuses to start if they cannot."""
    if facts.engine.remaps and root.target.closed:
        closed = " ".join(root.target.closed)
        yield error(
            "target-not-traversable",
            "Remapped users cannot reach the target",
            f"The engine uses userns-remap, and these directories are closed to others: {closed}.",
            f"Open them for passing through, or choose another target: chmod o+x {closed}",
        )


def exposed(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Whoever can rename a directory above the target can give the engine another root."""
    if root.target.exposed:
        paths = " ".join(root.target.exposed)
        yield warning(
            "target-exposed",
            "Others than root can put something else in the target's place",
            f"These directories above {root.target.path} are theirs to change: {paths}.",
            f"Choose another target, or give them to root alone: chown root {paths}; chmod o-w {paths}",
        )


UNTRIABLE = (nesting, occupied, file_system)


def may_be_tried(facts: HostFacts, root: RootFacts) -> bool:
    """Whether a scratch directory may be made: not in a data root, nor on the kernel's files, nor where it is vain."""
    return all(finding.severity is not Severity.ERROR for check in UNTRIABLE for finding in check(facts, root))

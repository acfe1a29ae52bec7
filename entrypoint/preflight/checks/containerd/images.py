"""The checks of the containerd that an engine keeps its images in: it must be understood, and its root ours to move."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.containerd.service import MANAGED_ROOT, ROOT_VARIABLE, Containerd
from entrypoint.engine.drivers.snapshotters import OVERLAYFS
from entrypoint.host.disks.filesystem import mounts_below
from entrypoint.host.services.units import RUNNING
from entrypoint.preflight.checks import selinux
from entrypoint.preflight.checks import target as target_checks
from entrypoint.preflight.checks.containerd.root import of_setting
from entrypoint.preflight.checks.roots.users import bound
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind
from entrypoint.settings.formats import config_toml

Check = Callable[[HostFacts, Containerd], Iterator[Finding]]
USERS = "containerd-users"
BY_HAND = "stop {units}, copy {source} there (cp -a), set the root, start them again."


def snapshotter(facts: HostFacts) -> Iterator[Finding]:
    """Where the images are: a snapshotter's data must be files that can be copied."""
    if facts.containerd is None:
        return
    if not facts.engine.layers.is_moved:
        yield error(
            "containerd-snapshotter",
            f"containerd's snapshotter {facts.engine.driver} cannot be moved",
            facts.engine.layers.reason,
            f"Use {OVERLAYFS.name}, or move the roots by hand.",
        )


def no_root(facts: HostFacts) -> Iterator[Finding]:
    """Where containerd's root is to move alone, and there is none."""
    where = "The engine starts its containerd itself" if facts.containerd else "Its images are in the data root"
    yield error("containerd-no-root", "There is no root of containerd's to move alone", f"{where}.",
                "Move the data root: relocator TARGET")  # fmt: skip


def own_root(facts: HostFacts) -> Iterator[Finding]:
    """The root of a containerd that the engine starts itself goes with the data root, as a part of it."""
    found = facts.containerd
    if found is None or not found.is_managed or found.root == (usual := facts.data_root / MANAGED_ROOT):
        return
    yield error(
        "containerd-root-variable",
        "The engine starts its containerd itself, and that has its root elsewhere",
        f"It works on {found.root}, not on {usual}: {ROOT_VARIABLE} says so, or a symbolic link. A move of the data "
        "root would leave the images there, or use them on both roots.",
        f"Stop the engine, put what is in {found.root} into {usual}, take the variable out of {facts.service.name}, "
        "start the engine, see that every image is there; then run again.",
    )


def tasks(facts: HostFacts) -> Iterator[Finding]:
    """A swarm makes its tasks anew at each start. Taken back alone, the old root would know nothing of them."""
    if names := [one.name for one in facts.inventory.containers if one.service]:
        yield error("containerd-tasks", "Tasks of a swarm run here, which cannot be taken back with containerd's root",
                    f"The swarm makes them anew at each start: {', '.join(names[:5])}.",
                    "Drain the node first: docker node update --availability=drain NODE. Or move both roots: "
                    "relocator TARGET")  # fmt: skip


def of_root(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """Its unit, and the root that it works on now."""
    if not found.service.exists or found.service.active_state not in RUNNING:
        yield error(
            "containerd-service",
            "The engine's containerd does not run as a unit of systemd",
            f"The engine uses {found.address}; {found.service.name} is {found.service.active_state}.",
            "Move the data root alone, and containerd's by its own means: --only data-root",
        )
    elif not found.is_open:
        yield error(
            "containerd-root-unknown",
            "containerd works on another root than its configuration names",
            f"{found.root} by its command line and {found.config.path}; it has no database open there.",
            f"Put that right, restart {found.service.name} and the engine, and run again.",
        )
    if found.service.needs_reload:
        yield error("unit-needs-reload", f"{found.service.name} was changed and not loaded",
                    "The move reloads unit files, which would put that change into force.",
                    "Look at the change, then: systemctl daemon-reload")  # fmt: skip
    yield from nested(facts, found)


def nested(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """A root that stays, too: the data root would take a copy of it along, and leave the one that is worked on."""
    for inner, outer in ((found.root, facts.data_root), (facts.data_root, found.root)):
        if inner.is_relative_to(outer):
            yield error(
                "containerd-root-nested",
                "The data root and containerd's root lie in each other",
                f"{inner} is in {outer}.",
                "Move containerd's root out of it by hand first: "
                + BY_HAND.format(units=", ".join(one.name for one in (*facts.units, found.service)), source=found.root),
            )


def users(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """What others run in it has its files mounted from the root that is left, and would go on writing there."""
    if found.users:
        yield error(
            USERS,
            "Others than this engine run containers with its containerd",
            f"Namespaces with tasks: {', '.join(found.users)}. They would go on writing to the old root.",
            "Stop them first, and what starts them (kubelet, buildkitd, nerdctl …); start them again afterwards. Or "
            "have them ended, and start again yourself what nobody does for you: --stop-containerd-users. Or leave "
            "containerd's root where it is: --only data-root",
        )


def place(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """Where its root is to go."""
    moved, store = facts.root(RootKind.DATA_ROOT), facts.root(RootKind.IMAGE_STORE)
    assert store is not None
    target, own = facts.data_root_to_be, store.target
    if moved and not found.is_named and moved.target.mount.point == target:
        named = moved.target.path
        yield error(
            "containerd-target-unknown",
            "It is not said where containerd's root is to go",
            f"The images are in {found.root}. Beside {named}, which is a mount point, would be another disk.",
            f"Name it with --containerd-root; or take directories on that disk: {named}/docker, and "
            f"{named}/containerd will be beside it.",
        )
    pairs = ((own.resolved, target), (target, own.resolved), (own.resolved, facts.data_root), (target, found.root))
    for inner, outer in dict.fromkeys(pairs):
        if inner.is_relative_to(outer):
            yield error("containerd-target-nested", "The two roots would lie in each other", f"{inner} is in {outer}.",
                        "Choose another directory for one of them.")  # fmt: skip


def sub_mounts(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    for mount in mounts_below(found.root, facts.mounts):
        yield error(
            "sub-mount",
            "A part of containerd's root is a file system of its own",
            f"{mount.point} is mounted from {mount.source} ({mount.kind}).",
            "This version moves a root only as a whole.",
        )
    store = facts.root(RootKind.IMAGE_STORE)
    if store and store.source.subvolumes:
        yield error("subvolume", "A part of containerd's root is a btrfs subvolume of its own",
                    f"Below {found.root}: {', '.join(store.source.subvolumes[:5])}. It would be an empty "
                    "directory in the copy.",
                    "Turn it into a directory (cp -a --reflink=always), or move it out of the root.")  # fmt: skip


# What is asked of each target, and the same of this one; space is asked of both together, if they share a disk.
TARGET = (
    target_checks.nesting,
    target_checks.occupied,
    target_checks.characters,
    target_checks.file_system,
    target_checks.at_boot,
    target_checks.exposed,
    selinux.labels,
    selinux.name,
    bound,
)

OF_MOUNT = (target_checks.file_system, target_checks.at_boot, selinux.labels)


def of_target(facts: HostFacts, _found: Containerd) -> Iterator[Finding]:
    """What the data root's target was not told of already."""
    moved, store = facts.root(RootKind.DATA_ROOT), facts.root(RootKind.IMAGE_STORE)
    assert store is not None
    for check in TARGET if moved else (*TARGET, target_checks.same_disk):
        if moved and store.target.mount == moved.target.mount and check in OF_MOUNT:
            continue
        yield from map(of_containerd, check(facts, store))
    if target_checks.together(facts, store) == (store,):
        yield from map(of_containerd, target_checks.space(facts, store))


def of_containerd(finding: Finding) -> Finding:
    """The same finding, said of containerd's root."""
    return replace(finding, title=f"containerd's root: {finding.title[0].lower()}{finding.title[1:]}")


def left_behind(facts: HostFacts) -> Iterator[Finding]:
    """Where the data root is in the target already: whether containerd's root is where it was to go, too."""
    found, store = facts.containerd, facts.root(RootKind.IMAGE_STORE)
    if found is None or store is None or store.target.resolved == found.root:
        return
    if found.is_named or found.root == PurePosixPath(config_toml.DEFAULT_ROOT):
        yield error(
            "containerd-left-behind",
            "The data root is in the target already, and containerd's root is elsewhere",
            f"The images are in {found.root}, and were to be in {store.target.resolved}.",
            f"Move it alone: relocator --only containerd {store.target.path}",
        )


def old_paths(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """A link to the root is left as it is, as that of the engine's."""
    named = found.place.root if found.place else str(found.root)
    if PurePosixPath("/", named) != found.root:
        yield warning("containerd-root-is-link", f"{named} leads to containerd's root by a symbolic link",
                      f"The images are in {found.root}. The link is left as it is.",
                      "Scripts that use the link see the old root; point them to the new one.")  # fmt: skip


# Of a root that is adopted nothing is asked that only a copy needs.
ADOPTED = (target_checks.nesting, target_checks.characters, target_checks.file_system, target_checks.at_boot,
           target_checks.traverse, selinux.labels, selinux.name)  # fmt: skip


def of_adopted(facts: HostFacts, _found: Containerd) -> Iterator[Finding]:
    store = facts.root(RootKind.IMAGE_STORE)
    assert store is not None
    for check in ADOPTED:
        yield from map(of_containerd, check(facts, store))


OF_ROOT = (of_root, of_setting, users, place, sub_mounts)
COPIED: tuple[Check, ...] = (*OF_ROOT, of_target, old_paths)
ADOPTED_ALONG: tuple[Check, ...] = (*OF_ROOT, of_adopted, old_paths)


def check(facts: HostFacts) -> Iterator[Finding]:
    """Every finding; of a containerd that the engine manages, or that stays, only whether it can be moved at all."""
    yield from snapshotter(facts)
    yield from _each(facts, COPIED)


def check_adoption(facts: HostFacts) -> Iterator[Finding]:
    """The same where its root is adopted with the data root."""
    yield from snapshotter(facts)
    yield from _each(facts, ADOPTED_ALONG)


def _each(facts: HostFacts, checks: tuple[Check, ...]) -> Iterator[Finding]:
    found = facts.containerd
    if found is None or found.is_managed:
        return
    if facts.root(RootKind.IMAGE_STORE) is None:
        yield from nested(facts, found)
        return
    stopped = False
    for one in checks:
        for finding in () if stopped else one(facts, found):
            stopped = stopped or finding.id == "containerd-config-invalid"
            yield finding

"""The checks of what a data root consists of: a part on a file system of its own would not be copied with it."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console import wording
from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.drivers import WITH_VIEWS
from entrypoint.engine.holdings import whole
from entrypoint.engine.info import CONTAINERD, REMAPPED
from entrypoint.host.disks.filesystem import mounts_below
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, RootKind

STEPS = ("buildkit", "executor")  # of builds, each with a root of its own (moby builder/builder-next/executor_linux.go)
WORTH, SHARE = 64 * 2**20, 20  # bytes, and this part of the root: less is not worth a word
VIEWS = tuple((driver.name, driver.view) for driver in WITH_VIEWS)


def sub_mounts(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """File systems mounted inside the data root that the engine did not mount itself."""
    for mount in mounts_below(root.source.path, facts.mounts):
        parts = _named_parts(mount.point.relative_to(root.source.path))
        if parts[:2] == STEPS:
            yield error(
                "sub-mount",
                "A build runs, or has left a mount",
                f"{mount.point} is mounted, and would stay so when the engine is stopped.",
                f"Wait until the build has ended. If none runs: umount {mount.point}",
            )
        elif not _is_the_engines(parts, frozenset(facts.binds)):
            inner = mount.point.relative_to(root.source.path)
            yield error(
                "sub-mount",
                "A part of the data root is a file system of its own",
                f"{mount.point} is mounted from {mount.source} ({mount.kind}), by something else than the engine.",
                f"Stop what uses it, unmount it for the move (umount {mount.point}, and its line in /etc/fstab), and "
                f"mount it on {root.target.resolved / inner} when the move is done. Or copy it into the root first.",
            )


def linked(_facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """A link is copied as it is. What it says from the root's place on leads somewhere else from another place."""
    relative = {part: said for part, said in root.source.links.items() if not said.startswith("/")}
    away = {part: said for part, said in root.source.links.items() if said.startswith("/")}
    if strays := [part for part, said in relative.items() if _leads_out(part, said)]:
        yield error(
            "part-linked",
            "A part of the data root is elsewhere, by a link that only leads there from where the root is now",
            f"In {root.source.path}: {', '.join(f'{part} -> {relative[part]}' for part in strays)}.",
            "Let it say the whole path: ln -sfn /WHOLE/PATH LINK; then it stays there. Or bring it into the root.",
        )
    if away:
        yield warning(
            "part-elsewhere",
            "A part of the data root is elsewhere, and stays there",
            f"In {root.source.path}: {', '.join(f'{part} -> {said}' for part, said in away.items())}. The new root has "
            "the same link, and so has the old one.",
            "Nothing has to be done. To move it, too, bring it into the root first.",
        )


def _leads_out(part: str, said: str) -> bool:
    """Whether a relative link leads out of the root; within it all goes along."""
    depth = len(PurePosixPath(part).parts) - 1
    for name in PurePosixPath(said).parts:
        depth += -1 if name == ".." else 1
        if depth < 0:
            return True
    return False


def subvolumes(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    if root.source.subvolumes:
        shown = ", ".join(root.source.subvolumes[:5])
        yield error(
            "subvolume",
            "A part of the data root is a btrfs subvolume of its own",
            f"Below {root.source.path}: {shown}. It would be an empty directory in the copy.",
            "Turn it into a directory (cp -a --reflink=always), or move it out of the data root.",
        )


def missing(facts: HostFacts) -> Iterator[Finding]:
    """What is gone already would be missed after the next start, on whatever root, and the move be blamed for it."""
    if facts.missing:
        yield error(
            "source-incomplete",
            "Something that the engine holds is not on its disk any more",
            f"{whole.told(facts.missing)}.",
            "Restore it, or remove what cannot be restored, and make it anew: docker rm, docker rmi, docker volume rm.",
        )


def _named_parts(inner: PurePosixPath) -> tuple[str, ...]:
    """Below the directory that an engine with remapped users works in."""
    first, *others = inner.parts
    return tuple(others) if REMAPPED.fullmatch(first) else inner.parts


def _is_the_engines(parts: tuple[str, ...], named: frozenset[str]) -> bool:
    """What dockerd mounts below its root: layers, shared memory and secrets of containers, volumes in use that have a
    device (those are `named`), plugins."""
    match parts:
        case (driver, _, view, *_) if (driver, view) in VIEWS:
            return True
        case ("containers", _, "mounts" | "secrets", *_):
            return True
        case ("volumes", volume, "_data"):
            return f"volume {volume}" in named
        case ("plugins", *_):
            return True
        case ("rootfs", _, _, *_):  # where containerd's snapshots are put together
            return True
        case _:
            return False


def unneeded(facts: HostFacts) -> Iterator[Finding]:
    """What could go before it is copied; the operator decides, for who else would know whether it is needed."""
    moved = sum(root.source.size.allocated for root in facts.roots)
    least = max(WORTH, moved // SHARE)
    if parts := [f"{what} {wording.size(size)} ({way})" for what, size, way in _spare(facts) if size >= least]:
        yield warning(
            "much-unneeded",
            "Much would be moved that no container needs, or logs that grow without an end",
            f"Of {wording.size(moved)}: {'; '.join(parts)}. All of it is moved along.",
            "Remove first what you do not need; that frees at least this much. Do not use `docker system prune --all`: "
            "it removes relocator's image, too.",
        )


def _spare(facts: HostFacts) -> Iterator[tuple[str, int, str]]:
    """Of the roots that move: what it is, its bytes, and the command that removes it."""
    found = facts.unneeded
    if facts.root(_kept_in(facts)):
        yield "build cache", found.cache, "docker builder prune"
        yield "images without a name", found.untagged, "docker image prune"
        yield "images that no container uses", found.unused, "docker image rm NAME"
    if facts.root(RootKind.DATA_ROOT):
        for name, size in sorted(found.logs.items(), key=lambda log: (-log[1], log[0])):
            yield f"the log of {name}", size, f"truncate -s 0 $(docker inspect -f '{{{{.LogPath}}}}' {name})"


def _kept_in(facts: HostFacts) -> RootKind:
    """The root that images and build cache are in."""
    apart = facts.engine.store == CONTAINERD and facts.containerd is not None and not facts.containerd.is_managed
    return RootKind.IMAGE_STORE if apart else RootKind.DATA_ROOT

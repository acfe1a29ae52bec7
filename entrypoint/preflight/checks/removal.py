"""The checks of a root that is to be removed: the engine works on the new one, and nobody needs the old one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, error, warning
from entrypoint.host.disks.filesystem import mounts_below
from entrypoint.host.machine.openers import Opener
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import is_around, is_inside, is_same, users


@dataclass(frozen=True)
class OldRoot:
    """A root that a move has left, and what the journal says of the last move.

    That has put the data root on `target` and containerd's on `images` (empty if that has never moved), for the engine
    of this id; `lost` is what the engine lacks since.
    """

    path: PurePosixPath
    target: str
    engine_id: str
    images: str = ""
    lost: tuple[str, ...] = ()
    in_use: bool = False
    openers: tuple[Opener, ...] = ()
    mentions: tuple[str, ...] = ()


def where(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    """The engine must work where the last move has put it, and its next start must find the same."""
    if str(facts.data_root) != old.target:
        yield error("root-differs", "The engine does not run where the last move has put it",
                    f"It runs on {facts.data_root}; the last move was to {old.target}.",
                    "Look at both, and remove by hand what is not needed.")  # fmt: skip
    if facts.configured_root != facts.data_root:
        yield error("configured-root-differs", "The engine's next start would find another root",
                     f"It runs on {facts.data_root}; configured is {facts.configured_root}.",
                    "Put that right, restart the engine, and run again.")  # fmt: skip


def whose(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    if facts.engine.engine_id != old.engine_id:
        yield error("another-engine", "This is not the engine that was moved",
                    f"Its id is {facts.engine.engine_id}, it was {old.engine_id}.",
                    "Find out why; the old root may be the only one that has the old engine's data.")  # fmt: skip


def lost(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    """The old root may have the last copy of it."""
    if old.lost:
        yield error("only-in-old-root", "The engine lacks what it held before the last move",
                    "; ".join(old.lost[:5]), "Bring it back first (`relocator rollback` shows what that gives up), or "
                    "remove the old root by hand.")  # fmt: skip


def images(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    """containerd must work where the last move has put it."""
    found = facts.containerd
    if old.images and (found is None or not found.is_open or str(found.root) != old.images):
        where = f"It works on {found.root}" if found else "The engine keeps its images elsewhere"
        yield error("root-differs", "containerd does not work where the last move has put it",
                    f"{where}; the move has put it on {old.images}.",
                    "Look at both, and remove by hand what is not needed.")  # fmt: skip


def apart(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    """By names, and by what is really there. The facts' target is the old root."""
    found = facts.containerd
    if found and (old.path in found.root.parents or found.root in (old.path, *old.path.parents)):
        yield error("roots-nested", "The old root and containerd's are not apart", f"{old.path}, {found.root}.",
                    "Move containerd's root elsewhere first.")  # fmt: skip
    for source in (root.source for root in facts.roots):
        nested = old.path in source.path.parents or source.path in (old.path, *old.path.parents)
        if nested or any(ask(source, facts.first.target) for ask in (is_same, is_inside, is_around)):
            yield error("roots-nested", "The old root and the engine's are not apart", f"{old.path}, {source.path}.",
                        "Look with findmnt at what is mounted where; remove by hand what is not needed.")  # fmt: skip


def mounts(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    for mount in mounts_below(old.path, facts.mounts):
        yield error("old-root-mounts", "Something is mounted in the old root", f"{mount.point} ({mount.source}).",
                    f"Unmount it if nobody needs it: umount {mount.point}")  # fmt: skip


def bound(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    for name, path in users(old.path, facts.binds, facts.mounts):
        yield error("old-root-bound", "Something uses a path in the old root", f"{name}: {path}.",
                    "Make it anew with a path in the new root, or with a volume's name.")  # fmt: skip


def in_use(facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    if old.in_use:
        yield error("old-root-in-use", "An engine works on the old root", f"Its databases in {old.path} are locked.",
                    f"See which: fuser -v {old.path}")  # fmt: skip


def opened(_facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    for opener in old.openers:
        yield error("old-root-open", "Something on the host has files of the old root open", f"{opener.text}.",
                    opener.end or f"Let it use {old.target}: change its configuration, and start it anew.")  # fmt: skip


def named(_facts: HostFacts, old: OldRoot) -> Iterator[Finding]:
    if old.mentions:
        yield warning("old-root-named", "Files of the host name a path in the old root",
                      f"{', '.join(old.mentions[:5])}{' …' if old.mentions[5:] else ''}: {old.path}.",
                      f"Let them name {old.target}.")  # fmt: skip

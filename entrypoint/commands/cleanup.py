"""Removing the old root, as a command: after the new one is proven again, and only what the journal says was left.

Removed is what the engine itself keeps in a root; whatever else lies beside it stays. The record of the removal is
written before it begins, so that one that was cut off is known as such, and goes on.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import PurePosixPath

from entrypoint.console import wording
from entrypoint.console.errors import ExitCode, Interrupted, RollbackError
from entrypoint.console.events import Phase, log, phase
from entrypoint.engine.drivers import STORAGE_DRIVERS
from entrypoint.engine.holdings import written_since
from entrypoint.engine.holdings.in_use import is_in_use
from entrypoint.engine.inventory import Inventory
from entrypoint.host.confined.removal import REMOVING, Removal
from entrypoint.host.disks import obstacles
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.machine.mentions import mentions
from entrypoint.host.machine.openers import openers
from entrypoint.host.machine.standing import our_containers
from entrypoint.journal import finished
from entrypoint.journal.amiss import Kind
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Run
from entrypoint.journal.unfinished import KEPT, NAME, Unfinished
from entrypoint.move.context import Context
from entrypoint.move.proof import intact
from entrypoint.move.recovery import require_no_worker, settle_first
from entrypoint.move.roots.old_roots import Remains, moves, old_roots
from entrypoint.move.worker import handover
from entrypoint.plan.plan import Direction
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight import preflight
from entrypoint.preflight.checks.removal import OldRoot
from entrypoint.preflight.gathering import gather
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import RootKind, Size, measure

MARKS = (NAME, finished.NAME)
# What dockerd makes in its root, in this version or an older one (moby, daemon/daemon.go and the stores below it).
ENGINES_OWN = frozenset({
    "buildkit", "builder", "containerd", "containers", "engine-id", "image", "network", "nri", "plugins", "policy",
    "rootfs", "runtimes", "swarm", "tmp", "trust", "volumes", *MARKS,
    *(driver.name for driver in STORAGE_DRIVERS),
})  # fmt: skip
# And containerd in its own: a directory a plugin, named for it (containerd docs/ops.md); `opt` is Debian's.
CONTAINERDS, CONTAINERDS_OWN = "io.containerd.", frozenset({"opt", "tmpmounts", *MARKS})
EVERY = 5.0  # seconds between two words about the progress


def clean_up(context: Context, *, agreed: bool) -> ExitCode:
    """Remove every old root; without agreement, only tell what that would be.

    Raises PreflightError for what speaks against it.
    """
    if settle_first(context) is ExitCode.HANDED_OVER:
        return ExitCode.HANDED_OVER
    if not context.journal.exists():
        log.info("cleanup.nothing")
        return ExitCode.DONE
    with context.journal.locked():  # from the proof to the end: nobody moves the engine meanwhile
        require_no_worker(context.services)
        clean(context, agreed=agreed)
    return ExitCode.DONE


def clean(context: Context, *, agreed: bool) -> None:
    say_kept(context.host, context.journal)
    say_unfinished(context.host, context.journal)
    found = old_roots(context.host, context.journal)
    if not found:
        log.info("cleanup.nothing")
        return
    sizes = [prove(context, one) for one in found]
    if not agreed:
        log.info("cleanup.asked", agree="relocator cleanup --yes")
        return
    for one, size in zip(found, sizes, strict=True):
        remove(context.host, one, size)


def prove(context: Context, one: Remains) -> Size:
    """On a fresh connection: the engine is where the last move has put it, and nobody needs the old root.

    Returns what the old root takes.
    """
    with phase(Phase.PREFLIGHT):
        found = moves(context.journal)
        last = found[-1]
        is_asked = one.root.kind is RootKind.IMAGE_STORE or last.plan.root(RootKind.IMAGE_STORE)
        asked = of_images(found) if is_asked else None
        request = Request(PurePosixPath(one.path), only=None if asked else Only.DATA_ROOT)
        facts = gather(context.host, context.services, request, handover.UNIT, our_containers())
        findings = preflight.check_removal(facts, old_root(context.host, last, one, asked))
        for finding in findings:
            log.warning("finding", **asdict(finding))
    preflight.require(findings, "removal")
    held = facts.inventory
    log.info("cleanup.proven", root=str(facts.data_root), containers=len(held.containers), images=held.image_count,
             volumes=len(held.volumes))  # fmt: skip
    size = measure(context.host.path(one.path))
    log.info("cleanup.found", root=one.path, size=wording.size(size.allocated), entries=size.entries)
    say_only_there(context.host, found, one, held)
    say_written_behind(context.host, one)
    return size


def of_images(found: Sequence[Remains]) -> RootMove | None:
    """The last move of containerd's root."""
    roots = (move.plan.root(RootKind.IMAGE_STORE) for move in reversed(found))
    return next((root for root in roots if root), None)


def say_kept(host: Host, journal: Journal) -> None:
    """The copy of the last run, if that failed after an engine had been started on it: a person's to remove."""
    last = next(reversed(journal.runs()), None)
    outcome = (last.outcome() or {}) if last else {}
    if last is None or outcome.get("left", "") in ("", KEPT):
        return
    for target in targets(last):
        place = host.path(target)
        held = {one.name for one in place.iterdir()} if place.is_dir() else set()
        if held - {"lost+found"} and not is_in_use(place):
            log.warning("cleanup.copy", root=target, why=outcome["left"])


def targets(run: Run) -> Iterator[str]:
    begun = next(iter(run.records()), {})
    yield from filter(None, (begun.get("target"), *(begun.get("containerd") or ())[1:]))


def say_unfinished(host: Host, journal: Journal) -> None:
    """Copies that failed attempts have left for the next: nobody may go on with them, if that went elsewhere."""
    for target in dict.fromkeys(target for run in journal.runs() for target in targets(run)):
        if Unfinished.read(host.path(target)):
            log.warning("cleanup.unfinished", root=target)


def say_only_there(host: Host, found: Sequence[Remains], one: Remains, now: Inventory) -> None:
    """What a way back has left was in use, and holds what came between the move and that."""
    before = [move for move in found if move.run.number < one.run.number]
    stored = one.run.inventory()
    if one.plan.direction is not Direction.BACK or not before or stored is None:
        return
    held = from_json(Inventory, stored)
    is_images = one.root.kind is RootKind.IMAGE_STORE
    root, since = host.path(one.path) / one.root.within, intact.started_at(before[-1].run)
    only = written_since.between(now, held, root, since, root if is_images else None, alone=is_images)
    for what in only.made:
        log.warning("cleanup.only", what=what)
    for place in only.written:
        log.warning("cleanup.written", place=place.place, files=place.files, size=wording.size(place.size))


def say_written_behind(host: Host, one: Remains) -> None:
    """What has come into an old root since the engine left it: whoever has written there has not seen the move."""
    stored = one.run.inventory("left") or one.run.inventory()
    root, is_images = host.path(one.path) / one.root.within, one.root.kind is RootKind.IMAGE_STORE
    if stored is None or one.is_begun or not root.is_dir():  # what a removal has begun with, it has renamed
        return
    homes = [place.name for place in root.iterdir() if is_own(place.name, one) and place.name not in MARKS]
    held = from_json(Inventory, stored)
    for place in written_since.behind(root, homes, intact.left_at(one.run), held, is_images=is_images):
        log.warning("cleanup.behind", root=one.path, place=place.place, files=place.files,
                    size=wording.size(place.size))  # fmt: skip


def old_root(host: Host, last: Remains, one: Remains, along: RootMove | None = None) -> OldRoot:
    """An old root as the journal tells of it; `along` is the last move of containerd's, if that is asked for."""
    return OldRoot(
        path=PurePosixPath(one.path),
        target=last.plan.data_root(is_target=True),
        engine_id=last.plan.target_engine_id,
        images=along.target if along else "",
        lost=tuple(amiss.text for amiss in last.run.amiss() if amiss.kind is Kind.HELD),
        in_use=is_in_use(host.path(one.path) / one.root.within),
        openers=openers(host, PurePosixPath(one.path)),
        mentions=mentions(host, PurePosixPath(one.path)),
    )


def remove(host: Host, one: Remains, size: Size) -> None:
    """Remove one old root. Raises Interrupted, and RollbackError where something could not be removed."""
    root = host.path(one.path)
    one.run.append(Event.CLEANUP, root=one.path)
    with suppress(OSError):  # the removal tells of what cannot be removed
        finished.Finished.end(root)  # first of all: half a root is not to be taken for one
    host.trace("cleanup.begun")
    removal = Removal(root, progress=Progress(one.path, size.entries))
    names = {entry.name for entry in root.iterdir()}
    own = {name for name in names if is_own(name, one)}
    try:
        removal.remove(sorted(own))
    except KeyboardInterrupt as interrupt:
        raise Interrupted(f"Interrupted: {one.path} is removed in part.", "The engine does not use it.",
                          "To go on: relocator cleanup --yes") from interrupt  # fmt: skip
    if removal.problems:
        raise RollbackError(
            f"Not everything in {one.path} could be removed.",
            details="\n".join(obstacles.told(host, one.path, problem) for problem in removal.problems)
            + "\nThe engine runs on its new root and needs none of it.",
            resolution="Then, to go on: relocator cleanup --yes",
        )
    host.trace("cleanup.emptied")
    one.run.append(Event.CLEANED, root=one.path)
    log.info("cleanup.removed", root=one.path, removed=removal.removed)
    leave_or_remove(host, one, sorted(names - own - {"lost+found"}))


def is_own(name: str, one: Remains) -> bool:
    """Whether the engine keeps what has this name in a data root, or containerd in its own."""
    if one.root.kind is RootKind.IMAGE_STORE:
        return name in CONTAINERDS_OWN or name.startswith((CONTAINERDS, REMOVING))
    return name in (*ENGINES_OWN, one.root.within) or name.startswith(REMOVING)


def leave_or_remove(host: Host, one: Remains, others: list[str]) -> None:
    """The empty directory goes too, unless it is a mount point or holds what is not the engine's."""
    if others:
        log.warning("cleanup.kept", root=one.path, names=", ".join(others[:20]))
        return
    try:
        host.path(one.path).rmdir()
    except OSError as problem:
        log.info("cleanup.directory", root=one.path, kept=problem.strerror)


class Progress:
    """A word now and then."""

    def __init__(self, root: str, entries: int) -> None:
        self._root, self._entries, self._told = root, entries, time.monotonic()

    def __call__(self, removed: int) -> None:
        if time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            log.info("cleanup.progress", root=self._root, removed=removed, entries=self._entries)

"""What moves have left behind: the old roots, and whether a directory is still the one that was left."""

import stat
from contextlib import suppress
from dataclasses import dataclass, replace

from entrypoint.console.errors import JournalError
from entrypoint.console.events import Phase
from entrypoint.engine.holdings.holdings import engine_id
from entrypoint.host.disks.filesystem import birth, born_at
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.journal.unfinished import this_boot
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.roots import Left


@dataclass(frozen=True)
class Remains:
    """An old root, the run that has left it, and that run's plan."""

    run: Run
    plan: Plan
    root: RootMove

    @property
    def path(self) -> str:
        return self.root.source

    @property
    def is_begun(self) -> bool:
        """Whether a removal was begun, and so may have been cut off."""
        return self._has(Event.CLEANUP)

    @property
    def is_removed(self) -> bool:
        return self._has(Event.CLEANED)

    def _has(self, event: Event) -> bool:
        return any((record["event"], record.get("root", self.path)) == (event, self.path)
                   for record in self.run.records())  # fmt: skip


def moves(journal: Journal) -> tuple[Remains, ...]:
    """The runs that have moved the engine, the oldest first, with the first root of each. Raises JournalError."""
    plans = [(run, plan_of(run)) for run in journal.runs() if run.has_arrived]
    return tuple(Remains(run, plan, plan.first) for run, plan in plans)


def plan_of(run: Run) -> Plan:
    """A run's plan. Raises JournalError for one that another version has written."""
    try:
        return from_json(Plan, run.plan()["plan"])
    except (KeyError, ValueError) as error:
        raise run.unreadable("has a plan of another version", repr(error)) from error


def old_roots(host: Host, journal: Journal) -> tuple[Remains, ...]:
    """What can be removed: left by a move, not the target of a later one, not removed yet, and still the same.

    Not what an adoption has left, nor what was left when that was taken back: nothing of it was copied.
    """
    found: dict[str, Remains] = {}
    for move, before in zip(all_moves := moves(journal), (None, *all_moves), strict=False):
        for root in move.plan.roots:
            one = replace(move, root=root)
            found.pop(root.target, None)
            if is_copied(move.plan.direction, before.plan.direction if before else None) and not one.is_removed:
                found[one.path] = one
            else:
                found.pop(one.path, None)
    return tuple(one for one in found.values() if is_same_directory(host, one.run, one.root, one.plan.engine_id))


def is_copied(direction: Direction, before: Direction | None) -> bool:
    """Whether what a move has left is anywhere else, too; `before` is the direction of the move before it."""
    return direction is not Direction.ADOPT and (direction, before) != (Direction.BACK, Direction.ADOPT)


def how_left(host: Host, journal: Journal, path: str) -> Left | None:
    """What becomes of a root that a move on this host has left, or has made and not kept; nothing of any other."""
    if is_failed_copy(host, journal, path):
        return Left.FAILED
    one = next((one for one in old_roots(host, journal) if one.path == path), None)
    if one is None:
        return None
    is_last = one.run.number == moves(journal)[-1].run.number
    return Left.WAY_BACK if is_last and one.plan.direction is not Direction.BACK else Left.ASIDE


def is_failed_copy(host: Host, journal: Journal, path: str) -> bool:
    """Whether the last run that had to do with a directory has copied to it, started the engine there, and gone back.

    What was written there then is only there, and what was written since only elsewhere.
    """
    for run in reversed(journal.runs()):
        if (copy := _copy_of(run, path)) is not None:
            is_taken_back = (run.outcome() or {}).get("outcome") in (Outcome.ROLLED_BACK, Outcome.BROKEN)
            return is_taken_back and _is_started(run) and _is_same(host, run, path, *copy)
    return False


def _copy_of(run: Run, path: str) -> tuple[Direction, list[int]] | None:
    """What a run was to do to a directory, if this was a target of it, and by which numbers that is known."""
    with suppress(JournalError, KeyError, TypeError):
        plan, copied = plan_of(run), run.plan()["copied"]
        for root, copy in zip(plan.roots, copied, strict=True):
            if root.target == path:
                return plan.direction, list(copy["target"])
    return None


def _is_started(run: Run) -> bool:
    return any((record["event"], record.get("step")) == (Event.INTENT, Phase.START) for record in run.records())


def _is_same(host: Host, run: Run, path: str, direction: Direction, identity: list[int]) -> bool:
    with suppress(OSError):
        info = host.path(path).lstat()
        same_boot = run.records()[0].get("boot") == this_boot()
        is_same = info.st_ino == identity[1] and (info.st_dev == identity[0] or not same_boot)
        is_later = born_at(host.path(path)) > float(run.records()[-1]["at"])  # a number is given again
        return is_same and not is_later and direction is Direction.FORTH
    return False


def is_same_directory(host: Host, run: Run, root: RootMove, owner: str) -> bool:
    """Whether the source of a move is still the directory that was left.

    Within one boot it is known by its device and inode; after a reboot the device may have another number. The root of
    any file system has the same inode number, and a number is given again: so it must have been made at the same
    instant too, and if it says whose it is, be this engine's, the `owner`.
    """
    place = host.path(root.source)
    try:
        info = place.lstat()
    except OSError:
        return False
    device, inode = root.identity
    same_boot = run.records()[0].get("boot") == this_boot()
    is_same = stat.S_ISDIR(info.st_mode) and info.st_ino == inode and (info.st_dev == device or not same_boot)
    return is_same and birth(place) == root.born and engine_id(place / root.within) in ("", owner)


def frees(run: Run) -> int | None:
    """Bytes that the removal of the root that a run has left gives back, as its plan measured them.

    Not known of one on the same file system, whose layers have two names there.
    """
    try:
        plan = plan_of(run)
    except JournalError:
        return None
    known = plan.direction is Direction.FORTH and not any(root.links for root in plan.roots)
    return sum(root.size for root in plan.roots) if known else None

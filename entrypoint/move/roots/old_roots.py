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
from entrypoint.preflight.roots import Left


@dataclass(frozen=True)
class Remains:
    """An old root, the run that has left it, and that run's plan, as that root sees it."""

    run: Run
    plan: Plan
    is_of_containerd: bool = False

    @property
    def path(self) -> str:
        return self.plan.source

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
    """The runs that have moved the engine, the oldest first. Raises JournalError."""
    committed = [run for run in journal.runs() if run.has_arrived]
    return tuple(Remains(run, plan_of(run)) for run in committed)


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
        for number, plan in enumerate(move.plan.each()):
            one = replace(move, plan=plan, is_of_containerd=move.plan.alone or number > 0)
            found.pop(one.plan.target, None)
            if is_copied(move.plan.direction, before.plan.direction if before else None) and not one.is_removed:
                found[one.path] = one
            else:
                found.pop(one.path, None)
    return tuple(one for one in found.values() if is_same_directory(host, one.run, one.plan))


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
            outcome = (run.outcome() or {}).get("outcome")
            return outcome in (Outcome.ROLLED_BACK, Outcome.BROKEN) and _is_started(run) and _is_same(host, run, *copy)
    return False


def _copy_of(run: Run, path: str) -> tuple[Plan, list[int]] | None:
    """The part of a run's plan that a directory was the target of, and by which numbers it is known."""
    with suppress(JournalError, KeyError, TypeError):
        stored, plan = run.plan(), plan_of(run)
        for one, name in zip(plan.each(), ("copied", "copied_containerd"), strict=False):
            if one.target == path and stored[name]:
                return one, list(stored[name]["target"])
    return None


def _is_started(run: Run) -> bool:
    return any((record["event"], record.get("step")) == (Event.INTENT, Phase.START) for record in run.records())


def _is_same(host: Host, run: Run, plan: Plan, identity: list[int]) -> bool:
    with suppress(OSError):
        info = host.path(plan.target).lstat()
        same_boot = run.records()[0].get("boot") == this_boot()
        is_same = info.st_ino == identity[1] and (info.st_dev == identity[0] or not same_boot)
        is_later = born_at(host.path(plan.target)) > float(run.records()[-1]["at"])  # a number is given again
        return is_same and not is_later and plan.direction is Direction.FORTH
    return False


def is_same_directory(host: Host, run: Run, plan: Plan) -> bool:
    """Whether the source of a move is still the directory that was left.

    Within one boot it is known by its device and inode; after a reboot the device may have another number. The root of
    any file system has the same inode number, and a number is given again: so it must have been made at the same
    instant too, and if it says whose it is, be this engine's.
    """
    place = host.path(plan.source)
    try:
        info = place.lstat()
    except OSError:
        return False
    device, inode = plan.source_identity
    same_boot = run.records()[0].get("boot") == this_boot()
    is_same = stat.S_ISDIR(info.st_mode) and info.st_ino == inode and (info.st_dev == device or not same_boot)
    return is_same and birth(place) == plan.source_born and engine_id(place / plan.within) in ("", plan.engine_id)


def frees(run: Run) -> int | None:
    """Bytes that the removal of the root that a run has left gives back, as its plan measured them.

    Not known of one on the same file system, whose layers have two names there.
    """
    try:
        plan = run.plan()["plan"]
    except JournalError:
        return None
    roots = [one for one in (plan, plan.get("containerd")) if one][1 if plan.get("alone") else 0 :]
    known = plan["direction"] == Direction.FORTH and not any(one["same_file_system"] for one in roots)
    return sum(int(one["size"]) for one in roots) if known else None

"""What a move would cost and leave: the plan with its figures, as a table for people and as one document for programs.

The document is an interface: `version` changes when something in it is taken away or means something else. It is
described in docs/json.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from entrypoint.console import wording
from entrypoint.console.findings import Finding
from entrypoint.copy.pace import throttle
from entrypoint.host.disks.filesystem import Mount
from entrypoint.plan import outline
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.request import Only
from entrypoint.preflight.roots import RootFacts, RootKind
from entrypoint.settings.file_edit import does

VERSION = 1
# Of the figures, what whoever begins a move needs to know; `plan` tells all of them.
NEEDED = frozenset({"source", "target", "containerd's root", "time to copy", "downtime", "units"})
# Copied by several `cp`, two cores, ext4 to ext4 on one disk, cold cache: 82,000 files in 2.0 GB took 9.5 s.
FILES_A_SECOND = 8_600
BYTES_A_SECOND = 210_000_000
SLOWER = 4  # times: an old disk, one that is in use, or a network's
# Of the downtime, in seconds: measured on two cores that had nothing else to do, with 1 to 60 containers.
STOPPING, STOP = 0.4, 0.04  # the engine, and each container
SYNC = 0.5  # copy what has changed, flush, switch; the looks for it come on top
LOOKS = 2  # by the final sync, and by the check
STARTING = 1.2  # the engine, if its last start is not noted
START, START_ALONE = 0.1, 0.3  # a container that the engine starts along with others; one that we start
PROVING = 0.4
WITHIN = 1.5  # times the estimate is what comes on such a machine
BY_US = frozenset({"no", "on-failure"})  # policies by which the engine does not start what it has stopped itself
LONGEST = 90.0  # seconds that systemd gives an engine that waits for a container without end


@dataclass(frozen=True)
class Estimate:
    """Seconds, and what they were taken from."""

    low: float
    high: float
    basis: str

    def text(self) -> str:
        return f"{wording.span(self.low)} to {wording.span(self.high)}; {self.basis}"

    def to_json(self) -> dict[str, Any]:
        return {"seconds": [round(self.low, 1), round(self.high, 1)], "basis": self.basis}


def copying(plan: Plan, facts: HostFacts) -> Estimate:
    """The pre-copy, while the engine runs."""
    if not is_copied(plan):
        return Estimate(0.0, 0.0, "the root is there already")
    entries = sum(root.entries for root in plan.roots)
    seconds = max(entries / FILES_A_SECOND, copied(plan, facts) / BYTES_A_SECOND)
    basis = (
        "measured once on two cores and one disk: 8,600 files and 210 MB a second; up to four times on a slower one, "
        "and longer where the disk or the processor is busy: the copy yields to everything"
    )
    if plan.bwlimit:
        limit = throttle.bytes_a_second(plan.bwlimit)
        return Estimate(max(seconds, copied(plan, facts) / limit), SLOWER * seconds + copied(plan, facts) / limit,
                        f"{basis}; --bwlimit={plan.bwlimit}")  # fmt: skip
    return Estimate(seconds, SLOWER * seconds, basis)


def downtime(facts: HostFacts, *, copies: bool = True) -> Estimate:
    """From the freeze until what ran runs again. The bytes do not matter; files, containers and what they do, do."""
    stopping, deaf = _stopping(facts)
    looking = LOOKS * sum(root.source.looking for root in facts.roots) if copies else 0.0
    starting, started = _starting(facts)
    expected = stopping + SYNC + looking + starting + PROVING
    looked = f"{looking:.1f} s to look at all files {LOOKS} times" if looking else ""
    longer = "longer on a busy machine, or where a container takes its time to end"
    basis = "; ".join(filter(None, (started, looked, deaf, _healthy(facts), longer)))
    return Estimate(expected, WITHIN * expected, basis)


def _stopping(facts: HostFacts) -> tuple[float, str]:
    """Until the engine is down: it stops all containers together, and waits for the slowest."""
    alive = sum(one.is_alive for one in facts.inventory.containers)
    waits = [(seconds if seconds >= 0 else LONGEST, one) for one, seconds in facts.deaf()]
    if not waits:
        return STOPPING + alive * STOP, ""
    longest, one = max(waits)
    return STOPPING + alive * STOP + longest, f"{longest:g} s until {one.container} is killed, for it is deaf"


def _starting(facts: HostFacts) -> tuple[float, str]:
    """Until the engine is up with all that ran. Its last start has in it those that it started then."""
    began, done = facts.service.starting
    is_known = done > began > 0
    alive = [one for one in facts.inventory.containers if one.is_alive]
    later = [one for one in alive if not (is_known and began <= one.started <= done + 1)]
    alone = sum(one.policy in BY_US for one in later)
    known = f"took {done - began:.1f} s" if is_known else "is not known"
    seconds = (done - began if is_known else STARTING) + START * (len(later) - alone) + START_ALONE * alone
    return seconds, f"the engine's last start {known}, running containers: {len(alive)}"


def _healthy(facts: HostFacts) -> str:
    """Health checks are waited for with the engine up."""
    checked = [(one.first_check, one.container) for one in facts.turnarounds if one.first_check]
    return "after it {:g} s until {} is asked for its health".format(*max(checked)) if checked else ""


def is_copied(plan: Plan) -> bool:
    """Whether the target is a copy that is made; a root that is adopted stays as it is, and the old one too."""
    return plan.direction is Direction.FORTH


def copied(plan: Plan, facts: HostFacts) -> int:
    """Bytes that the targets will take."""
    return sum(_copied(plan, root, seen) for root, seen in zip(plan.roots, facts.roots, strict=True))


def _copied(plan: Plan, root: RootMove, seen: RootFacts) -> int:
    """Bytes that one of them will take."""
    if not is_copied(plan):
        return 0
    return max(0, root.size - (seen.source.layer_bytes if root.links else 0))


@dataclass(frozen=True)
class Room:
    """Free bytes at the source and at the target: after the move, and after the old root was removed."""

    target: int
    source: int
    source_cleaned: int


def room(plan: Plan, facts: HostFacts) -> Room:
    """Of the first root's file systems, with what other roots take and give there."""
    pairs = list(zip(plan.roots, facts.roots, strict=True))
    source, target = facts.first.source.mount.device, facts.first.target.mount.device
    taken = {device: sum(_copied(plan, root, seen) for root, seen in pairs if seen.target.mount.device == device)
             for device in (source, target)}  # fmt: skip
    leaving = pairs if is_copied(plan) else []
    given = sum(root.size for root, seen in leaving if seen.source.mount.device == source)
    linked = sum(root.size - _copied(plan, root, seen) for root, seen in leaving if seen.is_on_one_file_system)
    here = max(0, facts.first.source.space.free - taken[source])
    there = max(0, facts.first.target.space.free - taken[target])
    return Room(there, here, here + given - linked)


def rows(plan: Plan, facts: HostFacts) -> dict[str, str]:
    """The plan's figures, a line each."""
    source, target, after, first = facts.first.source, facts.first.target, room(plan, facts), plan.first
    along = ", ".join((*plan.dependents, *plan.awaited))
    return {
        "source": f"{first.source} on {_place(source.mount)}: {wording.size(first.size)} in {first.entries} files and "
        "directories",
        "target": f"{first.target} on {_place(target.mount)}",
        **_along(plan, facts),
        "free at the target": f"{wording.size(target.space.free)} now, {wording.size(after.target)} after the move",
        "free at the source": f"{wording.size(source.space.free)} now, {wording.size(after.source)} after the move, "
        f"{wording.size(after.source_cleaned)} after `cleanup`",
        **_work(plan),
        "time to copy": copying(plan, facts).text(),
        "downtime": downtime(facts, copies=is_copied(plan)).text(),
        "units": f"stop: {', '.join(plan.every_unit)}; start: {', '.join(plan.every_started) or 'none'}"
        + (f"; along with them: {along}" if along else ""),
        "way back": "by itself if anything fails; until `cleanup`: relocator rollback",
    }  # fmt: skip


def _along(plan: Plan, facts: HostFacts) -> dict[str, str]:
    """containerd's root, if it moves along."""
    rows = {}
    for root, seen in list(zip(plan.roots, facts.roots, strict=True))[1:]:
        rows["containerd's root"] = (
            f"{root.source} on {_place(seen.source.mount)}: {wording.size(root.size)} in {root.entries} files and "
            f"directories, to {root.target} on {_place(seen.target.mount)}"
        )
    return rows


def _work(plan: Plan) -> dict[str, str]:
    if not is_copied(plan):
        return {"engine up": "nothing is copied", "engine down": "it is pointed at the root that is in the target"}
    how = "linked" if plan.first.links else "copied"
    layers = wording.counted(plan.first.layers, "image layer")
    return {
        "engine up": f"{layers} {how} once, everything else copied, then what has changed, in passes",
        "engine down": "what has changed since the last pass began is copied and checked",
    }


def _place(mount: Mount) -> str:
    return f"{mount.point} ({mount.kind}, {mount.source})"


def to_json(plan: Plan, facts: HostFacts, findings: Iterable[Finding]) -> dict[str, Any]:
    source, target, after, first = facts.first.source, facts.first.target, room(plan, facts), plan.first
    inodes = target.space.inodes
    return {
        **head("planned", findings),
        "source": {
            **_mounted(first.source, source.mount),
            "bytes": first.size,
            "entries": first.entries,
            "free_bytes": source.space.free,
            "free_bytes_after": after.source,
            "free_bytes_after_cleanup": after.source_cleaned,
        },
        "target": {
            **_mounted(first.target, target.mount),
            "created": list(first.created),
            "free_bytes": target.space.free,
            "free_bytes_after": after.target,
            "free_inodes": inodes,
            "free_inodes_after": None if inodes is None else inodes - first.entries,
        },
        "containerd": _containerd(plan, facts),
        "only": Only.CONTAINERD if first.kind is RootKind.IMAGE_STORE else None,
        "copy": {
            "layers": first.layers,
            "layer_bytes": source.layer_bytes,
            "layers_are": "hard-linked" if first.links else "copied",
            "bytes": copied(plan, facts),
            "while_down": "what has changed since the last pass began" if is_copied(plan) else "nothing",
            "estimate": copying(plan, facts).to_json(),
        },
        "downtime": downtime(facts, copies=is_copied(plan)).to_json(),
        "containers": [
            {"name": one.name, "status": one.status, "fate": outline.fate(one)} for one in facts.inventory.containers
        ],
        "units": {
            "stopped": list(plan.every_unit),
            "started": list(plan.every_started),
            "along": [*plan.dependents, *plan.awaited],
        },
        "edits": [
            {"path": edit.path, "does": does(edit), "diff": edit.diff()}
            for edit in plan.edits
            if edit not in plan.waking
        ],
        "steps": list(outline.steps(plan)),
        "way_back": ["relocator rollback", "relocator rollback --yes"],
    }


def _containerd(plan: Plan, facts: HostFacts) -> dict[str, Any] | None:
    """containerd's root in the same words."""
    for root, seen in list(zip(plan.roots, facts.roots, strict=True))[1:]:
        source = {**_mounted(root.source, seen.source.mount), "bytes": root.size, "entries": root.entries}
        target = {**_mounted(root.target, seen.target.mount), "created": list(root.created)}
        return {"source": source, "target": target}
    return None


def _mounted(path: str, mount: Mount) -> Mapping[str, Any]:
    return {"path": path, "mount": str(mount.point), "file_system": mount.kind, "device": mount.source}


def head(outcome: str, findings: Iterable[Finding]) -> dict[str, Any]:
    """What every document has: `outcome` is `planned`, `refused` or `already-there`."""
    return {"version": VERSION, "outcome": outcome, "findings": [asdict(finding) for finding in findings]}

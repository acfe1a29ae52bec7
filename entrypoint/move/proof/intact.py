"""Whether the roots that a move has left are there, whole, and as they were left, as their files tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from entrypoint.console.events import Phase
from entrypoint.engine.containerd.service import MANAGED_ROOT
from entrypoint.engine.drivers import MOVED
from entrypoint.engine.holdings import whole
from entrypoint.engine.holdings.whole import Lack, Roots
from entrypoint.engine.holdings.written_since import MEASURING
from entrypoint.engine.inventory import Inventory
from entrypoint.host.children import run as run_program
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.journal.record import Event, Run
from entrypoint.move.roots.old_roots import is_same_directory
from entrypoint.plan.plan import Plan
from entrypoint.preflight.roots import RootKind


@dataclass(frozen=True)
class AsLeft:
    """Which of the old roots is not there, or another one; what they lack; and what was changed since in each."""

    gone: str = ""
    lacking: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def as_left(host: Host, run: Run, made: Plan) -> AsLeft:
    """Whether the old roots are there, whole, and as they were left; the next is asked only if the last is so."""
    gone = [root.source for root in made.roots if not is_same_directory(host, run, root, made.engine_id)]
    if gone:
        return AsLeft(gone[0])
    if lacking := tuple(lacks(host, run, made)):
        return AsLeft(lacking=lacking)
    found = {root.source: changed_since(host.path(root.source) / root.within, left_at(run)) for root in made.roots}
    return AsLeft(changed={root: changed for root, changed in found.items() if changed})


def lacks(host: Host, run: Run, made: Plan) -> Iterator[str]:
    """What the engine held when it left its roots, and is not there now. The files, for no engine can be asked."""
    if (stored := run.inventory("left") or run.inventory()) is None:
        return
    held, left = from_json(Inventory, stored), roots(host, made, is_target=False)
    if RootKind.DATA_ROOT in made.stays:  # the data root stayed, and is as it is now
        kept = [one for one in held.containers if (left.data / f"containers/{one.id}").is_dir()]
        held = replace(held, containers=tuple(kept), volumes={})
    left = replace(left, containerd=None) if is_shared(made) else left
    yield from (one.text for one in whole.missing(held, left))


def gone_since(host: Host, run: Run, made: Plan) -> tuple[Lack, ...]:
    """What was removed from a containerd root that both data roots use: nobody can bring that back."""
    stored = run.inventory()
    if stored is None or not is_shared(made):
        return ()
    held = from_json(Inventory, stored)
    return tuple(one for one in whole.missing(held, roots(host, made, is_target=False), live=True)
                 if one.kind in ("container", "image"))  # fmt: skip


def is_shared(made: Plan) -> bool:
    """Whether both of a move's data roots have their images in a containerd root that stays."""
    return RootKind.IMAGE_STORE in made.stays


def roots(host: Host, plan: Plan, *, is_target: bool) -> Roots:
    """Where an engine works before a move, or after it."""
    root, along = plan.data_root(is_target=is_target), plan.root(RootKind.IMAGE_STORE)
    data = host.path(root) / plan.within
    if not plan.is_of_containerd:
        return Roots(data)
    images = plan.place(RootKind.IMAGE_STORE, is_target=is_target)
    if not images and not host.path(images := f"{root}/{MANAGED_ROOT}").is_dir():
        return Roots(data)  # the engine's own containerd has not worked in it yet
    kept = plan.snapshots
    if along and PurePosixPath(kept).is_relative_to(along.source):
        kept = str(PurePosixPath(images, PurePosixPath(kept).relative_to(along.source)))
    return Roots(data, host.path(images), host.path(host.resolve(kept)) if kept else None, plan.namespace)


def changed_since(root: Path, instant: float) -> tuple[str, ...]:
    """What has changed in a root that nobody should use, but for files in layers: those may have other names elsewhere,
    and removing these changes them too."""
    search = ["find", str(root), "-xdev", "-mindepth", "1"]
    for driver in MOVED:
        search += ["-path", f"{root}/{driver.name}/*", "-not", "-type", "d", "-o"]
    search += ["-newerct", f"@{instant:.6f}", "-printf", "%P\\0"]
    return tuple(filter(None, run_program(search, timeout=MEASURING, check=False).stdout.split("\0")))


def left_at(run: Run) -> float:
    """When the engine had left the old root (seconds since 1970)."""
    return _at(run, (Event.DONE, Phase.FREEZE))


def _at(run: Run, *wanted: tuple[Event, Phase]) -> float:
    """When the first of these was recorded; a run that was finished by another may lack one."""
    found = {(record["event"], record.get("step")): float(record["at"]) for record in reversed(run.records())}
    return next((found[one] for one in wanted if one in found), float(run.records()[0]["at"]))


def started_at(run: Run) -> float:
    """When the engine was first started on the new root (seconds since 1970)."""
    return _at(run, (Event.INTENT, Phase.START), (Event.INTENT, Phase.SWITCH))

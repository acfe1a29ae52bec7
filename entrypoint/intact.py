"""Whether the roots that a move has left are there, whole, and as they were left, as their files tell."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from entrypoint.containerd import BLOBS, DATABASE, MANAGED_ROOT, snapshots
from entrypoint.findings import Finding, error, warning
from entrypoint.holdings import layer_directories
from entrypoint.host import Host
from entrypoint.host import run as run_program
from entrypoint.inventory import Inventory
from entrypoint.layers import DRIVERS
from entrypoint.log import Phase
from entrypoint.loss import MEASURING
from entrypoint.plan import Plan
from entrypoint.record import Event, Run
from entrypoint.remains import is_same_directory


def as_left(host: Host, run: Run, made: Plan) -> Iterator[Finding]:
    """Whether the old roots are there, whole, and as they were left."""
    gone = [one.source for one in made.each() if not is_same_directory(host, run, one)]
    if gone:
        yield error("old-root-gone", "The old root is not there any more", f"{gone[0]} is missing or another one.")
        return
    if lacking := tuple(lacks(host, run, made)):
        yield error("old-root-incomplete", "The old root is not complete any more", "; ".join(lacking[:5]))
        return
    for one in made.each():
        if changed := changed_since(host.path(one.source) / one.within, left_at(run)):
            yield warning(
                "old-root-changed",
                "Something in the old root was changed since the engine left it",
                f"In {one.source}: {', '.join(changed[:5])}. Whether it is still whole cannot be told.",
            )


def lacks(host: Host, run: Run, made: Plan) -> Iterator[str]:
    """What the engine held when it left its roots, and is not there now. The files, for no engine can be asked."""
    source = str(PurePosixPath(made.source, made.within))
    root, stored = host.path(source), run.inventory()
    if stored is None:
        return
    held = Inventory.from_json(stored)
    if made.alone:
        yield from lacks_of_containerd(host, made, held)
        return
    names = [f"containers/{one.id}/config.v2.json" for one in held.containers if not one.is_fleeting]
    names += [f"volumes/{name}" for name, driver in held.volumes.items() if driver == "local"]
    if made.is_of_containerd:
        yield from lacks_of_containerd(host, made, held)
    else:
        names += [f"image/{held.driver}/imagedb/content/{image.replace(':', '/')}" for image in held.images]
    names += layer_directories(root, [one.id for one in held.containers if not one.is_fleeting])
    yield from (f"{source}/{name} is missing" for name in names if not os.path.lexists(root / name))


def lacks_of_containerd(host: Host, made: Plan, held: Inventory) -> Iterator[str]:
    """Images by the content that they are named for; which snapshot is whose stands in its databases alone.

    Nothing is asked of a containerd root that had stayed where it was.
    """
    root = made.containerd.source if made.containerd else f"{made.source}/{MANAGED_ROOT}"
    if made.containerd or host.path(root).exists():
        names = [DATABASE, f"{snapshots(held.driver)}/metadata.db"]
        names += [f"{BLOBS}/{image.replace(':', '/')}" for image in held.images]
        yield from (f"{root}/{name} is missing" for name in names if not os.path.lexists(host.path(root) / name))


def changed_since(root: Path, instant: float) -> tuple[str, ...]:
    """What has changed in a root that nobody should use, but for files in layers: those may have other names elsewhere,
    and removing these changes them too."""
    search = ["find", str(root), "-xdev", "-mindepth", "1"]
    for driver in DRIVERS:
        search += ["-path", f"{root}/{driver}/*", "-not", "-type", "d", "-o"]
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

"""What a plan will do, in sentences, and what will become of each container."""

from collections.abc import Iterator

from entrypoint.console import wording
from entrypoint.engine.inventory import ALIVE, Container
from entrypoint.host.services import waking
from entrypoint.journal.finished import NAME
from entrypoint.journal.record import PLACE
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.roots import RootKind
from entrypoint.settings.file_edit import FileEdit, does

CALLED = {RootKind.DATA_ROOT: "the data root", RootKind.IMAGE_STORE: "containerd's root"}
WAITED_FOR = {RootKind.DATA_ROOT: "its data root", RootKind.IMAGE_STORE: "its images"}

HOLDING = ("hold: keep the copy up to date, with the engine up, until `relocator go`",)


def steps(plan: Plan) -> tuple[str, ...]:
    """The steps in order, a sentence each."""
    left = tuple(f"leave {root.source} as it is" for root in plan.roots)
    kept = f"keep the journal of the run in {PLACE}, ahead of every step"
    if plan.direction is not Direction.FORTH:
        return (kept, *_stop(plan), *_around(plan), *_mark(plan), *left)
    checked = "the copy and the content of every file" if plan.checksum else "the copy"
    which = "the source" if len(plan.roots) == 1 else "the sources"
    return (
        kept,
        *(copying(plan, root) for root in plan.roots),
        *(HOLDING if plan.holds else ()),
        *_stop(plan),
        f"copy what has changed since, flush it to the disk, and check {checked} against {which}",
        *_around(plan),
        *_mark(plan),
        *left,
    )


def copying(plan: Plan, root: RootMove) -> str:
    """The first copy of one root."""
    linked = "hard-link" if root.links else "copy"
    how = f"{linked} {wording.counted(root.layers, 'image layer')}, copy the rest of"
    return (
        f"{how if root.layers or not plan.is_of_containerd else 'copy'} {root.source} ({wording.size(root.size)}, "
        f"{root.entries} files and directories) to {root.target}; the engine runs"
    )


def _stop(plan: Plan) -> Iterator[str]:
    yield f"stop {' and '.join(plan.units)} in one operation; nothing can start them meanwhile"
    for service in plan.services:
        others = "end what others run with it, and " if service.ends_others else ""
        yield f"{others}stop {service.name}; nothing can start it either"


def _proof(plan: Plan) -> str:
    return "is in the adopted root" if plan.direction is Direction.ADOPT else "it held before"


def _wakes(edit: FileEdit) -> str:
    """An edit of what starts the engine when its disk is mounted after the boot (waking.py)."""
    if edit.path == waking.UNIT:
        if edit.after is None:
            return f"remove {edit.path}: no disk starts the engine any more when it is mounted"
        return f"write {edit.path}: starts the engine when its disk is mounted later than at boot"
    then = "wants that unit" if edit.after is not None else "starts the engine no more"
    return f"{does(edit)} {edit.path}: the mount of that disk {then}"


def _waits(edit: FileEdit, who: str, what: str) -> str:
    """An edit that makes somebody wait for a disk, or takes such a one away."""
    if edit.after is None:
        return f"remove {edit.path}: {who} waits for the disk that it leaves no more"
    return f"write {edit.path}: {who} waits for the disk of {what}, and does not start without it"


def _listens(edit: FileEdit) -> str:
    """An edit of what lets the engine's socket wait for the disks, too."""
    if edit.after is None:
        return f"remove {edit.path}: its socket listens without the disk that it leaves"
    return f"write {edit.path}: its socket waits for the same, and whoever asks without the disk gets an error at once"


def _mark(plan: Plan) -> Iterator[str]:
    """What the roots are told of themselves when the move is committed (adopted.mark)."""
    if plan.direction is Direction.BACK:
        yield from (f"remove {root.source}/{NAME}: it is not the root to use any more" for root in plan.roots)
    else:
        yield from (f"write {root.target}/{NAME}: that the move was committed, for this engine, on this host"
                    for root in plan.roots)  # fmt: skip


def _around(plan: Plan) -> Iterator[str]:
    """From the switch to the proof."""
    first, *others = plan.roots
    yield from (f"change {rule.path}: SELinux's types follow the root" for rule in plan.rules)
    yield from map(_wakes, plan.waking)
    yield _waits(plan.ordering, "the engine", WAITED_FOR[first.kind])
    yield from (_waits(service.ordering, "containerd", "its root") for service in plan.services)
    yield from map(_listens, plan.listening)
    yield from (f"{does(edit)} {edit.path}: what it names below the root" for edit in plan.follow)
    for root in others:
        yield f"{does(root.switch)} {root.switch.path}: {CALLED[root.kind]} is {root.target}"
    both = "".join(f"; without it {CALLED[root.kind]} would go back by itself" for root in others)
    yield f"{does(first.switch)} {first.switch.path}: from here on {CALLED[first.kind]} is {first.target}{both}"
    yield from (f"start {service.name}" for service in plan.services if service.started)
    yield f"start {' and '.join(plan.started) or 'nothing, for nothing ran'}, and the containers that ran"
    yield f"compare everything the engine holds with what {_proof(plan)}; if anything is missing, go back"


def fates(containers: tuple[Container, ...]) -> dict[str, str]:
    """What will happen to each container, by name; only `--rm` containers are lost."""
    return {one.name: fate(one) for one in containers}


def fate(container: Container) -> str:
    if container.auto_remove and container.status in ALIVE:
        return "is removed by the engine when it stops (--rm)"
    if container.service:
        return "is a task, which the swarm makes anew"
    if container.status in ALIVE:
        return f"stops and is {container.status} again after the move"
    return f"stays {container.status}"

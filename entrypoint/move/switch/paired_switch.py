"""Two files that change as one: the engine's own, which decides, and containerd's, which follows it.

No rename changes both. So between the two writes a power cut would leave an engine that is to start on one root with a
containerd on the other: both copies are complete then, and nothing is lost yet, but what is written from there on would
be in two roots that belong to no pair. That pair is never started: from before the first write until the run has ended,
containerd and the engine have a drop-in in /etc that runs a script before they start (guard.py).

the engine's file    containerd's file is made
as it was            as it was
as it is to be       as it is to be
neither              left alone: whoever has changed it meanwhile has looked at it

So the commit point is one rename still, that of the engine's file.
Where containerd's root moves alone there is one file, whose rename is the commit point by itself, and no pair.
"""

from entrypoint.console.errors import EngineError, MoveError, VerificationError
from entrypoint.engine.containerd.service import BLOBS, DATABASE, works_on
from entrypoint.engine.docker import until
from entrypoint.engine.inventory import Inventory, made_since
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.trace import trace
from entrypoint.move.context import Move
from entrypoint.plan.containerd_move import ContainerdMove
from entrypoint.plan.plan import Direction
from entrypoint.settings import edits, formats

SETTLING = 10.0  # seconds; systemd has already said "started", so the database is open


def prepare(move: Move, along: ContainerdMove) -> None:
    """All that is not yet a word on where its root is."""
    edits.require_unedited(move.host, along.switch)
    require_whole(move, along)
    for one in along.names:
        edits.write(move.host, one)


def switch(move: Move, along: ContainerdMove) -> None:
    """containerd's part of the switch; that of the engine comes right after it."""
    edits.write(move.host, along.switch)
    trace("switch.paired")


def follow(move: Move, along: ContainerdMove, *, is_switched: bool) -> None:
    """What the script does."""
    place = move.host.path(along.switch.path)
    if edits.content(place) in (along.switch.before, along.switch.after):
        edits.put(place, along.switch.after if is_switched else along.switch.before)


def take_back(move: Move, along: ContainerdMove) -> None:
    """containerd's files as they were; the engine's is that already."""
    edits.restore(move.host, along.switch, lambda root: root == _root_after(along))
    for one in along.names:
        edits.restore(move.host, one, lambda _root: False)


def _root_after(along: ContainerdMove) -> str | None:
    return formats.root_in(along.switch.after, along.switch.setting, along.switch.path)


def require_as_planned(move: Move, along: ContainerdMove) -> None:
    """Raises MoveError if containerd works on another root by now, or its file was edited meanwhile."""
    if not _works_on(move, along, along.source):
        raise MoveError(f"{along.service} does not work on {along.source} any more.")
    edits.require_unedited(move.host, along.switch)


def require_whole(move: Move, along: ContainerdMove) -> None:
    """Raises MoveError if what an engine finds its images by is in one of the roots only."""
    if move.plan.direction is Direction.ADOPT:
        return
    source, target = move.host.path(along.source), move.host.path(along.target)
    for name in (DATABASE, BLOBS):
        if (source / name).exists() and not (target / name).exists():
            raise MoveError(f"The engine would not find its images in {along.target}.", details=f"It has no {name}.")


def prove(move: Move, along: ContainerdMove, *, is_target: bool) -> None:
    """Raises VerificationError if containerd does not work on its root: on that of the same pair."""
    root = along.target if is_target else along.source
    try:
        until(lambda: _works_on(move, along, root), waiting_for=f"containerd on {root}", seconds=SETTLING)
    except EngineError as error:
        raise VerificationError(f"{along.service} does not work on {root}.") from error


def is_up_on(move: Move, along: ContainerdMove, root: str) -> bool:
    """Whether containerd's unit is up, and works on a root."""
    return move.systemd.unit(along.service).active_state in RUNNING and _works_on(move, along, root)


def require_none_made(move: Move, held: Inventory) -> None:
    """Where containerd's root goes back alone: raises MoveError for containers that the old one knows nothing of."""
    expected = move.expected() if move.plan.alone and move.plan.direction is Direction.BACK else None
    if expected is not None and (made := made_since(expected, held)):
        raise MoveError("Containers were made meanwhile, and would have no layers.", details=", ".join(made),
                        resolution="Remove them (docker rm), then run the same command again.")  # fmt: skip


def _works_on(move: Move, along: ContainerdMove, root: str) -> bool:
    return works_on(move.host, move.systemd.unit(along.service).main_pid, move.host.resolve(root))

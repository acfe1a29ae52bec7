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
from entrypoint.engine.inventory import Inventory, made_since
from entrypoint.host.machine.persistence import until
from entrypoint.host.services.units import RUNNING
from entrypoint.move.context import Move
from entrypoint.plan.plan import Direction
from entrypoint.plan.root_move import RootMove, RootService
from entrypoint.preflight.roots import RootKind
from entrypoint.settings import edits, formats
from entrypoint.settings.file_edit import FileEdit


def prepare(move: Move, root: RootMove) -> None:
    """All that is not yet a word on where a root is that another service works on."""
    if root.service:
        edits.require_unedited(move.host, root.switch)
        require_whole(move, root)
    for edit in root.follow:
        edits.write(move.host, edit)


def switch(move: Move, root: RootMove) -> None:
    """containerd's part of the switch; that of the engine comes right after it."""
    edits.write(move.host, root.switch)
    move.host.trace("switch.paired")


def follow(move: Move, root: RootMove, *, is_switched: bool) -> None:
    """What the script does."""
    place = move.host.path(root.switch.path)
    if edits.content(place) in (root.switch.before, root.switch.after):
        edits.put(place, root.switch.after if is_switched else root.switch.before)


def take_back(move: Move, root: RootMove) -> None:
    """containerd's files as they were; the engine's is that already."""
    if root.service:
        edits.restore(move.host, root.switch, lambda named: named == _root_after(root.switch))
    for edit in root.follow:
        edits.restore(move.host, edit, lambda _root: False)


def _root_after(edit: FileEdit) -> str | None:
    return formats.root_in(edit.after, edit.setting, edit.path)


def require_as_planned(move: Move, root: RootMove) -> None:
    """Raises MoveError if containerd works on another root by now, or its file was edited meanwhile."""
    if root.service and not _works_on(move, root.service, root.source):
        raise MoveError(f"{root.service.name} does not work on {root.source} any more.")
    edits.require_unedited(move.host, root.switch)


def require_whole(move: Move, root: RootMove) -> None:
    """Raises MoveError if what an engine finds its images by is in one of the roots only."""
    if move.plan.direction is Direction.ADOPT:
        return
    source, target = move.host.path(root.source), move.host.path(root.target)
    for name in (DATABASE, BLOBS):
        if (source / name).exists() and not (target / name).exists():
            raise MoveError(f"The engine would not find its images in {root.target}.", details=f"It has no {name}.")


def prove(move: Move, root: RootMove, *, is_target: bool) -> None:
    """Raises VerificationError if containerd does not work on its root: on that of the same pair."""
    if (service := root.service) is None:
        return
    place = root.place(is_target=is_target)
    try:
        until(
            lambda: _works_on(move, service, place),
            waiting_for=f"containerd on {place}",
            seconds=move.patience.database,
        )
    except EngineError as error:
        raise VerificationError(f"{service.name} does not work on {place}.") from error


def is_up_on(move: Move, service: RootService, root: str) -> bool:
    """Whether containerd's unit is up, and works on a root."""
    return move.systemd.unit(service.name).active_state in RUNNING and _works_on(move, service, root)


def require_none_made(move: Move, held: Inventory) -> None:
    """Where containerd's root goes back alone: raises MoveError for containers that the old one knows nothing of."""
    stays = RootKind.DATA_ROOT in move.plan.stays
    expected = move.expected() if stays and move.plan.direction is Direction.BACK else None
    if expected is not None and (made := made_since(expected, held)):
        raise MoveError("Containers were made meanwhile, and would have no layers.", details=", ".join(made),
                        resolution="Remove them (docker rm), then run the same command again.")  # fmt: skip


def _works_on(move: Move, service: RootService, root: str) -> bool:
    return works_on(move.host, move.systemd.unit(service.name).main_pid, move.host.resolve(root))

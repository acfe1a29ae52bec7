"""Where the engine is, and where its next start finds it: on which of the roots that a move knows."""

from contextlib import suppress
from pathlib import Path

from entrypoint.console.errors import EngineError, PreflightError
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.host.host import Host
from entrypoint.host.services.units import RUNNING
from entrypoint.move.context import Move
from entrypoint.move.switch import paired_switch
from entrypoint.settings import edits, formats

UNREADABLE = ""  # no root is called so


def runs_on(move: Move, root: str) -> bool:
    """Whether the engine answers, and from that root; an engine that is down is not asked: that would start it.

    Where containerd's root moves alone it is containerd that works there.
    """
    if service := move.plan.first.service:
        return paired_switch.is_up_on(move, service, root)
    if move.systemd.unit(move.plan.service).active_state not in RUNNING:
        return False
    try:
        return engine_root(move.host) == root
    except EngineError:
        return False


def configured(move: Move) -> str | None:
    """The data root that the place which is switched names now, if it names one; `UNREADABLE` if it cannot be read.

    It is read from the file. systemd may still have an older unit in memory, but nobody can start the engine with it:
    whatever lifts the hold reads the units again before.
    """
    edit = move.plan.first.switch
    with suppress(PreflightError, OSError):
        return formats.root_in(edits.content(move.host.path(edit.path)), edit.setting, edit.path)
    return UNREADABLE


def is_switched(move: Move) -> bool:
    """Whether the next start finds the target."""
    return move.plan.is_target(configured(move))


def data_roots(move: Move) -> tuple[Path, Path]:
    """Where the engine works before the move, and after it; it is the same where its data root stays."""
    before, after = (move.host.path(move.plan.data_root(is_target=is_target)) for is_target in (False, True))
    return before / move.plan.within, after / move.plan.within


def engine_root(host: Host) -> str:
    """The data root that the engine names on a new connection."""
    with Engine.opened(socket_of(host)) as engine:
        return str(engine.info().data_root)

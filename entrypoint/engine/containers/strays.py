"""Processes of the engine's containers that run on although the engine is down.

An engine that was killed while it started a container may lose hold of it: the next one takes the running task for a
leftover, kills it, starts another, and takes the exit of the first for that of the second (moby
libcontainerd/replace.go, daemon/monitor.go `handleContainerExit`). That goes on without end, `docker ps` says
"Restarting (137)", and a stop of the engine passes the container by (daemon/kill.go), as it is "restarting". What
runs on has the root's files open: it would write to the source behind the final sync, and on the other root the
next engine would begin the same round.
"""

import os
import re
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entrypoint.console.errors import EngineError
from entrypoint.console.events import log
from entrypoint.host.machine import processes
from entrypoint.host.machine.persistence import until

GRACE = 10.0  # seconds; what `docker stop` gives
DYING = 10.0  # seconds, for what was killed: a process in the middle of a write ends when that has ended
ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stray:
    """A process in the control group of a container."""

    pid: int
    parent: int
    container: str


def containers_in(root: Path) -> frozenset[str]:
    """The ids of the containers that a data root holds; none if its disk cannot be read, as in a move that failed."""
    with suppress(OSError):
        return frozenset(os.listdir(root / "containers"))
    return frozenset()


def strays(ids: Collection[str], place: Path = processes.PROCESSES) -> tuple[Stray, ...]:
    """The processes that run in containers of these ids, told by their control groups, whatever made those."""
    return tuple(_strays(frozenset(ids), place)) if ids else ()


def _strays(ids: frozenset[str], place: Path) -> Iterator[Stray]:
    for one in place.glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
            inside = ids.intersection(ID.findall((one / "cgroup").read_text(errors="replace")))
            seen = processes.look(int(one.name), place)
            if inside and seen.state not in processes.ENDED:
                yield Stray(int(one.name), seen.parent, min(inside))


def end(ids: Collection[str]) -> None:
    """End what runs on, as the engine would have. Raises EngineError if something cannot be ended."""
    found = strays(ids)
    if not found:
        return
    log.warning("containers.astray", containers=sorted({one.container[:12] for one in found}))
    _signal(heads(found), signal.SIGTERM, ids)
    with suppress(EngineError):
        _await_end(ids, GRACE)
    _signal(strays(ids), signal.SIGKILL, ids)
    _await_end(ids, DYING)


def heads(found: Collection[Stray]) -> tuple[Stray, ...]:
    """The processes that were started from outside; a container's own first process ends the others as it sees fit."""
    pids = {one.pid for one in found}
    return tuple(one for one in found if one.parent not in pids)


def _signal(found: Iterable[Stray], number: signal.Signals, ids: Collection[str]) -> None:
    for one in found:
        processes.send(one.pid, number, partial(_is_inside, one.pid, ids))


def _is_inside(pid: int, ids: Collection[str]) -> bool:
    """Whether the process of a number is in one of the containers now; it may be another's by then."""
    with suppress(OSError):
        groups = (processes.PROCESSES / str(pid) / "cgroup").read_text(errors="replace")
        return not frozenset(ids).isdisjoint(ID.findall(groups))
    return False


def _await_end(ids: Collection[str], seconds: float) -> None:
    waiting_for = "containers that the engine has lost to end"
    until(lambda: not strays(ids), waiting_for=waiting_for, seconds=seconds, interval=0.1, late=())

"""Named instants at which a test may stop the program, to show that it can be stopped at any of them.

In use every point is a no-op. The host's root arms one by writing `POINT ACTION` into `/run/relocator-trace`, and the
log says so at once. `kill` ends the process as `kill -9` would; `fail` raises, as any step may; `pause` leaves a
mark and waits to be killed from outside, for power cuts.

Points are named `step.instant`: around each record of the journal (`intent`, `intended`, `done`, `recorded`) and each
act on the host that can be told apart from outside.
"""

import os
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from entrypoint.errors import MoveError
from entrypoint.host import Host
from entrypoint.log import log

PLACE = "/run/relocator-trace"
REACHED = "/run/relocator-trace-reached"
PAUSED = 0.05


class Action(StrEnum):
    KILL = "kill"
    FAIL = "fail"
    PAUSE = "pause"


@dataclass
class Armed:
    """The point that is armed, if any; a process reads it once."""

    host: Host | None = None
    point: str = ""
    action: Action = Action.KILL


_armed = Armed()


def arm(host: Host) -> None:
    """Look whether the host's root has armed a point; called once, when a process begins."""
    place = host.path(PLACE)
    if not place.is_file() or place.stat().st_uid != 0:
        return
    point, _, action = place.read_text().strip().rpartition(" ")
    _armed.host, _armed.point, _armed.action = host, point, Action(action)
    log.warning("trace.armed", point=point, action=action)


def trace(point: str) -> None:
    """Pass a named instant."""
    if point != _armed.point or _armed.host is None:
        return
    log.warning("trace.reached", point=point, action=_armed.action)
    reached = _armed.host.path(REACHED)
    if reached.exists():
        return  # once is enough: what recovers must get past
    reached.touch()
    match _armed.action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.FAIL:
            raise MoveError(f"Stopped at the trace point {point}.")
        case Action.PAUSE:
            _wait(Path(reached))


def _wait(reached: Path) -> None:
    while reached.exists():
        time.sleep(PAUSED)

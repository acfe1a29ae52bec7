"""Named instants at which a test may stop the program, to show that it can be stopped at any of them.

In use every point is a no-op. The host's root arms points by lines `POINT ACTION` in `/run/relocator-trace`, and the
log says so at once. `kill` ends the process as `kill -9` would; `fail` raises, as any step may, and `full` as a copy
does for which there is no room; `pause` waits until a file `POINT.go` appears beside the mark, so that something can be
done from outside meanwhile.

Points are named `step.instant`: around each record of the journal (`intent`, `intended`, `done`, `recorded`) and each
act on the host that can be told apart from outside. A point acts once: whoever recovers must get past it. The mark
that says so is a file named like the point, in `/run/relocator-trace-reached`.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from entrypoint.console.errors import FullError, MoveError
from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import make_directories
from entrypoint.host.host import Host

PLACE = "/run/relocator-trace"
REACHED = "/run/relocator-trace-reached"
PAUSED = 0.05


class Action(StrEnum):
    KILL = "kill"
    FAIL = "fail"
    FULL = "full"
    PAUSE = "pause"


@dataclass(frozen=True)
class Armed:
    """The points that are armed on a host."""

    host: Host
    actions: Mapping[str, Action]

    def reach(self, point: str) -> None:
        """Pass a named instant."""
        action = self.actions.get(point)
        if action is None:
            return
        log.warning("trace.reached", point=point, action=action)
        reached = self.host.path(f"{REACHED}/{point}")
        if reached.exists():
            return
        make_directories(reached.parent)
        reached.touch()
        match action:
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.FAIL:
                raise MoveError(f"Stopped at the trace point {point}.")
            case Action.FULL:
                raise FullError(f"Told at the trace point {point} that the disk is full.")
            case Action.PAUSE:
                _wait(reached.with_name(f"{point}.go"))


def armed(host: Host) -> Host:
    """The host, with the points that its root has armed, if any; called once, when a process begins."""
    place = host.path(PLACE)
    if not place.is_file() or place.stat().st_uid != 0:
        return host
    actions = dict(parse(place.read_text()))
    log.warning("trace.armed", points=actions)
    return replace(host, trace=Armed(host, actions).reach)


def parse(text: str) -> Iterator[tuple[str, Action]]:
    for line in filter(None, map(str.strip, text.splitlines())):
        point, _, action = line.rpartition(" ")
        yield point, Action(action)


def _wait(go: Path) -> None:
    while not go.exists():
        time.sleep(PAUSED)

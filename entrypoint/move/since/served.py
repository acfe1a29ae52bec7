"""Whether a container has run on a root since the configuration names it: then clients may have written there.

An engine writes down when it has started each container. What stood there right before the switch, with the engine
down, is kept beside the net's files; what differs from that by now was started since. One with `--rm` leaves nothing
but the time of the directory that it was in: if that has changed, the engine is asked what it has started, and where it
cannot know all of it, something has run. The host's own shell reads the same (safety_net.py), and asks no engine.

    /var/lib/relocator/runs/000001/back/starts      a line a container: its id, and when it was last started;
                                                    and when the directory of all of them was last changed
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from entrypoint.console.errors import RelocatorError
from entrypoint.engine.containers import strays
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import OURS, TITLE
from entrypoint.host.disks.filesystem import make_directories
from entrypoint.move.context import Move
from entrypoint.move.location import data_roots, runs_on
from entrypoint.move.since import acts

NAME = "starts"
ALL = "containers"
SECOND = 1_000_000_000  # nanoseconds
NEVER = "0001-01-01T00:00:00Z"  # in the engine's files, of a container that was made and not started


def starts(root: Path) -> dict[str, str]:
    """When each container was last started, by its id, as the root's files tell; not of relocators."""
    found = {}
    for place in (root / ALL).glob("*/config.v2.json"):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            stored: dict[str, Any] = json.loads(place.read_bytes())
            if ((stored.get("Config") or {}).get("Labels") or {}).get(TITLE) != OURS:
                found[place.parent.name] = str((stored.get("State") or {}).get("StartedAt", ""))
    return found


def changed(root: Path) -> str:
    """When a container was last made or removed there, in seconds; nothing where there is none."""
    with suppress(OSError):
        found = (root / ALL).lstat().st_mtime_ns
        return f"{found // SECOND}.{found % SECOND:09}"
    return ""


def note(move: Move) -> None:
    """Keep what stands in the target; the engine is down, and no configuration names it yet."""
    folder = move.run.place / "back"
    make_directories(folder, 0o700)
    found = {**starts(_root(move)), ALL: changed(_root(move))}
    lines = (f"{one} {when}\n" for one, when in sorted(found.items()))
    move.run.keep(f"back/{NAME}", "".join(lines).encode())


def has_served(move: Move) -> bool:
    """Whether a container was started on the target since the switch, or runs there; True where it cannot be known."""
    try:
        kept = (move.run.place / "back" / NAME).read_text()
    except OSError:
        return True
    then = dict(line.split(" ", 1) for line in kept.splitlines())
    now = starts(_root(move))
    if any(when != then.get(one, NEVER) for one, when in now.items()) or strays.strays(now.keys()):
        return True
    return then.get(ALL, "") not in ("", changed(_root(move))) and not _has_started_none(move)


def _has_started_none(move: Move) -> bool:
    """Whether the engine has been up on the target all the time, and tells of no start but of relocators."""
    with suppress(RelocatorError):
        if acts.is_first_engine(move) and runs_on(move, move.plan.first.target):
            with Engine.opened(socket_of(move.host)) as engine:
                return not acts.may_have_started(engine)
    return False


def _root(move: Move) -> Path:
    return data_roots(move)[1]

"""Whether a container has run on a root since the configuration names it: then clients may have written there.

No engine is asked, for none may answer, and no clock. An engine writes down when it has started each container. What
stood there right before the switch, with the engine down, is kept beside the net's files; what differs from that by now
was started since. The host's own shell reads the same (net.py).

    /var/lib/relocator/runs/000001/back/starts      a line a container: its id, and when it was last started
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from entrypoint import strays
from entrypoint.filesystem import make_directories
from entrypoint.inventory import OURS, TITLE
from entrypoint.move import Move

NAME = "starts"
NEVER = "0001-01-01T00:00:00Z"  # in the engine's files, of a container that was made and not started


def starts(root: Path) -> dict[str, str]:
    """When each container was last started, by its id, as the root's files tell; not of relocators."""
    found = {}
    for place in (root / "containers").glob("*/config.v2.json"):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            stored: dict[str, Any] = json.loads(place.read_bytes())
            if ((stored.get("Config") or {}).get("Labels") or {}).get(TITLE) != OURS:
                found[place.parent.name] = str((stored.get("State") or {}).get("StartedAt", ""))
    return found


def note(move: Move) -> None:
    """Keep what stands in the target; the engine is down, and no configuration names it yet."""
    folder = move.run.place / "back"
    make_directories(folder, 0o700)
    lines = (f"{one} {when}\n" for one, when in sorted(starts(_root(move)).items()))
    move.run.keep(f"back/{NAME}", "".join(lines).encode())


def has_served(move: Move) -> bool:
    """Whether a container was started on the target since the switch, or runs there; True where it cannot be known."""
    try:
        kept = (move.run.place / "back" / NAME).read_text()
    except OSError:
        return True
    then = dict(line.split(" ", 1) for line in kept.splitlines())
    now = starts(_root(move))
    return any(when != then.get(one, NEVER) for one, when in now.items()) or bool(strays.strays(now.keys()))


def _root(move: Move) -> Path:
    return move.host.path(move.plan.target) / move.plan.within

"""Whether an engine works on a root, as the locks of its databases tell."""

import fcntl
from pathlib import Path

from entrypoint.engine.containerd.service import DATABASE

DATABASES = ("volumes/metadata.db", "network/files/local-kv.db", DATABASE)


def is_in_use(root: Path) -> bool:
    """Whether an engine works on a root: it holds its databases locked (bbolt, flock(2))."""
    return any(_is_locked(root / name) for name in DATABASES)


def _is_locked(place: Path) -> bool:
    try:
        with place.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

"""What a copy of a root leaves out."""

import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from entrypoint.engine.drivers import MOVED, WITH_VIEWS
from entrypoint.host.confined.beneath import LONGEST
from entrypoint.host.disks.filesystem import Mount, covered_places
from entrypoint.journal import finished, unfinished
from entrypoint.journal.unfinished import INDEX, PLACES

# Remade or emptied by dockerd at each start (moby daemon.go, runtime_unix.go, internal/quota/projectquota.go); what is
# mounted at a driver's views, or in `rootfs`, shows containers their layers and is no data.
NEVER_COPIED = (
    "/tmp",  # noqa: S108 - a name in the data root
    "/runtimes",
    *(f"/{driver.views}" for driver in WITH_VIEWS),
    "/rootfs/*/*",
    *(f"/{driver.name}/backingFsBlockDev" for driver in MOVED),
    "/volumes/backingFsBlockDev",
    "/lost+found",
    f"/{unfinished.NAME}",  # the copy's own records, until an engine starts on it
    f"/{PLACES}",
    f"/{INDEX}",
    f"/{finished.NAME}",  # of the source alone
)


def left_out(layers: Iterable[str], covered: Iterable[str] = ()) -> tuple[str, ...]:
    """What is never copied, the content of layers, and places that are covered, as anchored patterns."""
    return (*NEVER_COPIED, *(f"/{place}" for place in (*sorted(layers), *covered)))


def covered_now(source: PurePosixPath, table: tuple[Mount, ...]) -> list[str]:
    """Where something is mounted over what a data root holds, but for the views, which are never copied.

    Not where a name has a star: as a pattern it would leave out others with it.
    """
    views = (*(f"{driver.name}/" for driver in WITH_VIEWS), "rootfs/")
    return [name for name in covered_places(source, table) if not name.startswith(views) and "*" not in name]


class LeftOut:
    """The names that anchored patterns leave out, in which `*` stands for one name."""

    def __init__(self, patterns: Iterable[str]) -> None:
        named = [os.fsencode(pattern.lstrip("/")) for pattern in patterns]
        self._deepest = max((name.count(b"/") for name in named), default=0)
        self._names = frozenset(pattern for pattern in named if b"*" not in pattern)
        stars = [re.escape(pattern).replace(rb"\*", rb"[^/]*") for pattern in named if b"*" in pattern]
        self._stars = re.compile(b"|".join(stars) or rb"(?!)", re.DOTALL)
        above = [re.escape(pattern.rpartition(b"/")[0]).replace(rb"\*", rb"[^/]*") for pattern in named]
        self._above = re.compile(b"|".join(b"(?:%s)" % one for one in above) or rb"(?!)", re.DOTALL)

    def is_in(self, where: bytes) -> bool:
        """Whether anything directly in a directory can be left out."""
        return not self._is_too_deep(where) and self._above.fullmatch(where) is not None

    def __contains__(self, name: bytes) -> bool:
        return not self._is_too_deep(name) and (name in self._names or self._stars.fullmatch(name) is not None)

    def _is_too_deep(self, name: bytes) -> bool:
        """Asked where it spares something: a name may be of megabytes."""
        return len(name) > LONGEST and len(name.split(b"/", self._deepest + 1)) > self._deepest + 1

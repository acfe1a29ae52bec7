"""How far a copy is: bytes, files, rate and time left, on a terminal as it goes, in a pipe once; it never goes back.

Bytes are what the target's file system has come to hold, which the kernel knows without a look at any file and whatever
program wrote them. On the same file system, where links take no room, entries are counted instead.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint import wording
from entrypoint.log import draft, log

EVERY = 0.5  # seconds between two lines
REST = "comparing and flushing …"  # with everything written; how long that takes nobody knows


@dataclass
class Progress:
    """`size` bytes and `count` entries are to be done; `target` is where they go."""

    target: Path
    size: int
    count: int
    began: float = field(default_factory=time.monotonic)
    _before: int = 0
    _done: int = 0
    _told: float = 0.0
    _size: int = 0

    def __post_init__(self) -> None:
        self._before = used(self.target)
        self._told = self.began

    def done(self, count: int) -> None:
        """So many entries more are copied."""
        self._done = min(self.count, self._done + count)

    def tell(self) -> None:
        """Say how far it is, if that was not said just now."""
        if (now := time.monotonic()) - self._told >= EVERY:
            self._told = now
            draft("progress", **self.facts())

    def end(self) -> None:
        """Say how far it came."""
        log.info("progress", **self.facts() | {"left": ""})

    def facts(self) -> dict[str, object]:
        now = time.monotonic()
        self._size = max(self._size, min(self.size, used(self.target) - self._before))
        share = self.share()
        rate = self._size / max(now - self.began, 0.001)
        left = (now - self.began) / share * (1 - share) if share > 0.01 else None
        return {
            "percent": int(100 * share),
            "size": wording.size(self._size),
            "of": wording.size(self.size),
            "files": self._done,
            "rate": f"{wording.size(int(rate))}/s",
            "left": REST if share >= 1 else "" if left is None else wording.duration(left),
        }

    def share(self) -> float:
        """Between 0 and 1: the larger, because either may stand still for a while."""
        sizes = self._size / self.size if self.size else 0.0
        counts = self._done / self.count if self.count else 0.0
        return min(1.0, max(sizes, counts))


def doing(what: str) -> None:
    """Show on a terminal what is being done that has no measure, until the next line."""
    draft("doing", what=what)


def used(place: Path) -> int:
    """Bytes in use on a file system, those not yet written among them."""
    info = os.statvfs(place)
    return (info.f_blocks - info.f_bfree) * info.f_frsize


@contextmanager
def progress(target: Path, size: int, count: int) -> Iterator[Progress]:
    """A progress that ends with what was reached."""
    told = Progress(target, size, count)
    yield told
    told.end()

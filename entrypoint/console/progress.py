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

from entrypoint.console import wording
from entrypoint.console.events import draft, log

EVERY = 0.5  # seconds between two lines
ALMOST = 99  # percent
REST = "comparing and flushing …"  # with everything written; how long that takes nobody knows


@dataclass
class Progress:
    """`size` bytes and `count` entries are to be done; `target` is where they go.

    `there` are the bytes, `counted` the entries, that an earlier attempt has done. All of it is 100 %, which is reached
    at the end only: what is measured meanwhile is what a file system has come to hold.
    """

    target: Path
    size: int
    count: int
    there: int = 0
    counted: int = 0
    began: float = field(default_factory=time.monotonic)
    _before: int = 0
    _done: int = 0
    _told: float = 0.0
    _size: int = 0
    _earlier: float = 0.0

    def __post_init__(self) -> None:
        self._before = used(self.target)
        self._earlier = max(part(self.there, self.size), part(self.counted, self.count))
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
        """All is done."""
        self._size, self._done = self.size, self.count
        log.info("progress", **self.facts() | {"percent": 100, "left": ""})

    def facts(self) -> dict[str, object]:
        now = time.monotonic()
        self._size = max(self._size, min(self.size, used(self.target) - self._before))
        share = self.share()
        rate = self._size / max(now - self.began, 0.001)
        left = (now - self.began) / share * (1 - share) if share > 0.01 else None
        return {
            "percent": min(ALMOST, int(100 * (self._earlier + (1 - self._earlier) * share))),
            "size": wording.size(self.there + self._size),
            "of": wording.size(self.there + self.size),
            "files": self.counted + self._done,
            "rate": f"{wording.size(int(rate))}/s",
            "left": REST if share >= 1 else "" if left is None else wording.duration(left),
        }

    def share(self) -> float:
        """Of what is left to do, between 0 and 1: the larger, because either may stand still for a while."""
        sizes = self._size / self.size if self.size else 0.0
        counts = self._done / self.count if self.count else 0.0
        return min(1.0, max(sizes, counts))


def part(done: int, left: int) -> float:
    return done / (done + left) if done else 0.0


def doing(what: str) -> None:
    """Show on a terminal what is being done that has no measure, until the next line."""
    draft("doing", what=what)


def used(place: Path) -> int:
    """Bytes in use on a file system, those not yet written among them."""
    info = os.statvfs(place)
    return (info.f_blocks - info.f_bfree) * info.f_frsize


@contextmanager
def progress(target: Path, size: int, count: int, there: int = 0, counted: int = 0) -> Iterator[Progress]:
    """A progress that ends with 100 %, if the block does not fail."""
    told = Progress(target, size, count, there, counted)
    yield told
    told.end()

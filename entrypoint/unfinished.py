"""An unfinished copy knows itself: a record in the target, from the first file copied until an engine starts on it.

It tells the next attempt that what is there is ours and what of it can be relied on. What was copied in this boot of
the host is in the page cache and whole; after a power cut only what was flushed before it was recorded.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from entrypoint.filesystem import atomic_write, read_ours, remove_durably

NAME = ".relocator-unfinished"
PLACES = ".relocator-places"  # which directory of the source was at which place, for the look after this (changes.py)
BOOT = Path("/proc/sys/kernel/random/boot_id")
VERSION = 2
KEPT = "the same command goes on with it"
LOST = "it was not found; once its disk is mounted again, the same command goes on with it"
NOTE = "An unfinished copy made by relocator. Whatever else is put here will be removed."


class Found(NamedTuple):
    """To whom a directory belonged, and who could do what in it."""

    owner: int
    group: int
    mode: int


@dataclass(frozen=True)
class Unfinished:
    """Whose copy it is; `layers` (by place) and `shards` (by key) were on the disk when this was written.

    What changed in the source since `since` (seconds since 1970) may not be in them. `found` is what the target's
    directory had before it became ours: owner, group, mode.
    """

    source: str
    engine_id: str
    boot: str
    since: float
    layers: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    found: Found | None = None

    @classmethod
    def begun(cls, source: str, engine_id: str, found: Found | None = None) -> "Unfinished":
        return cls(source, engine_id, this_boot(), time.time(), found=found)

    @classmethod
    def read(cls, target: Path) -> "Unfinished | None":
        """The record in a target; nothing if there is none, or none of ours.

        Whoever could write one would have us take for copied what is not, and remove what is not ours.
        """
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            stored: Mapping[str, Any] = json.loads(read_ours(target, NAME) or b"{}")
            if stored.get("version") == VERSION:
                return cls(
                    str(stored["source"]),
                    str(stored["engine_id"]),
                    str(stored["boot"]),
                    float(stored["since"]),
                    tuple(stored["layers"]),
                    tuple(stored["shards"]),
                    Found(*stored["found"]) if stored.get("found") else None,
                )
        return None

    def write(self, target: Path) -> None:
        record = {"note": NOTE, "version": VERSION, **asdict(self)}
        atomic_write(target / NAME, json.dumps(record).encode(), mode=0o600)

    @staticmethod
    def end(target: Path) -> None:
        """From here on it is a data root that no attempt may take for a copy; its time is the source's, and stays."""
        if not (target / NAME).exists():
            return
        info = target.stat()
        (target / PLACES).unlink(missing_ok=True)
        remove_durably(target / NAME)
        os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))

    @classmethod
    def marks(cls, target: Path, source: str, engine_id: str) -> bool:
        """Whether a directory says of itself that it is an unfinished copy of this data root, and may be removed."""
        record = cls.read(target)
        return record is not None and record.is_of(source, engine_id)

    def is_of(self, source: str, engine_id: str) -> bool:
        return (self.source, self.engine_id) == (source, engine_id)

    @property
    def is_of_this_boot(self) -> bool:
        return self.boot == this_boot()

    def with_layers(self, layers: frozenset[str]) -> "Unfinished":
        return replace(self, layers=tuple(sorted(layers | set(self.layers))))

    def with_shards(self, shards: frozenset[str]) -> "Unfinished":
        return replace(self, shards=tuple(sorted(shards | set(self.shards))))


def this_boot() -> str:
    return BOOT.read_text().strip()

"""An unfinished copy knows itself: a record in the target, from the first file copied until an engine starts on it.

It tells the next attempt that what is there is ours and what of it can be relied on. What was copied in this boot of
the host is in the page cache and whole; after a power cut only what was flushed before it was recorded.
"""

import os
import stat
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from entrypoint.host.confined.chattr import flags_of, loosen, set_flags
from entrypoint.host.confined.entries import attributes, carry_attributes
from entrypoint.host.disks.filesystem import atomic_write, read_ours, remove_durably
from entrypoint.host.disks.stored import mark, read_mark

NAME = ".relocator-unfinished"
PLACES = ".relocator-places"  # which directory of the source was at which place, for the look after this (changes.py)
INDEX = ".relocator-index"  # which directory of the source holds which inode, for the last looks (index.py)
BOOT = Path("/proc/sys/kernel/random/boot_id")
STEP = 1.0  # seconds by which the clock is off when somebody has set it
VERSION = 2
KEPT = "the same command goes on with it"
LOST = "it was not found; once its disk is mounted again, the same command goes on with it"
NOTE = "An unfinished copy made by relocator. Whatever else is put here will be removed."


class Found(NamedTuple):
    """To whom a directory belonged, who could do what in it, and what else was set on it (in base64)."""

    owner: int
    group: int
    mode: int
    flags: int = 0
    attributes: Mapping[str, str] = {}

    @classmethod
    def at(cls, folder: int) -> "Found":
        status, given = os.fstat(folder), attributes(folder)
        coded = {name: b64encode(value).decode() for name, value in given.items()}
        return cls(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), flags_of(folder), coded)

    def give_back(self, folder: int) -> None:
        loosen(folder)
        os.fchown(folder, self.owner, self.group)
        os.fchmod(folder, self.mode)
        carry_attributes({name: b64decode(value) for name, value in self.attributes.items()}, folder)
        set_flags(folder, self.flags)


class Clock(NamedTuple):
    """How far the host's clock was ahead of the one that nobody sets, which begins anew with each boot."""

    boot: str
    ahead: float

    @classmethod
    def of(cls, since: float, monotonic: float) -> "Clock":
        """From one instant on both."""
        return cls(this_boot(), since - monotonic)


@dataclass(frozen=True)
class Unfinished:
    """Whose copy it is; `layers` (by place) and `shards` (by key) were on the disk when this was written.

    `boot` is the oldest in which something was copied that may not have been on the disk. What changed in the source
    since `since` (seconds since 1970; how the clock stood then: `clock`) may not be in the copy. `found` is what the
    target's directory had before it became ours.
    """

    source: str
    engine_id: str
    boot: str
    since: float
    layers: tuple[str, ...]
    shards: tuple[str, ...]
    found: Found | None = None
    clock: Clock | None = None

    @classmethod
    def begun(cls, source: str, engine_id: str, found: Found | None = None) -> "Unfinished":
        return cls(source, engine_id, this_boot(), time.time(), (), (), found)

    @classmethod
    def read(cls, target: Path) -> "Unfinished | None":
        """The record in a target; nothing if there is none, or none of ours.

        Whoever could write one would have us take for copied what is not, and remove what is not ours.
        """
        with suppress(OSError, ValueError):
            return read_mark(cls, read_ours(target, NAME), VERSION)
        return None

    def write(self, target: Path) -> None:
        atomic_write(target / NAME, mark(self, NOTE, VERSION), mode=0o600)

    @staticmethod
    def end(target: Path) -> None:
        """From here on it is a data root that no attempt may take for a copy; its time is the source's, and stays."""
        if not (target / NAME).exists():
            return
        info = target.stat()
        for name in (PLACES, INDEX):
            (target / name).unlink(missing_ok=True)
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

    @property
    def clock_was_set(self) -> bool:
        """Whether somebody has set the clock since: what has changed meanwhile cannot be told by its time.

        Between two boots only a clock that was set back is seen.
        """
        if self.clock is None or self.since > time.time():
            return True
        now = Clock.of(time.time(), time.monotonic())
        return now.boot == self.clock.boot and abs(now.ahead - self.clock.ahead) >= STEP

    def with_layers(self, layers: frozenset[str]) -> "Unfinished":
        return replace(self, layers=tuple(sorted(layers | set(self.layers))))

    def with_shards(self, shards: frozenset[str]) -> "Unfinished":
        return replace(self, shards=tuple(sorted(shards | set(self.shards))))


def this_boot() -> str:
    return BOOT.read_text().strip()

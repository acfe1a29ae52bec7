"""How far a copy has come: what need not be looked at again, and since when to look at the rest."""

import time
from dataclasses import dataclass, field, replace

from entrypoint.copy.pace.timer import Watch
from entrypoint.host.disks.stored import PASSING
from entrypoint.journal.unfinished import STEP, Clock

# A write(2) gives a file its time when it begins, and goes on: a large one, or one that waits for the disk, for many
# seconds, and a pass may read the file meanwhile. Less would do for the clock: file systems take times from the
# kernel's coarse one (a tick is at most 10 ms), ext3 whole seconds.
RACY = 30.0


@dataclass(frozen=True)
class Copied:
    """What the pre-copy achieved: layers that need not be looked at again, and since when to look at the rest.

    `since` is the wall clock when the last pass began, `monotonic` the same instant on the clock nobody sets; `target`
    is the device and inode of the directory the copy is in. `covered` are the places on which something was mounted
    while the engine ran, which the engine does for volumes with options: what was seen there is not the root's, and
    what is there by itself has yet to be looked at; that is so, too, of what is `doubtful` (confirmation.py). `linked`
    are the inodes of files whose names have yet to be made names of one file.
    `sets` is how often the clock had been set by then, as `watch` has seen it; what is read from a record counts from
    there on. The last pass has `sent` so many bytes, and `files`. `settled` is since when to look, once nothing changes
    any more.
    """

    layers: frozenset[str]
    since: float
    monotonic: float
    target: tuple[int, int] = (0, 0)
    covered: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    linked: tuple[int, ...] = ()
    sent: int = field(default=0, metadata=PASSING)
    files: int = field(default=0, metadata=PASSING)
    sets: int = field(default=0, metadata=PASSING)
    settled: float | None = field(default=None, metadata=PASSING)
    watch: Watch = field(default_factory=Watch, metadata=PASSING, compare=False, repr=False)

    @property
    def clock(self) -> Clock:
        """How the clock stood at that instant."""
        return Clock.of(self.since, self.monotonic)

    def back_to(self, since: float) -> "Copied":
        """The same, from an earlier instant on."""
        return replace(self, since=since, monotonic=self.monotonic - (self.since - since))

    def racy_since(self) -> float:
        """Files changed after this instant (seconds since 1970) are copied again; all, if the clock was set."""
        if self.settled is not None:
            return self.settled
        drift = (time.time() - self.since) - (time.monotonic() - self.monotonic)
        was_set = self.clock_was_set or abs(drift) >= STEP or self.since > time.time()
        return 0.0 if was_set else self.since - RACY

    @property
    def clock_was_set(self) -> bool:
        """Whether somebody has set the clock since, be it back and forward again: times tell nothing then."""
        return self.sets != self.watch.count()

    def begin_again(self) -> "Copied":
        """The same, as a pass begins now. The clock's settings are counted before it is looked at, for it may be set
        between."""
        return replace(self, sets=self.watch.count(), since=time.time(), monotonic=time.monotonic())

    def settle(self) -> "Copied":
        """The same, with the engine down: a clock that is set from here on hides nothing."""
        return replace(self, settled=self.racy_since())

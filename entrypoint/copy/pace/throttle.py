"""A limit for what the copy writes while the engine runs, and a pause: the programs that copy are stopped for a while
and go on, and the next waits for its turn.

What was written is what the kernel counted for the programs that run, and for those that have ended.
"""

import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.console.errors import UsageError
from entrypoint.host.children import Children

COPIER = "tree-copier"  # a word by which the program is known that copies what changes
PROGRAMS = ("cp", COPIER)
EVERY = 0.05  # seconds
BLOCK = 512  # bytes, in getrusage(2)
BURST = 0.25  # seconds' worth that may be written at once
LIMIT = re.compile(r"(\d+(?:\.\d+)?)([kmgt])(?:i?b)?", re.IGNORECASE)
FACTORS = {"k": 10, "m": 20, "g": 30, "t": 40}


def bytes_a_second(limit: str) -> float:
    """What `50m` says: 50 MiB a second. Raises UsageError, also for a bare number, which is KiB only to some."""
    match = LIMIT.fullmatch(limit)
    if match is None or not float(match[1]):
        raise UsageError(f"{limit!r} is no limit.", resolution="Give it as 50m for 50 MiB a second.")
    return float(match[1]) * (1 << FACTORS[match[2].lower()])


@dataclass(frozen=True)
class Pace:
    """How fast it may be just now: `rate` bytes a second on average, or as fast as it goes; nothing while `paused`."""

    rate: float | None = None
    paused: bool = False

    @classmethod
    def of(cls, limit: str) -> "Pace":
        return cls(bytes_a_second(limit) if limit else None)


@dataclass
class Throttle:
    """Stops and continues the programs that copy, as it is `asked` to: that may change at any time."""

    asked: Callable[[], Pace]
    children: Children
    _pace: Pace = field(default_factory=Pace)
    _began: float = field(default_factory=time.monotonic)
    _before: int = field(default_factory=lambda: ended())
    _stopped: bool = False
    _end: threading.Event = field(default_factory=threading.Event)

    def is_used_up(self) -> bool:
        """Whether more was written than is allowed by now, or nothing is."""
        if (pace := self.asked()) != self._pace:
            self._pace, self._began, self._before = pace, time.monotonic(), self._written()
        if pace.paused or pace.rate is None:
            return pace.paused
        return self._written() - self._before > pace.rate * (time.monotonic() - self._began + BURST)

    def watch(self) -> None:
        """Until `end`."""
        while not self._end.wait(EVERY):
            stops = self.is_used_up()
            if stops or self._stopped:
                self.signal_all(signal.SIGSTOP if stops else signal.SIGCONT)
            self._stopped = stops

    def await_turn(self) -> None:
        """Until another program may begin: a short one would end between two looks at it. Nobody waits for a copy that
        is ended."""
        while not (self._end.is_set() or self.children.are_ended) and self.is_used_up():
            time.sleep(EVERY)

    def end(self) -> None:
        self._end.set()

    def signal_all(self, number: signal.Signals) -> None:
        for pid in self._running():
            self.children.signal(pid, number)

    def _written(self) -> int:
        return ended() + sum(map(written, self._running()))

    def _running(self) -> list[int]:
        return [pid for program in PROGRAMS for pid in self.children.named(program)]


def ended() -> int:
    """Bytes that all programs together have written that were ours and have ended (getrusage(2))."""
    return BLOCK * resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock


def written(pid: int) -> int:
    """Bytes that a process has caused to be written (proc_pid_io(5))."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("write_bytes:")).split()[1])
    return 0


@contextmanager
def throttled(asked: Callable[[], Pace], children: Children) -> Iterator[Throttle]:
    """Hold those of the children that copy to a pace in the block."""
    throttle = Throttle(asked, children)
    thread = threading.Thread(target=throttle.watch, daemon=True)
    try:
        thread.start()
        yield throttle
    finally:
        throttle.end()
        if thread.ident is not None:  # an interrupt may have come before it was started
            thread.join()
        throttle.signal_all(signal.SIGCONT)

"""Processes told apart from others that are given the same number later: by the instant in which they began.

A number is free again when its process has ended and its parent has taken notice. So whatever is kept by its number
for longer than a look is kept with its beginning too, and is signalled by a handle, never by the number alone.
"""

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
ENDED = frozenset("ZX")  # states of a process that does nothing any more: zombie, dead
# Words of `stat` after the name (proc_pid_stat(5), which counts from 1 and from the number before the name).
STATE, PARENT, BEGAN = 0, 1, 19


@dataclass(frozen=True)
class Process:
    """A process; `began` is in ticks since the host's boot."""

    pid: int
    began: int

    @classmethod
    def own(cls) -> "Process":
        return cls(os.getpid(), look(os.getpid()).began)

    def is_there(self) -> bool:
        """Whether it is there, and is not another one of its number; also when its parent has not noticed its end."""
        with suppress(OSError, IndexError, ValueError):
            return look(self.pid).began == self.began
        return False


@dataclass(frozen=True)
class Look:
    """What the kernel tells of a process at one instant."""

    state: str
    parent: int
    began: int


def look(pid: int, processes: Path = PROCESSES) -> Look:
    """Raises OSError, IndexError or ValueError if it is gone."""
    # After the name, which may hold anything: brackets, spaces, and what looks like the words that follow it.
    words = (processes / str(pid) / "stat").read_text(errors="replace").rpartition(") ")[2].split()
    return Look(words[STATE], int(words[PARENT]), int(words[BEGAN]))


def send(pid: int, number: signal.Signals, is_meant: Callable[[], bool]) -> None:
    """Signal a process, if it is still the one that is meant; nothing if it has ended.

    It is asked again when the handle is there: what is seen then is of the handle's process, or that one has ended,
    and the handle reaches nobody. A kernel before 5.3 has no handles, and leaves an instant between.
    """
    with suppress(ProcessLookupError):
        try:
            handle = os.pidfd_open(pid)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            if is_meant():
                os.kill(pid, number)
            return
        try:
            if is_meant():
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

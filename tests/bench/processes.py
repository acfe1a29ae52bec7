"""What a process and all it has started take of memory together."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

EVERY = 0.05  # seconds


@dataclass
class Peak:
    """The largest sum, in bytes, of what is a process's own and its share of what several use (PSS).

    Sampled; used as a block.
    """

    root: int
    bytes: int = 0
    at: dict[str, int] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(EVERY):
            # A child that has not become another program yet uses its parent's memory, and has none of its own.
            own = program(self.root)
            found = {pid: share(pid) for pid in family(self.root) if pid == self.root or program(pid) != own}
            if sum(found.values()) > self.bytes:
                self.bytes = sum(found.values())
                self.at = {f"{name(pid)} {pid}": size for pid, size in found.items()}


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return [pid, *(one for child in children for one in family(child))]


def share(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def program(pid: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")
    return ""


def name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "gone"

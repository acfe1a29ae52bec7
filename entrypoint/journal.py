"""The record of every run, on the host, written ahead of each act.

    /var/lib/relocator/              0700
        lock                         flock(2): held by the one relocator that is at work; it dies with its holder
        runs/
            000001/                  one directory a run; numbers only grow, so a clock set back does not reorder them
                plan.json            the plan and what was there before, written before the hand-over
                inventory.json       what the engine held when it was frozen
                journal.jsonl        one record a line, appended and fsynced
                log.jsonl            the worker's events, for people

A record is `{"at": …, "event": …, "step": …, …}`. `intent` stands before an act and holds all that its undo needs,
`done` after it, `undone` after its undo; `outcome` is the last record of a run. A power cut can tear only the last
line; a torn last line is taken for not written, which is right, because what it announces had not begun.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import tenacity

from entrypoint.errors import JournalError, PreflightError
from entrypoint.filesystem import atomic_write, fsync_directory
from entrypoint.host import Host

PLACE = "/var/lib/relocator"
VERSION = 1
# What must be free when a run begins: its records must not be what fills the disk.
ROOM = 4 * 1024 * 1024


class Event(StrEnum):
    BEGUN = "begun"
    HANDED_OVER = "handed-over"
    TOOK_OVER = "took-over"
    INTENT = "intent"
    DONE = "done"
    UNDONE = "undone"
    ROLLBACK = "rollback"
    OUTCOME = "outcome"


class Outcome(StrEnum):
    """How a run ended; a run without one is at work or was cut off."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    BROKEN = "rollback-failed"
    INTERRUPTED = "interrupted"


Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run's directory, as seen from here."""

    place: Path

    @property
    def number(self) -> str:
        return self.place.name

    @property
    def log(self) -> Path:
        return self.place / "log.jsonl"

    def plan(self) -> dict[str, Any]:
        """What `save_plan` saved. Raises JournalError when it is not there or not readable."""
        try:
            stored: dict[str, Any] = json.loads((self.place / "plan.json").read_bytes())
        except (OSError, ValueError) as error:
            raise JournalError(f"The plan of run {self.number} cannot be read.", details=str(error)) from error
        if stored.get("version") != VERSION:
            raise JournalError(f"Run {self.number} was planned by another version of relocator.")
        return stored

    def save_plan(self, plan: dict[str, Any]) -> None:
        atomic_write(self.place / "plan.json", json.dumps({"version": VERSION, **plan}).encode(), mode=0o600)

    def save_inventory(self, inventory: dict[str, Any]) -> None:
        atomic_write(self.place / "inventory.json", json.dumps(inventory).encode(), mode=0o600)

    def inventory(self) -> dict[str, Any] | None:
        """What `save_inventory` saved, if it did."""
        place = self.place / "inventory.json"
        if not place.exists():
            return None
        stored: dict[str, Any] = json.loads(place.read_bytes())
        return stored

    def append(self, event: Event, **facts: Any) -> None:
        """Add a record; it is on the disk when this returns."""
        line = json.dumps({"at": time.time(), "event": event, **facts}) + "\n"
        try:
            self._append(line.encode())
        except OSError as error:
            raise JournalError("The journal cannot be written.", details=str(error)) from error

    def _append(self, line: bytes) -> None:
        """Write a whole line or none: on a disk that becomes full, a part can be written without an error."""
        handle = os.open(self.place / "journal.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)

    def records(self) -> list[Record]:
        """The records, without a torn last one."""
        path = self.place / "journal.jsonl"
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        records: list[Record] = []
        for line in lines[:-1]:  # what follows the last newline is empty or torn
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise JournalError(f"The journal {path} is damaged.", details=str(error)) from error
        return records

    def outcome(self) -> Record | None:
        return next((record for record in reversed(self.records()) if record["event"] == Event.OUTCOME), None)


class Journal:
    """The host's journal of runs."""

    def __init__(self, host: Host, place: str = PLACE) -> None:
        self.place = host.path(host.resolve(place))

    def exists(self) -> bool:
        return self.place.is_dir()

    def runs(self) -> list[Run]:
        """Every run, the oldest first."""
        folder = self.place / "runs"
        return [Run(entry) for entry in sorted(folder.iterdir())] if folder.is_dir() else []

    def run(self, number: str) -> Run:
        return Run(self.place / "runs" / number)

    def begin(self) -> Run:
        """A new run's directory, durable, on a disk that has room for its records; the lock is held."""
        runs = self.runs()
        number = int(runs[-1].number) + 1 if runs else 1
        run = Run(self.place / "runs" / f"{number:06}")
        room = self.place / "room"
        with _writing():
            atomic_write(room, bytes(ROOM), mode=0o600)
            room.unlink()
            run.place.mkdir(mode=0o700, parents=True)
            for directory in (run.place.parent, self.place, self.place.parent):
                fsync_directory(directory)
        return run

    def prepare(self) -> None:
        """Create the journal's own directory."""
        with _writing():
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.place.chmod(0o700)

    def is_locked(self) -> bool:
        """Whether a relocator is at work now."""
        try:
            with self.locked(attempts=1):
                return False
        except PreflightError:
            return True
        except FileNotFoundError:
            return False

    @contextmanager
    def locked(self, *, wait: bool = False, attempts: int = 5) -> Iterator[None]:
        """Hold the lock for the block; wait for it, or refuse because another relocator holds it.

        Several attempts, because a `status` takes it for an instant.
        """
        handle = os.open(self.place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if wait:
                fcntl.flock(handle, fcntl.LOCK_EX)
            else:
                _lock(handle, attempts)
            yield
        finally:
            os.close(handle)


@contextmanager
def _writing() -> Iterator[None]:
    """Whatever cannot be written here refuses the move, before anything was changed."""
    try:
        yield
    except OSError as error:
        raise PreflightError(
            f"The journal in {PLACE} cannot be written.",
            details=str(error),
            resolution="Free a few MiB there (journalctl --vacuum-size=50M, apt-get clean), then run again.",
        ) from error


def _lock(handle: int, attempts: int) -> None:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BlockingIOError),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    try:
        retrying(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy() from error


def busy() -> PreflightError:
    return PreflightError(
        "Another relocator is at work on this host.",
        resolution="See `relocator status`; wait for it with `relocator status --wait`.",
    )

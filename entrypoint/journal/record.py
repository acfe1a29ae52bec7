"""The record of every run, on the host, written ahead of each act.

    /var/lib/relocator/              0700
        lock                         flock(2): held by the one relocator that is at work; it dies with its holder
        runs/
            000001/                  one directory a run; numbers only grow, so a clock set back does not reorder them
                plan.json            the plan and what was there before, written before the hand-over
                inventory.json       what the engine held when it was frozen
                expected.json        what the other root held when it was left, for a run that goes back to it
                journal.jsonl        one record a line, appended and fsynced
                log.jsonl            the worker's events, for people
                enter.sh             how the worker is started, see handover.py
                said.json            what the operator has said to it meanwhile, see said.py
                held.json            how a run that is held stands, see holding.py
                going.sh             what starts again what a run that was held has stopped, see safety_net.py
                back/                what puts the configuration back without this program, see safety_net.py
                room                 space that is given back when the run ends or turns back: its last records
                                     must find some on a disk that has become full

A record is `{"at": …, "event": …, "step": …, …}`; the first, `begun`, has the version of this layout. `intent` stands
before an act and holds all that its undo needs, `done` after it, `undone` after its undo; `outcome` is the last record
of a move. Behind it only two things are recorded: the removal of the old root, `cleanup` before it and `cleaned` after
it, and `amiss`, what does not stand as it stood before; the last one counts. A run that is held records since when, by
`held`, and that it goes on, by `going`.

A power cut can tear only the last record. A torn one is taken for not written, which is right, because what it
announces had not begun; the next record takes its place.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from entrypoint.console.command import told_all
from entrypoint.console.discretion import discreet
from entrypoint.console.errors import JournalError
from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import atomic_write
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal.amiss import Amiss

PLACE = "/var/lib/relocator"
VERSION = 1
PLAN_VERSION = 2
SAID = ("reason", "problems", "left")  # the facts that may quote others; a path must stay what it is


class Event(StrEnum):
    BEGUN = "begun"
    HANDED_OVER = "handed-over"
    TOOK_OVER = "took-over"
    HELD = "held"
    GOING = "going"
    INTENT = "intent"
    PROVEN = "proven"
    DONE = "done"
    UNDONE = "undone"
    ROLLBACK = "rollback"
    AMISS = "amiss"
    OUTCOME = "outcome"
    CLEANUP = "cleanup"
    CLEANED = "cleaned"


class Outcome(StrEnum):
    """How a run ended; a run without one is at work or was cut off."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    BROKEN = "rollback-failed"
    MOVED = "moved"  # committed, but named things do not stand as they stood before
    INTERRUPTED = "interrupted"


# The engine is where the run was to bring it.
ARRIVED = frozenset({Outcome.COMMITTED, Outcome.MOVED})

Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run's directory, as seen from here.

    `unwritten` is what is so already and could not be written down: whoever asks the same journal is told it still, and
    by its exit code, and the next record that can be written brings it along.
    """

    place: Path
    unwritten: list[Record] = field(default_factory=list, compare=False, repr=False)

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
            version = stored["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self.unreadable("has no plan that can be read", str(error)) from error
        if version != PLAN_VERSION:
            raise self.unreadable("was planned by another version of relocator")
        return stored

    def save_plan(self, plan: dict[str, Any]) -> None:
        self._save("plan.json", {"version": PLAN_VERSION, **plan})

    def save_inventory(self, inventory: dict[str, Any], name: str = "inventory") -> None:
        self._save(f"{name}.json", inventory)

    def inventory(self, name: str = "inventory") -> dict[str, Any] | None:
        """What `save_inventory` saved, if it did."""
        place = self.place / f"{name}.json"
        if not place.exists():
            return None
        stored: dict[str, Any] = json.loads(place.read_bytes())
        return stored

    @property
    def room(self) -> Path:
        return self.place / "room"

    def begun(self, **facts: Any) -> None:
        """Add the first record."""
        self.append(Event.BEGUN, version=VERSION, **facts)

    def append(self, event: Event, **facts: Any) -> None:
        """Add a record; it is on the disk when this returns. Raises JournalError, and then nothing may be done that
        it stands for."""
        if event in (Event.ROLLBACK, Event.OUTCOME):
            self.room.unlink(missing_ok=True)
        records = [*self.unwritten, _made(event, facts)]
        self._with_room(lambda: self._append("".join(f"{json.dumps(one)}\n" for one in records).encode()))
        self.unwritten.clear()

    def tell(self, event: Event, **facts: Any) -> None:
        """Add a record of what is so already. A full disk changes nothing of that: then it is kept in mind."""
        try:
            self.append(event, **facts)
        except JournalError as error:
            log.error("record.unwritten", unwritten=event, why=error.text())
            self.unwritten.append(_made(event, facts))

    def _save(self, name: str, content: dict[str, Any]) -> None:
        self.keep(name, json.dumps(content).encode())

    def keep(self, name: str, content: bytes) -> None:
        """A file beside the records. Raises JournalError."""
        self._with_room(lambda: atomic_write(self.place / name, content, mode=0o600))

    def _with_room(self, write: Callable[[], None]) -> None:
        """Write; on a disk that has become full in the room that was kept. Raises JournalError."""
        try:
            try:
                write()
            except OSError as error:
                if error.errno != errno.ENOSPC or not self.room.exists():
                    raise
                self.room.unlink()
                write()
        except OSError as error:
            raise JournalError("The journal cannot be written.", details=str(error)) from error

    def _append(self, line: bytes) -> None:
        """Write all of it or nothing, in the place of a torn line: on a disk that becomes full, a part can be written
        without an error."""
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # At the hand-over two write: the front, that it handed over, and the worker, that it took over.
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = _whole(self.file.read_bytes())
            os.ftruncate(handle, size)
            if os.pwrite(handle, line, size) != len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)

    def records(self) -> list[Record]:
        """The records, without a torn last one. Raises JournalError for what is none, and for a newer layout."""
        content = self.file.read_bytes() if self.file.exists() else b""
        records = [_parse(line) for line in content[: _whole(content)].splitlines()]
        whole = [record for record in records if record is not None]
        if len(whole) < len(records):
            raise self.unreadable("is damaged")
        if any(record.get("version", VERSION) > VERSION for record in whole):
            raise self.unreadable("was written by a newer relocator")
        return [*whole, *self.unwritten]

    @property
    def file(self) -> Path:
        return self.place / "journal.jsonl"

    def unreadable(self, why: str, details: str = "") -> JournalError:
        return JournalError(
            f"The record of run {self.number} {why}.",
            details=details or f"It is {PLACE}/runs/{self.number} on the host. Nothing was changed now.",
            resolution="See that the engine runs, and on which root: docker info --format '{{.DockerRootDir}}'. "
            "If all is as it should be, set the record aside:\n"
            f"    mv {PLACE}/runs/{self.number} {PLACE}/runs/{self.number}.aside\n"
            "and run the same command again.",
        )

    def outcome(self) -> Record | None:
        return self._last(Event.OUTCOME)

    @property
    def has_arrived(self) -> bool:
        return (self.outcome() or {}).get("outcome") in ARRIVED

    def amiss(self) -> tuple[Amiss, ...]:
        """What does not stand as it stood before, as it was last seen."""
        return tuple(from_json(Amiss, one) for one in (self._last(Event.AMISS) or {}).get("amiss", ()))

    def note(self, amiss: Iterable[Amiss]) -> None:
        """Write down what does not stand, unless that is what is written already."""
        found = tuple(amiss)
        if found != self.amiss():
            self.tell(Event.AMISS, amiss=[to_json(one) for one in found])

    def _last(self, event: Event) -> Record | None:
        return next((record for record in reversed(self.records()) if record["event"] == event), None)


def _made(event: Event, facts: dict[str, Any]) -> Record:
    said = {key: told_all(discreet(facts[key])) for key in SAID if key in facts}
    return {"at": time.time(), "event": event, **facts, **said}


def _whole(content: bytes) -> int:
    """How much of a journal is whole records: all but what follows the last newline, and a last line that is none."""
    end = content.rfind(b"\n") + 1
    start = content.rfind(b"\n", 0, max(0, end - 1)) + 1
    return start if end and _parse(content[start:end]) is None else end


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("at"), float) and record.get("event") in set(Event)
    return record if is_record else None

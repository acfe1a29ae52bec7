"""What the operator has said to a run that is at work: a file beside its records, which whoever does the work reads.

It is the one door from another terminal: a command writes its word there and says nothing to a process. So it does not
matter where the work is done, in a container or in the host's unit, nor whether it was begun again meanwhile. A word
stays said.
"""

import fcntl
import json
import os
from dataclasses import dataclass, replace
from typing import Any

from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal.record import Run

NAME = "said.json"


@dataclass(frozen=True)
class Said:
    """`goes`: the engine may be stopped; `aborts`: the run is to end, and its copy stays where it `keeps` it. It
    `pauses`, and may copy up to a `limit`, as typed: empty for none, None as the run was begun."""

    goes: bool = False
    aborts: bool = False
    keeps: bool = False
    pauses: bool = False
    limit: str | None = None

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be copied: who goes, or ends, does not wait for a copy that stands still."""
        return self.pauses and not (self.goes or self.aborts)


def said(run: Run) -> Said:
    """What was said so far. Raises JournalError for what nobody can read."""
    try:
        return from_json(Said, json.loads((run.place / NAME).read_bytes()))
    except FileNotFoundError:
        return Said()
    except (OSError, ValueError) as error:
        raise run.unreadable("has words that cannot be read", str(error)) from error


def say(run: Run, **words: Any) -> tuple[Said, Said]:
    """Say something more; what was said before, and what is said now. Of two who speak at a time one is first.

    Raises JournalError.
    """
    folder = os.open(run.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = said(run)
        now = replace(before, **words)
        run.keep(NAME, json.dumps(to_json(now)).encode())
        return before, now
    finally:
        os.close(folder)

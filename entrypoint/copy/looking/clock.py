"""The clock, beside the times of files: what has changed is known by its ctime, which the clock has given."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from entrypoint.copy.looking.changes import changed_command, is_after, listed

TOLERATED = 2.0  # seconds; file systems take times from a clock of their own, which is behind this one


@dataclass(frozen=True)
class Ahead:
    """Files of the future: how many, and by how many seconds the last of them."""

    entries: int = 0
    seconds: float = 0.0


def ahead(root: Path, excludes: Iterable[str]) -> Ahead:
    """What was changed later than now, as when the clock has been set back since; every look finds it changed again.

    The walk takes a while, and files change meanwhile: each is compared with its own now.
    """
    found = Ahead()
    for record in listed(root, changed_command(time.time() + TOLERATED, excludes), live=True):
        if is_after(record, time.time() + TOLERATED):
            late = float(record.split(b" ", 5)[4]) - time.time()
            found = Ahead(found.entries + 1, max(found.seconds, late))
    return found

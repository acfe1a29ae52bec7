"""How a run stands that is held: since when, what is left to copy, and what its downtime would be now."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo

from entrypoint.console.errors import JournalError
from entrypoint.host.machine import locality
from entrypoint.journal.record import Event, Record, Run
from entrypoint.move.worker import hold


@dataclass(frozen=True)
class Standing:
    """`since` and `looked`, when the last of its `passes` ended, are in ISO 8601. What is left is about what that pass
    has found: `size` in bytes, and `files`. `downtime` is in seconds, the least and the most, None if not known.
    `at` is when it goes by itself, `against` why it did not go when it was to."""

    since: str = ""
    looked: str = ""
    passes: int = 0
    size: int = 0
    files: int = 0
    downtime: tuple[float, float] | None = None
    at: str = ""
    against: str = ""

    def told(self, zone: tzinfo) -> "Standing":
        """The same in a zone's time."""
        return replace(self, since=locality.there(self.since, zone), looked=locality.there(self.looked, zone),
                       at=locality.there(self.at, zone))  # fmt: skip


def standing(run: Run, records: Sequence[Record]) -> Standing:
    since = next(float(record["at"]) for record in records if record["event"] == Event.HELD)
    found = Standing(locality.moment(since))
    if stands := hold.held(run):
        found = replace(found, looked=locality.moment(stands.at), passes=stands.passes, size=stands.size,
                        files=stands.files, against=stands.against)  # fmt: skip
    with suppress(JournalError):
        terms = hold.terms_of(run)
        least, most = hold.downtime(terms, stands)
        found = replace(found, downtime=(round(least, 1), round(most, 1)), at=locality.moment(terms.at or None))
    return found

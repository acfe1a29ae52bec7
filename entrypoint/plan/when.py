"""When a held run goes by itself, and how long the engine may be away: what is typed, as instants and seconds."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from entrypoint.console.errors import UsageError
from entrypoint.console.wording import printable

FORM = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)[T ])?(?P<time>\d\d:\d\d(?::\d\d)?)"
    r" ?(?P<zone>Z|[+-]\d\d:\d\d|[A-Za-z][\w+-]*(?:/[\w+-]+)*)?"
)
LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
HOW = "Give it as 03:00, or '2027-01-31 03:00', each with a zone or without: 03:00Z, '03:00 Europe/Berlin'."
LATE = 600.0  # seconds after its time in which a run goes yet; the night it was meant for is over then


@dataclass(frozen=True)
class When:
    """A time, of a day if one was named; `zone` is a name, or an offset, or empty for the host's own."""

    time: time
    day: date | None = None
    zone: str = ""

    @classmethod
    def of(cls, text: str) -> "When":
        """Raises UsageError."""
        found = FORM.fullmatch(text.strip())
        try:
            if found is None:
                raise ValueError
            day = date.fromisoformat(found["day"]) if found["day"] else None
            return cls(time.fromisoformat(found.group("time")), day, found["zone"] or "")
        except ValueError:
            raise UsageError(f"{printable(text)!r} is no time.", resolution=HOW) from None

    def instant(self, now: float, zone_of: Callable[[str], tzinfo]) -> float:
        """In seconds since 1970: the next such time, or that of the day. Raises UsageError for one that has passed."""
        zone = zone_of(self.zone)
        here = datetime.fromtimestamp(now, zone)
        at = datetime.combine(self.day or here.date(), self.time, zone)
        if self.day is None and at.timestamp() <= now:
            at = datetime.combine(here.date() + timedelta(days=1), self.time, zone)
        if at.timestamp() <= now:
            raise UsageError(
                f"That time has passed: {at.isoformat(' ')}. Nothing was done.",
                details=f"It is {here.isoformat(' ', 'seconds')} on this host.",
                resolution=HOW,
            )
        return at.timestamp()


def seconds(text: str) -> float:
    """What `30s`, `2m` or `1m30s` say. Raises UsageError, also for a bare number."""
    found = LENGTH.fullmatch(text)
    parts = [float(part or 0) for part in found.groups()] if found else [0.0]
    if found is None or not any(parts):
        raise UsageError(f"{printable(text)!r} is no length of time.", resolution="Give it as 30s, 2m or 1m30s.")
    hours, minutes, rest = parts
    return 3600 * hours + 60 * minutes + rest

"""How long each phase of a run took, from its records, and while which the engine was away; as a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from entrypoint.console.events import Phase
from entrypoint.journal.record import Event, Record
from entrypoint.move.worker import hold
from entrypoint.plan.plan import Direction

# From the first to the last of these the engine is not there for others.
DOWN = (Phase.FREEZE, Phase.FINAL_SYNC, Phase.CHECK, Phase.SWITCH, Phase.START, Phase.VERIFY)
HEALTH, REMOVAL = "health checks", "remove the copy"  # the engine is up, and something is done yet
NOTICED = 0.05  # seconds
AWAY, THERE = "█", "░"
NAME, FIGURE = 16, 10  # columns
LEAST_BAR = 10


@dataclass(frozen=True)
class Span:
    """One phase: its begin in seconds since 1970, its length, and whether the engine was away."""

    phase: str
    began: float
    seconds: float
    away: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"began": round(self.began, 3), "seconds": round(self.seconds, 3)}


def spans(records: Sequence[Record]) -> tuple[Span, ...]:
    """The phases that have ended, in order. A phase that was repeated by a second worker counts as one.

    One that failed lasted until the run turned back. Once the engine is proven it is there, and health checks may be
    waited for; when it is back on the old root, a copy may have to be removed. A way back, and an adoption, make none.
    """
    at, direction = _moments(records), _direction(records)
    turned = at.get((Event.ROLLBACK, "")) or at.get((Event.OUTCOME, ""))
    proven, verified = at.get((Event.PROVEN, Phase.VERIFY)), at.get((Event.DONE, Phase.VERIFY))
    back, over = at.get((Event.UNDONE, Phase.FREEZE)), at.get((Event.OUTCOME, ""))
    gave_up = [record["at"] for record in records if record.get("failed_in") == Phase.PRE_COPY]
    copied = at.get((Event.HANDED_OVER, "")) or (float(gave_up[-1]) if gave_up else None)
    begun = at.get((Event.BEGUN, ""))
    handing_over = at.get((Event.HANDED_OVER, "")) if direction is Direction.FORTH else begun
    found = [
        _between(Phase.PRE_COPY, begun, copied, away=False) if direction is Direction.FORTH else None,
        _between(Phase.HOLD, at.get((Event.HANDED_OVER, "")), at.get((Event.GOING, "")), away=False),
        _between(
            Phase.HAND_OVER, at.get((Event.GOING, "")) or handing_over, at.get((Event.INTENT, Phase.FREEZE)), away=False
        ),
        *(_between(step, at.get((Event.INTENT, step)), _end(at, step) or turned) for step in DOWN),
        _noticed(_between(HEALTH, proven, verified or turned, away=False)),
        _between(
            Phase.UNDO if direction is Direction.BACK else Phase.ROLLBACK, at.get((Event.ROLLBACK, "")), back or over
        ),
        _noticed(_between(REMOVAL, back, over, away=False)) if direction is Direction.FORTH else None,
    ]
    return tuple(span for span in found if span is not None)


def _direction(records: Sequence[Record]) -> Direction:
    begun = next((record for record in records if record["event"] == Event.BEGUN), {})
    return Direction(begun.get("direction", Direction.FORTH))


def _end(at: dict[tuple[str, str], float], step: Phase) -> float | None:
    return at.get((Event.PROVEN, step)) or at.get((Event.DONE, step))


def _moments(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """When what was recorded: of a step that was begun twice the first begin, of all else the last."""
    at: dict[tuple[str, str], float] = {}
    for record in records:
        key = (str(record["event"]), str(record.get("step", "")))
        if key[0] != Event.INTENT or key not in at:
            at[key] = float(record["at"])
    return at


def _between(phase: str, began: float | None, ended: float | None, *, away: bool = True) -> Span | None:
    if began is None or ended is None:
        return None
    return Span(phase, began, max(0.0, ended - began), away)


def _noticed(span: Span | None) -> Span | None:
    """What mostly takes no time is told where it did."""
    return span if span and span.seconds >= NOTICED else None


def picture(found: Sequence[Span], columns: int) -> tuple[str, ...]:
    """A line a phase, its bar at its place in the whole; without bars where there is no room for them."""
    if not found:
        return ()
    width = columns - NAME - FIGURE - 1
    begin = found[0].began
    whole = max(span.began + span.seconds for span in found) - begin
    lines = []
    for span in found:
        line = f"{span.phase:<{NAME}}{span.seconds:>{FIGURE - 2}.1f} s"
        if width >= LEAST_BAR and whole > 0:
            before = min(int((span.began - begin) / whole * width), width - 1)
            long = max(1, min(round(span.seconds / whole * width), width - before))
            line += " " + " " * before + (AWAY if span.away else THERE) * long
        lines.append(line)
    legend = f"{AWAY} the engine was away, {THERE} it was there"
    return (*lines, legend) if width >= LEAST_BAR else tuple(lines)


def old_root(records: Sequence[Record]) -> str:
    """`removed` when all that were left are."""
    events = [record["event"] for record in records]
    if events.count(Event.CLEANED) >= (2 if any("containerd" in record for record in records) else 1):
        return "removed"
    return "being removed" if Event.CLEANUP in events else "kept"


def last_phase(records: Sequence[Record]) -> str:
    begun = [record["step"] for record in records if record["event"] == Event.INTENT]
    handed_over = any(record["event"] in (Event.HANDED_OVER, Event.TOOK_OVER) for record in records)
    if not begun and hold.is_open(records):
        return Phase.HOLD if handed_over else Phase.PRE_COPY
    return begun[-1] if begun else Phase.HAND_OVER if handed_over else Phase.PRE_COPY


def downtime(records: Sequence[Record]) -> float | None:
    """From the freeze to when the engine was proven, on whichever root; without the time that it was up between."""
    at = _moments(records)
    began, proven = at.get((Event.INTENT, Phase.FREEZE)), at.get((Event.PROVEN, Phase.VERIFY))
    turned, back = at.get((Event.ROLLBACK, "")), at.get((Event.UNDONE, Phase.FREEZE))
    ended = back or proven
    if not (began and ended):
        return None
    up = max(0.0, turned - proven) if back and proven and turned else 0.0
    return round(ended - began - up, 3)

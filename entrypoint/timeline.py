"""How long each phase of a run took, from its records, and while which the engine was away; as a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from entrypoint.log import Phase
from entrypoint.record import Event, Record

# From the first to the last of these the engine is not there for others.
DOWN = (Phase.FREEZE, Phase.FINAL_SYNC, Phase.CHECK, Phase.SWITCH, Phase.START, Phase.VERIFY)
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
    """The phases that have ended, in order. A phase that was repeated by a second worker counts as one."""
    at: dict[tuple[str, str], float] = {}
    for record in records:
        key = (str(record["event"]), str(record.get("step", "")))
        if key[0] == Event.INTENT and key in at:
            continue
        at[key] = float(record["at"])
    found = [
        _between(Phase.PRE_COPY, at.get((Event.BEGUN, "")), at.get((Event.HANDED_OVER, ""))),
        _between(Phase.HAND_OVER, at.get((Event.HANDED_OVER, "")), at.get((Event.INTENT, Phase.FREEZE))),
        *(
            _between(step, at.get((Event.INTENT, step)), at.get((Event.PROVEN, step)) or at.get((Event.DONE, step)))
            for step in DOWN
        ),  # once it is proven, health checks may be waited for
        _between(Phase.ROLLBACK, at.get((Event.ROLLBACK, "")), at.get((Event.UNDONE, Phase.FREEZE))),
    ]
    return tuple(span for span in found if span is not None)


def _between(phase: Phase, began: float | None, ended: float | None) -> Span | None:
    if began is None or ended is None:
        return None
    return Span(phase, began, max(0.0, ended - began), phase in (*DOWN, Phase.ROLLBACK))


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
    return begun[-1] if begun else Phase.PRE_COPY


def downtime(records: Sequence[Record]) -> float | None:
    """From the freeze to when the engine was proven, on whichever root."""
    at = {(record["event"], record.get("step")): record["at"] for record in records}
    began = at.get((Event.INTENT, Phase.FREEZE))
    ended = at.get((Event.UNDONE, Phase.FREEZE)) or at.get((Event.PROVEN, Phase.VERIFY))
    return round(ended - began, 3) if began and ended else None

"""Downtime as containers see it from outside, out of their heartbeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Downtime:
    """From the first container's last beat before to the last container's first beat after, in seconds.

    `longest` is the longest that any single container was away; `start` is seconds since the epoch.
    """

    start: float
    seconds: float
    longest: float


def downtime(beats: Mapping[str, Sequence[float]], since: float, until: float) -> Downtime:
    """Of all containers, within a span of time in which each was away once."""
    gaps = [longest_gap(one, since, until) for one in beats.values()]
    start = min(before for before, _ in gaps)
    return Downtime(start, max(after for _, after in gaps) - start, max(after - before for before, after in gaps))


def longest_gap(beats: Sequence[float], since: float, until: float) -> tuple[float, float]:
    """The last beat before the longest silence and the first after it."""
    within = [beat for beat in beats if since <= beat <= until]
    if len(within) < 2:
        raise ValueError("no heartbeat on both sides")
    return max(pairwise(within), key=lambda pair: pair[1] - pair[0])

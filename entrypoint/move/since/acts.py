"""What others have done to an engine since it was started: what they have removed or changed is not lost.

The engine tells its events, as long as it remembers them all. Where it does not, its files are asked: everything was
there when it was started, so what is neither in its answer nor on its disk was removed since. Whom somebody has stopped
they tell, too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from entrypoint.console.events import Phase
from entrypoint.engine.docker import KEPT_EVENTS, Engine
from entrypoint.engine.holdings.holdings import lacking, stopped_by_hand
from entrypoint.engine.inventory import ENGINE, OURS, TITLE, Difference, Inventory
from entrypoint.journal.record import Event, Record
from entrypoint.move.context import Move

STOPPING = frozenset({"stop", "kill", "pause", "unpause", "restart", "update"})
# What the engine does by itself when it starts.
OWN = frozenset({"start", "die", "oom", "attach", "connect", "disconnect", "mount", "unmount", "health_status"})


@dataclass(frozen=True)
class Acts:
    """What was done, by kind and id or name; `is_all` if nothing of it was forgotten."""

    done: frozenset[tuple[str, str]] = frozenset()
    stopped: frozenset[str] = frozenset()
    is_all: bool = False

    @classmethod
    def of(cls, engine: Engine, *, is_first: bool, ready: float = 0.0) -> "Acts":
        """`is_first`: the engine that answers is the one that was started on the root. It was `ready` at that instant;
        what was stopped before, it has stopped itself: one that crashed has left its containers to the next."""
        events = engine.events()
        done, stopped = set(), set()
        for one in events:
            kind, action, actor = one.get("Type", ""), one.get("Action", ""), one.get("Actor") or {}
            names = {str(actor.get("ID", "")), str(_attributes(one).get("name", ""))}
            if one.get("timeNano", ready * 1e9 + 1) <= ready * 1e9 and action in STOPPING:
                continue
            if action in STOPPING and kind == "container":
                stopped |= names
            if action.partition(":")[0] not in OWN:
                done |= {(kind, name) for name in names}
        return cls(frozenset(done), frozenset(stopped), is_first and len(events) < KEPT_EVENTS)

    def and_by_files(self, source: Path, target: Path, away: tuple[float, float]) -> "Acts":
        """With what the engine may have forgotten and its files know: whom others have stopped on the target."""
        return self if self.is_all else replace(self, stopped=self.stopped | stopped_since(source, target, away))

    def explain(self, found: Difference, before: Inventory, root: Path) -> bool:
        """Whether others have made a difference."""
        if found.kind == ENGINE:
            return False
        if (found.kind, found.key) in self.done or (found.kind == "image" and self._has_changed_tags(found, before)):
            return True
        return not self.is_all and (" was " in found.text or is_gone(found, before, root))

    def _has_changed_tags(self, found: Difference, before: Inventory) -> bool:
        """A tag that goes to another image is told of that one."""
        tags = before.images.get(found.key, "").split()
        return any(("image", name) in self.done for name in tags)


def stopped_since(source: Path, target: Path, away: tuple[float, float]) -> frozenset[str]:
    """The containers that were stopped by hand on the target; what stood so when the source was left is no news.

    Whom an engine ends as it comes up after a crash it notes in the same way (moby daemon/kill.go, killWithSignal): one
    that ended while the engine was `away` last was stopped by nobody else.
    """
    left, ready = away
    found = stopped_by_hand(target)
    return frozenset(id for id, ended in found.items() if not left <= ended <= ready) - stopped_by_hand(source).keys()


def is_first_engine(move: Move) -> bool:
    """Whether the engine that answers is still the one that was started first, so that its events are all there are."""
    first = first_start(move.run.records())
    return first is not None and move.systemd.unit(move.plan.service).starting[0] <= first


def first_start(records: Iterable[Record]) -> float | None:
    """When the engine had been started on the root (seconds since 1970), if the first worker has seen to it: of one
    that died before it is not known how many engines there were."""
    workers = 0
    for one in records:
        workers += one["event"] == Event.TOOK_OVER
        if workers > 1:
            break
        if (one["event"], one.get("step")) == (Event.DONE, Phase.START):
            return float(one["at"])
    return None


def away(move: Move) -> tuple[float, float]:
    """When the engine was away last: from when to when, in seconds since 1970."""
    unit = move.systemd.unit(move.plan.service)
    return unit.left, unit.starting[1]


def may_have_started(engine: Engine) -> bool:
    """Whether an engine has started a container that is none of ours, or has forgotten what it did first."""
    events = engine.events()
    started = (one for one in events if (one.get("Type"), one.get("Action")) == ("container", "start"))
    return len(events) >= KEPT_EVENTS or any(_attributes(one).get(TITLE) != OURS for one in started)


def _attributes(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Among them the labels of a container."""
    return (event.get("Actor") or {}).get("Attributes") or {}


def is_gone(found: Difference, before: Inventory, root: Path) -> bool:
    """Whether what the engine does not tell of is not on its disk either."""
    only = replace(
        before,
        containers=tuple(one for one in before.containers if one.id == found.key),
        images=_only(before.images, found.key),
        volumes=_only(before.volumes, found.key),
        networks=_only(before.networks, found.key),
    )
    return any(True for _ in lacking(root, only))


def _only(held: dict[str, str], key: str) -> dict[str, str]:
    return {name: facts for name, facts in held.items() if name == key}


def unexplained(found: Collection[Difference], acts: Acts, before: Inventory, root: Path) -> tuple[Difference, ...]:
    """What is different, and nobody's act."""
    return tuple(one for one in found if not acts.explain(one, before, root))

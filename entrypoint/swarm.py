"""A node of a swarm: whether it can be moved, and what must be as it was.

The containers of a swarm's tasks do not outlive a restart of the engine: the swarm makes new ones, under new ids. So
they are neither compared nor started; that their services run as many of them as before is proven instead. Nor are the
swarm's networks compared, which a node knows while it has tasks in them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from entrypoint.findings import Finding, error, warning

# Labels of a task's container (moby/daemon/cluster/executor/container/container.go).
SERVICE = "com.docker.swarm.service.name"
SCOPE = "swarm"


class State(StrEnum):
    """What a node is to its swarm, in the engine's words (moby api/types/swarm, LocalNodeState)."""

    INACTIVE = "inactive"
    PENDING = "pending"
    ACTIVE = "active"
    ERROR = "error"
    LOCKED = "locked"


@dataclass(frozen=True)
class Swarm:
    """`GET /info` on the swarm; how many `managers` and `nodes` it has only managers know, and whether they lock."""

    state: str = State.INACTIVE
    node: str = ""
    is_manager: bool = False
    managers: int = 0
    nodes: int = 0
    autolock: bool = False

    @classmethod
    def from_api(cls, answer: Mapping[str, Any]) -> "Swarm":
        spec = (answer.get("Cluster") or {}).get("Spec") or {}
        return cls(
            state=answer.get("LocalNodeState") or State.INACTIVE,
            node=answer.get("NodeID") or "",
            is_manager=bool(answer.get("ControlAvailable")),
            managers=int(answer.get("Managers") or 0),
            nodes=int(answer.get("Nodes") or 0),
            autolock=bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers")),
        )

    @property
    def stands_alone(self) -> bool:
        """Whether its services can run nowhere else."""
        return self.state == State.ACTIVE and self.is_manager and self.nodes == 1


class Task(Protocol):
    """The container of a task."""

    @property
    def service(self) -> str: ...

    @property
    def is_alive(self) -> bool: ...


def replicas(containers: "tuple[Task, ...]") -> dict[str, int]:
    """How many tasks of each service run here."""
    return dict(Counter(one.service for one in containers if one.service and one.is_alive))


def check(swarm: Swarm) -> Iterator[Finding]:
    if swarm.state == State.INACTIVE:
        return
    yield from next((found for one in REFUSING if (found := list(one(swarm)))), [told(swarm)])


def _state(swarm: Swarm) -> Iterator[Finding]:
    if swarm.state != State.ACTIVE:
        yield error(
            "swarm-state",
            "The engine is not at work in its swarm",
            f"Its state there is `{swarm.state}`: what it should hold after the move cannot be known.",
            "See `docker info`; unlock it (`docker swarm unlock`), or leave the swarm, then run again.",
        )


def _managers(swarm: Swarm) -> Iterator[Finding]:
    if swarm.is_manager and swarm.managers > 1:
        yield error(
            "swarm-managers",
            "The engine is one of several managers of a swarm",
            f"There are {swarm.managers}. A move that is taken back would return an older state to them, which the "
            "managers' protocol does not allow once the newer one took part.",
            "Make it a worker for the move: on another manager `docker node demote …`, and `docker node promote …` "
            "afterwards; see before that the others keep a majority.",
        )


def _autolock(swarm: Swarm) -> Iterator[Finding]:
    if swarm.autolock:
        yield error(
            "swarm-autolock",
            "The swarm's managers lock themselves",
            "After each restart of the engine somebody has to enter the key, and no service runs until then.",
            "For the move: `docker swarm update --autolock=false`, and `--autolock=true` afterwards.",
        )


REFUSING: tuple[Callable[[Swarm], Iterator[Finding]], ...] = (_state, _managers, _autolock)


def told(swarm: Swarm) -> Finding:
    detail = "The swarm makes the containers of its tasks anew, as at any restart: what they wrote outside volumes is "
    remedy = "Nothing; the move waits until each service runs as many tasks here as before."
    if not swarm.stands_alone:
        remedy = "To see none of its tasks fail: `docker node update --availability drain …` before, `active` after."
        detail = "The managers may start its tasks elsewhere meanwhile. " + detail
    return warning("swarm", "The engine is part of a swarm", detail + "lost.", remedy)

"""A node of a swarm, and what must be as it was once it has been moved.

The containers of a swarm's tasks do not outlive a restart of the engine: the swarm makes new ones, under new ids. So
they are neither compared nor started; that their services run as many of them as before is proven instead. Nor are the
swarm's networks compared, which a node knows while it has tasks in them.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

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
    """`GET /info` on the swarm; how many `managers` and `nodes` it has only managers know, and whether they lock.

    `reachable` are those of several managers that this one can reach, itself among them (`GET /nodes`).
    """

    state: str = State.INACTIVE
    node: str = ""
    is_manager: bool = False
    managers: int = 0
    nodes: int = 0
    autolock: bool = False
    reachable: int = 0

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

    @property
    def is_one_of_managers(self) -> bool:
        """Whether other managers hold what this one holds."""
        return self.is_manager and self.managers > 1

    @property
    def majority(self) -> int:
        """How many managers must be at work for the swarm to be governed (Raft)."""
        return self.managers // 2 + 1


class Task(Protocol):
    """The container of a task."""

    @property
    def service(self) -> str: ...

    @property
    def is_alive(self) -> bool: ...


def replicas(containers: "tuple[Task, ...]") -> dict[str, int]:
    """How many tasks of each service run here."""
    return dict(Counter(one.service for one in containers if one.service and one.is_alive))


def took_part(old: Path, new: Path) -> bool:
    """Whether a node has been at work on one of two data roots since they were equal: its state there differs."""
    return _state_in(old) != _state_in(new)


def _state_in(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): _digest(file) for file in (root / "swarm").rglob("*") if file.is_file()}


def _digest(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()

"""A node of a swarm: whether it can be moved, and what must be as it was.

The containers of a swarm's tasks do not outlive a restart of the engine: the swarm makes new ones, under new ids. So
they are neither compared nor started; that their services run as many of them as before is proven instead. Nor are the
swarm's networks compared, which a node knows while it has tasks in them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
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


def check(swarm: Swarm) -> Iterator[Finding]:
    if swarm.state == State.INACTIVE:
        return
    if errors := [*_state(swarm), *_quorum(swarm)]:
        yield from errors[:1]
    else:
        yield told(swarm)
        yield from _managers(swarm)
        yield from _autolock(swarm)


def check_return(swarm: Swarm) -> Iterator[Finding]:
    """Where an older root is to be used again: a rollback, or one that was left before."""
    yield from check(swarm)
    if swarm.is_one_of_managers:
        yield error(
            "swarm-return",
            "An older state cannot be returned to the managers of a swarm",
            f"There are {swarm.managers}. The other root holds what this manager knew when it left it, and the "
            "managers' protocol does not allow that once the newer state took part.",
            "Make it a worker first: on another manager `docker node demote …`; afterwards `docker node promote …`.",
        )


def _state(swarm: Swarm) -> Iterator[Finding]:
    if swarm.state != State.ACTIVE:
        yield error(
            "swarm-state",
            "The engine is not at work in its swarm",
            f"Its state there is `{swarm.state}`: what it should hold after the move cannot be known.",
            "See `docker info`; unlock it (`docker swarm unlock`), or leave the swarm, then run again.",
        )


def _quorum(swarm: Swarm) -> Iterator[Finding]:
    """Two managers never can spare one; of more, those that are there should."""
    if swarm.managers > 2 and swarm.reachable - 1 < swarm.majority:
        yield error(
            "swarm-quorum",
            "Without this manager the swarm would have no majority",
            f"Of {swarm.managers} managers {swarm.reachable} are reachable, this one among them; {swarm.majority} must "
            "be at work.",
            "Bring the others back first: docker node ls",
        )


def _managers(swarm: Swarm) -> Iterator[Finding]:
    if swarm.is_one_of_managers:
        others = swarm.reachable - 1
        kept = "The others keep a majority." if others >= swarm.majority else (
            "The other one is no majority: until this one is back no service can be changed, and none that fails is "
            "started again; what runs runs on."
        )  # fmt: skip
        yield warning(
            "swarm-managers",
            "The engine is one of several managers of a swarm",
            f"There are {swarm.managers}. {kept} Once it has been at work on the new root, it stays there whatever "
            "fails: an older state must not be returned to the others.",
            "To have it taken back if something fails: `docker node demote …` before, `docker node promote …` after.",
        )


def _autolock(swarm: Swarm) -> Iterator[Finding]:
    if swarm.autolock and swarm.is_manager:
        yield warning(
            "swarm-autolock",
            "The swarm's managers lock themselves",
            "After the restart of the engine somebody has to enter the key, and no service runs here until then. The "
            "move waits for it, for half an hour.",
            "Have the key at hand (docker swarm unlock-key), and enter it when the engine is back: docker swarm unlock",
        )


def told(swarm: Swarm) -> Finding:
    detail = "The swarm makes the containers of its tasks anew, as at any restart: what they wrote outside volumes is "
    remedy = "Nothing; the move waits until each service runs as many tasks here as before."
    if not swarm.stands_alone:
        remedy = "To see none of its tasks fail: `docker node update --availability drain …` before, `active` after."
        detail = "The managers may start its tasks elsewhere meanwhile. " + detail
    return warning("swarm", "The engine is part of a swarm", detail + "lost.", remedy)

"""What an engine holds, as it tells it, in a form in which before and after can be compared.

Left out because a move or any restart changes them, and nothing is lost by it: start times, process ids, addresses,
paths below the data root, creation times of volumes (the engine takes a directory's ctime), the id of the predefined
bridge network (made anew at each start).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

ANONYMOUS = re.compile(r"[0-9a-f]{64}")
PREDEFINED_NETWORKS = frozenset({"bridge", "host", "none"})


class Status(StrEnum):
    """A container's state, in the engine's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})


@dataclass(frozen=True)
class Container:
    """A container, what it is made of, and how it stood; `started_at` only orders the restarts."""

    id: str
    name: str
    image: str
    status: Status
    policy: str
    auto_remove: bool
    started_at: str
    volumes: tuple[str, ...] = ()

    @classmethod
    def from_inspect(cls, answer: Mapping[str, Any]) -> "Container":
        host_config = answer["HostConfig"]
        return cls(
            id=answer["Id"],
            name=answer["Name"].lstrip("/"),
            image=answer["Image"],
            status=Status(answer["State"]["Status"]),
            policy=host_config["RestartPolicy"]["Name"] or "no",
            auto_remove=host_config["AutoRemove"],
            started_at=answer["State"]["StartedAt"],
            volumes=tuple(mount["Name"] for mount in answer.get("Mounts") or () if mount.get("Type") == "volume"),
        )


@dataclass(frozen=True)
class Inventory:
    """Everything an engine holds, by name; the strings of a mapping are its comparable facts."""

    engine_id: str
    driver: str
    store: str
    containers: tuple[Container, ...]
    images: dict[str, str]
    volumes: dict[str, str]
    networks: dict[str, str]
    plugins: dict[str, str]

    def container(self, container_id: str) -> Container | None:
        return next((container for container in self.containers if container.id == container_id), None)

    def without(self, ids: frozenset[str]) -> "Inventory":
        """The same, but for some containers."""
        return replace(self, containers=tuple(one for one in self.containers if one.id not in ids))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Inventory":
        containers = tuple(
            Container(**{**one, "status": Status(one["status"]), "volumes": tuple(one["volumes"])})
            for one in stored["containers"]
        )
        return cls(**{**stored, "containers": containers})


def differences(before: Inventory, after: Inventory) -> tuple[str, ...]:
    """What `after` lacks or has otherwise, one sentence each; empty when nothing was lost.

    What it has in addition is no loss: a busy host makes containers at any time.

    Containers with `--rm` are passed over, and the anonymous volumes that only they use: the engine removes both at
    any restart. Whether what ran runs is not asked here, see `restart.py`.
    """
    found = [
        f"{what} was {was!r} and is {now!r}"
        for what, was, now in (
            ("the engine's id", before.engine_id, after.engine_id),
            ("the storage driver", before.driver, after.driver),
            ("the image store", before.store, after.store),
        )
        if was != now
    ]
    fleeting = ephemeral_volumes(before) | ephemeral_volumes(after)
    lasting = [
        {name: driver for name, driver in one.volumes.items() if name not in fleeting} for one in (before, after)
    ]
    found += _mapping_differences("volume", *lasting)
    for kind in ("images", "networks", "plugins"):
        found += _mapping_differences(kind.removesuffix("s"), getattr(before, kind), getattr(after, kind))
    found += _mapping_differences("container", _lasting(before), _lasting(after))
    return tuple(found)


def ephemeral_volumes(inventory: Inventory) -> frozenset[str]:
    """Volumes without a name of their own that only `--rm` containers use."""
    used = {kept: frozenset(_volumes(inventory, kept)) for kept in (True, False)}
    return frozenset(name for name in used[False] - used[True] if ANONYMOUS.fullmatch(name))


def _volumes(inventory: Inventory, kept: bool) -> Iterator[str]:
    for container in inventory.containers:
        if container.auto_remove is not kept:
            yield from container.volumes


def _lasting(inventory: Inventory) -> dict[str, str]:
    kept = (container for container in inventory.containers if not container.auto_remove)
    return {one.id: f"{one.name}, image {one.image}, restart policy {one.policy}" for one in kept}


def _mapping_differences(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    lost = [f"{kind} {key} ({before[key]}) is missing" for key in before if key not in after]
    changed = [
        f"{kind} {key} was {before[key]!r} and is {after[key]!r}"
        for key in before
        if key in after and before[key] != after[key]
    ]
    return lost + changed

"""What an engine holds, as it tells it, in a form in which before and after can be compared.

Left out because a move or any restart changes them, and nothing is lost by it: start times, process ids, addresses,
paths below the data root, creation times of volumes (the engine takes a directory's ctime), the id of the predefined
bridge network (made anew at each start).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from entrypoint.engine.swarm import SERVICE

ENGINE = "engine"  # what is different of the engine itself is no single thing
FRACTION = re.compile(r"(\.\d{6})\d*")  # the engine writes nanoseconds, of which Python reads six digits
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
KINDS = ("containers", "images", "volumes", "networks", "plugins")
PREDEFINED_NETWORKS = frozenset({"bridge", "host", "none"})


def moment(written: str) -> float:
    """An instant as the engine writes it, in seconds since 1970."""
    return datetime.fromisoformat(FRACTION.sub(r"\1", written)).timestamp()


class Status(StrEnum):
    """A container's state, in the engine's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


# How the image calls itself (Dockerfile).
TITLE, OURS = "org.opencontainers.image.title", "relocator"

ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})


@dataclass(frozen=True)
class Container:
    """A container, what it is made of, and how it stood; `started_at` only orders the restarts.

    `health` is what its health check says, in the engine's words; empty if it has none. `service` is the service of a
    swarm that it is a task of, `size_limit` what it may write (`--storage-opt size=`).
    """

    id: str
    name: str
    image: str
    status: Status
    policy: str
    auto_remove: bool
    started_at: str
    volumes: tuple[str, ...] = ()
    is_relocator: bool = False
    health: str = ""
    service: str = ""
    size_limit: str = ""

    @property
    def is_alive(self) -> bool:
        return self.status in ALIVE

    @property
    def is_fleeting(self) -> bool:
        """Whether any restart ends its life: the engine removes what has `--rm`, a swarm makes its tasks anew."""
        return self.auto_remove or bool(self.service)

    @property
    def start(self) -> str:
        """When it was started, so that it can be compared: fractions of a second come without zeros at the end."""
        return self.started_at.rstrip("Z")

    @property
    def started(self) -> float:
        """The same in seconds since 1970; 0 if that cannot be read."""
        with suppress(ValueError):
            return datetime.fromisoformat(self.started_at).timestamp()
        return 0.0

    @classmethod
    def from_inspect(cls, answer: Mapping[str, Any]) -> "Container":
        host_config, labels = answer["HostConfig"], answer["Config"].get("Labels") or {}
        return cls(
            id=answer["Id"],
            name=answer["Name"].lstrip("/"),
            image=answer["Image"],
            status=Status(answer["State"]["Status"]),
            policy=host_config["RestartPolicy"]["Name"] or "no",
            auto_remove=host_config["AutoRemove"],
            started_at=answer["State"]["StartedAt"],
            volumes=tuple(mount["Name"] for mount in answer.get("Mounts") or () if mount.get("Type") == "volume"),
            is_relocator=labels.get(TITLE) == OURS,
            health=(answer["State"].get("Health") or {}).get("Status", ""),
            service=labels.get(SERVICE, ""),
            size_limit=(host_config.get("StorageOpt") or {}).get("size", ""),
        )


@dataclass(frozen=True)
class Inventory:
    """Everything an engine holds, by name; the strings of a mapping are its comparable facts.

    `node` is its id in a swarm; `services` the tasks of each service that ran here, where they can run nowhere else.
    `beneath` are images without a name that others are built on, which `docker images` does not list.
    """

    engine_id: str
    driver: str
    store: str
    containers: tuple[Container, ...]
    images: dict[str, str]
    volumes: dict[str, str]
    networks: dict[str, str]
    plugins: dict[str, str]
    node: str = ""
    services: dict[str, int] = field(default_factory=dict)
    beneath: tuple[str, ...] = ()

    def container(self, container_id: str) -> Container | None:
        return next((container for container in self.containers if container.id == container_id), None)

    def without(self, ids: frozenset[str]) -> "Inventory":
        """The same, but for some containers."""
        return replace(self, containers=tuple(one for one in self.containers if one.id not in ids))

    @property
    def image_count(self) -> int:
        """As a user counts them."""
        return sum(one not in self.beneath for one in self.images)

    def with_images(self, images: dict[str, str]) -> "Inventory":
        """The same, with other images."""
        return replace(self, images=images)


def tags(image: Mapping[str, Any]) -> list[str]:
    """The names of an image that the engine lists, with their digests."""
    names = (image.get("RepoTags") or []) + (image.get("RepoDigests") or [])
    return sorted(name for name in names if not name.startswith("<none>"))


def beneath(images: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of the images that the engine lists, those without a name that others are built on."""
    parents = {one.get("ParentId") for one in images}
    yield from (one["Id"] for one in images if one["Id"] in parents and not tags(one))


def names_in(stored: Mapping[str, Any]) -> dict[str, str]:
    """What a stored inventory has a number and a name of, an image's first; a volume's number is its name."""
    found = {one["id"]: one["name"] for one in stored.get("containers", ()) if "id" in one}
    for kind in ("images", "networks"):
        found |= {number: str(facts).partition(" ")[0] for number, facts in stored.get(kind, {}).items()}
    return found


def counts(stored: Mapping[str, Any]) -> dict[str, int]:
    """How much of each kind a stored inventory has, without the containers that no restart brings back, and the images
    that only others are built on."""
    lasting = [one for one in stored.get("containers", ()) if not (one["auto_remove"] or one.get("service"))]
    images = [one for one in stored.get("images", ()) if one not in stored.get("beneath", ())]
    listed = {"containers": lasting, "images": images}
    return {kind: len(listed.get(kind, stored[kind])) for kind in KINDS if kind in stored}


class Difference(NamedTuple):
    """One thing that is not what it was: its kind, its key in the inventory, and a sentence."""

    kind: str
    key: str
    text: str


def differences(before: Inventory, after: Inventory) -> tuple[str, ...]:
    """What `after` lacks or has otherwise, one sentence each; empty when nothing was lost."""
    return tuple(one.text for one in compared(before, after))


def compared(before: Inventory, after: Inventory) -> Iterator[Difference]:
    """What `after` lacks or has otherwise.

    What it has in addition is no loss: a busy host makes containers at any time. Nor is what its owner has made anew, a
    unit or an agent of the host: a container of the same name and image, a network of the same name and driver.

    Containers with `--rm` and those of a swarm's tasks are passed over, and the anonymous volumes that only they use:
    none outlives a restart. Whether what ran runs is not asked here, see `restart.py`.
    """
    for what, was, now in (
        ("the engine's id", before.engine_id, after.engine_id),
        ("the storage driver", before.driver, after.driver),
        ("the image store", before.store, after.store),
        ("the node's id in the swarm", before.node, after.node),
    ):
        if was != now:
            yield Difference(ENGINE, what, f"{what} was {was!r} and is {now!r}")
    fleeting = ephemeral_volumes(before) | ephemeral_volumes(after)
    lasting = [
        {name: driver for name, driver in one.volumes.items() if name not in fleeting} for one in (before, after)
    ]
    yield from _mapping_differences("volume", *lasting)
    for kind in ("images", "networks", "plugins"):
        yield from _mapping_differences(kind.removesuffix("s"), getattr(before, kind), _with_heirs(kind, before, after))
    yield from _container_differences(before, after)


def made_since(before: Inventory, now: Inventory) -> tuple[str, ...]:
    """The containers that are new, by name, but for those that a restart removes."""
    return tuple(one.name for one in now.containers
                 if before.container(one.id) is None and not (one.auto_remove or one.is_relocator))  # fmt: skip


def doomed(containers: Iterable[Container]) -> tuple[str, ...]:
    """Those that the engine removes when it stops, by name; another relocator, waiting for the outcome, is no loss."""
    return tuple(one.name for one in containers if one.auto_remove and one.status in ALIVE and not one.is_relocator)


def ephemeral_volumes(inventory: Inventory) -> frozenset[str]:
    """Volumes without a name of their own that only containers use that no restart leaves."""
    used = {kept: frozenset(_volumes(inventory, kept)) for kept in (True, False)}
    return frozenset(name for name in used[False] - used[True] if ANONYMOUS.fullmatch(name))


def _volumes(inventory: Inventory, kept: bool) -> Iterator[str]:
    for container in inventory.containers:
        if container.is_fleeting is not kept:
            yield from container.volumes


def heir(container: Container, now: Iterable[Container]) -> Container | None:
    """The container that its owner has made anew in the place of one that is gone."""
    return next((one for one in now if (one.name, one.image) == (container.name, container.image)), None)


def _with_heirs(kind: str, before: Inventory, after: Inventory) -> Mapping[str, str]:
    """What there is now; a network that was made anew stands for the one whose name and driver it has."""
    held: dict[str, str] = getattr(after, kind)
    if kind != "networks":
        return held
    made = {facts for key, facts in held.items() if key not in before.networks}
    return held | {key: facts for key, facts in before.networks.items() if key not in held and facts in made}


def _container_differences(before: Inventory, after: Inventory) -> Iterator[Difference]:
    for one in before.containers:
        now = after.container(one.id)
        if one.is_fleeting or (now is None and heir(one, after.containers)):
            continue
        if now is None or now.is_fleeting:
            yield Difference("container", one.id, f"container {one.name} is missing")
        elif (was := _facts(one)) != (found := _facts(now)):
            yield Difference("container", one.id, f"container {one.name} was {was!r} and is {found!r}")


def _facts(one: Container) -> str:
    return f"{one.name}, image {one.image}, restart policy {one.policy}"


def _mapping_differences(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for key, was in before.items():
        if key not in after:
            yield Difference(kind, key, f"{kind} {key} ({was}) is missing")
        elif was != after[key]:
            yield Difference(kind, key, f"{kind} {key} was {was!r} and is {after[key]!r}")

"""What a data root holds, as its files tell it: no engine can be asked of a root that none runs on."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoint.engine.drivers import MOVED
from entrypoint.engine.info import GRAPHDRIVER
from entrypoint.engine.inventory import PREDEFINED_NETWORKS, Inventory, moment

NETWORKS = "network/files/local-kv.db"
SIGNS = ("containers", "volumes", "network")  # every engine makes these in its root
IMAGES = "image"  # and this, unless it keeps its images in containerd


@dataclass(frozen=True)
class Holdings:
    """Containers by id with their names, and the names of volumes; `incomplete` is what should be there and is not."""

    engine_id: str
    containers: dict[str, str]
    volumes: frozenset[str]
    incomplete: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, store: str = GRAPHDRIVER, driver: str = "") -> "Holdings":
        """As an engine with this store and driver finds it.

        Containers are left out that it removes when it starts (`--rm`), that are half removed already, or that it does
        not load, for another driver was in force when they were made (moby daemon/daemon.go, loadContainers).
        """
        incomplete = [name for name in SIGNS if not (root / name).is_dir()]
        if store == GRAPHDRIVER:
            incomplete += _incomplete(root)
        containers = dict(_containers(root, driver))
        return cls(engine_id(root), containers, frozenset(_volumes(root)), tuple(incomplete))


def is_root(place: Path) -> bool:
    """Whether a directory looks like the data root of an engine."""
    return all((place / name).is_dir() for name in SIGNS)


def engine_id(root: Path) -> str:
    """Whose root it is; engines before 23.0 do not say (moby daemon/id.go), and half a removal may have taken it."""
    try:
        return (root / "engine-id").read_text().strip()
    except FileNotFoundError:
        return ""


def layer_directories(root: Path, containers: Collection[str]) -> Iterator[str]:
    """What the layer database says is there of images and of these containers, relative to the root.

    Not of every container: the removal of one with `--rm`, this program's own, may have been cut off by the stop.
    """
    for driver in MOVED:
        own = [root / driver.mounts / one / "mount-id" for one in containers]
        for name in sorted([*(root / driver.database).glob("*/cache-id"), *(one for one in own if one.exists())]):
            yield driver.content(name.read_text().strip())


def lacking(root: Path, inventory: Inventory) -> Iterator[tuple[str, str]]:
    """What an engine holds and a root does not: its kind, and a name for people."""
    for one in inventory.containers:
        if not one.is_fleeting and not (root / f"containers/{one.id}/config.v2.json").exists():
            yield "container", one.name
    for volume, driver in inventory.volumes.items():
        if driver == "local" and not os.path.lexists(root / f"volumes/{volume}"):
            yield "volume", volume
    for image, tags in inventory.images.items():
        if tags and not (root / f"image/{inventory.driver}/imagedb/content/{image.replace(':', '/')}").exists():
            yield "image", tags.split()[0]
    known = _bytes(root / NETWORKS)
    for network, name in inventory.networks.items():
        if network not in PREDEFINED_NETWORKS and network.encode() not in known:
            yield "network", name.split()[0]


def stopped_by_hand(root: Path) -> dict[str, float]:
    """The containers, by id, that were stopped and not started since, and when they ended (seconds since 1970): the
    engine keeps that of a person's stop, and of what it ends itself when it comes up after a crash."""
    kept = ((place.parent.name, _json(place)) for place in (root / "containers").glob("*/config.v2.json"))
    return {id: _ended(one) for id, one in kept if one.get("HasBeenManuallyStopped") is True}


def _ended(container: Mapping[str, Any]) -> float:
    with suppress(KeyError, TypeError, ValueError, OverflowError):
        return moment(container["State"]["FinishedAt"])
    return 0.0


def _bytes(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:
        return b""


def _containers(root: Path, driver: str = "") -> Iterator[tuple[str, str]]:
    """Those of a driver, or of all: ids and names."""
    for place in sorted((root / "containers").glob("*/config.v2.json")):
        config, asked = _json(place), _json(place.with_name("hostconfig.json"))
        state = config.get("State")
        is_dead = isinstance(state, dict) and (state.get("Dead") or state.get("RemovalInProgress"))
        is_others = driver and config.get("Driver") not in (driver, None, "")
        if not (asked.get("AutoRemove") or is_dead or is_others):
            yield place.parent.name, str(config.get("Name") or place.parent.name[:12]).lstrip("/")


def _json(place: Path) -> dict[str, Any]:
    """An object in a file; an empty one where there is none."""
    with suppress(OSError, ValueError):
        found = json.loads(place.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _volumes(root: Path) -> Iterator[str]:
    """As the engine finds them (moby volume/local/local.go)."""
    for place in (root / "volumes").glob("*/"):
        if is_volume(place):
            yield place.name


def is_volume(place: Path) -> bool:
    """As the engine knows one. Its content is not asked: it may be a disk far away."""
    with suppress(OSError):
        return not {"_data", "opts.json"}.isdisjoint(os.listdir(place))
    return False


def _incomplete(root: Path) -> Iterator[str]:
    """What images and containers are made of, where the layers are in the data root."""
    if not (root / IMAGES).is_dir():
        yield IMAGES
    known = [driver.name for driver in MOVED]
    if not any((root / name).is_dir() for name in known):
        yield f"layers ({', '.join(known)})"
    yield from (name for name in layer_directories(root, dict(_containers(root))) if not (root / name).is_dir())

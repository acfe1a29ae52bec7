"""Whether all that an engine holds is on the disk, looked up by name: what its list says is no proof.

An engine goes by its own records, and since 29.5 it keeps a container in its list whose layer is gone: that is found
out by whoever starts it. So every container's layers or snapshots, every image's content and layers, and every local
volume's directory are looked up in the root that is, or is to be, worked on.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tenacity

from entrypoint.engine.containerd import store as containerd_store
from entrypoint.engine.drivers import graph_store
from entrypoint.engine.holdings.holdings import is_volume
from entrypoint.engine.info import CONTAINERD
from entrypoint.engine.inventory import Container, Inventory, Status, ephemeral_volumes

LOOKS = 4  # an engine that is up removes things, and writes its databases, while they are looked up
BETWEEN = 0.3  # seconds
GOING = (Status.REMOVING, Status.DEAD)  # half removed; the engine does the rest when it starts


@dataclass(frozen=True)
class Roots:
    """Where an engine works: its data root, within which it may work in a directory of its own, and the root of
    containerd's if its images are there. `snapshots` is where that keeps them, if its configuration says so;
    `namespace` is the one in it that is the engine's."""

    data: Path
    containerd: Path | None = None
    snapshots: Path | None = None
    namespace: str = containerd_store.CONTAINERS


@dataclass(frozen=True, order=True)
class Lack:
    """Something that an engine holds, by kind, key and name, and what of it is not there."""

    kind: str
    key: str
    name: str
    what: str

    @property
    def text(self) -> str:
        return f"{self.kind} {self.name} has no {self.what}"


def missing(held: Inventory, roots: Roots, *, live: bool = False) -> tuple[Lack, ...]:
    """What of that is not there. Where an engine is at work (`live`), only what several looks agree on."""
    found = _look(held, roots)
    if not (live and found):
        return found
    retrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(LOOKS), wait=tenacity.wait_fixed(BETWEEN),
                                 retry=tenacity.retry_if_result(bool), retry_error_callback=_last)  # fmt: skip
    again = retrying(_look, held, roots)
    return tuple(one for one in found if one in again)


def _last(state: "tenacity.RetryCallState") -> tuple[Lack, ...]:
    assert state.outcome is not None
    result: tuple[Lack, ...] = state.outcome.result()
    return result


def lost(held: Inventory, before: Roots, after: Roots, *, live: bool = False) -> tuple[Lack, ...]:
    """What is missing in the roots after a move and was not before it."""
    found = missing(held, after, live=live)
    was = {(one.kind, one.key) for one in missing(held, before)} if found else set()
    return tuple(one for one in found if (one.kind, one.key) not in was)


def still(lacks: Iterable[Lack], now: Inventory) -> tuple[Lack, ...]:
    """Without those of what was removed while it was looked up; `now` was asked after the look."""
    held = {*now.images, *now.volumes, *(one.id for one in now.containers), ""}
    return tuple(one for one in lacks if one.key in held)


def told(lacks: Iterable[Lack], most: int = 5) -> str:
    """For people, in one line."""
    found = [one.text for one in lacks]
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")


def _look(held: Inventory, roots: Roots) -> tuple[Lack, ...]:
    lasting = [one for one in held.containers if not (one.is_fleeting or one.status in GOING)]
    return tuple(sorted({*_of_records(lasting, roots), *_of_volumes(held, roots), *_of_layers(held, lasting, roots)}))


def _is_elsewhere(root: Path, *names: str) -> bool:
    """Whether a part is a link of an administrator's: it names a path of the host's, which is another one from here."""
    return any((root / name).is_symlink() for name in names)


def _of_records(lasting: Iterable[Container], roots: Roots) -> Iterator[Lack]:
    for one in () if _is_elsewhere(roots.data, "containers") else lasting:
        place = f"containers/{one.id}/config.v2.json"
        if not os.path.lexists(roots.data / place):
            yield Lack("container", one.id, one.name, f"record ({place})")


def _of_volumes(held: Inventory, roots: Roots) -> Iterator[Lack]:
    if _is_elsewhere(roots.data, "volumes"):
        return
    passing = ephemeral_volumes(held)
    for name, driver in held.volumes.items():
        place = f"volumes/{name}"
        if driver != "local" or name in passing or _is_elsewhere(roots.data, place, f"{place}/_data"):
            continue
        if not is_volume(roots.data / place):
            yield Lack("volume", name, name, f"directory (volumes/{name})")


def _of_layers(held: Inventory, lasting: Iterable[Container], roots: Roots) -> Iterator[Lack]:
    """In the data root by a storage driver's files, in containerd by its databases."""
    if held.store != CONTAINERD:
        if _is_elsewhere(roots.data, "image", f"image/{held.driver}", held.driver):
            return
        graph = graph_store.Store(roots.data, held.driver)
        for one in lasting:
            yield from (Lack("container", one.id, one.name, what) for what in graph.lacks_of_container(one.id))
        for image, tags in held.images.items():
            yield from (Lack("image", image, named(image, tags), what) for what in graph.lacks_of_image(image))
    elif roots.containerd:
        yield from _of_snapshots(held, lasting, roots)


def _of_snapshots(held: Inventory, lasting: Iterable[Container], roots: Roots) -> Iterator[Lack]:
    assert roots.containerd is not None
    try:
        store = containerd_store.Store.read(roots.containerd, held.driver, roots.snapshots, roots.namespace)
    except (OSError, ValueError) as problem:
        yield Lack("containerd's", "", "root", f"database that can be read ({problem})")
        return
    for one in lasting:
        yield from (Lack("container", one.id, one.name, what) for what in store.lacks_of_snapshot(one.id))
    for image, tags in held.images.items():
        yield from (Lack("image", image, named(image, tags), what) for what in store.lacks_of_image(image))


def named(image: str, tags: str) -> str:
    """An image, for people."""
    return tags.split()[0] if tags else image.removeprefix("sha256:")[:12]

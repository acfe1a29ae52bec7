"""What would be missing on the root that a move has left: all that came into the engine since."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrypoint.engine import drivers
from entrypoint.engine.containerd import holdings
from entrypoint.engine.containerd.service import snapshots
from entrypoint.engine.drivers import MOVED, WITH_VIEWS
from entrypoint.engine.inventory import Inventory
from entrypoint.host.children import run

MEASURING = 3600.0  # seconds
# In a container's first layer, at its creation (moby daemon/initlayer/setup_unix.go).
MADE_BY_ENGINE = frozenset({".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"})
NOBODYS = ""  # the owner of what belongs to no container that is known
LOGS = ("-json.log", "container.log")
USERS = ("volumes", "containers", *(driver.name for driver in MOVED))  # where users write to
# What is immutable may have other names, in other roots: removing these, or making more, changes the inode here too.
LAYERS = frozenset(driver.name for driver in MOVED)
LINKED = ("io.containerd.content.", "io.containerd.snapshotter.")


@dataclass(frozen=True)
class Written:
    """What was written to in one place: how many files, and how large they are now, in bytes."""

    place: str
    files: int
    size: int


@dataclass(frozen=True)
class Loss:
    """`made` is on the root that is left alone, `removed` will be there again; a phrase each."""

    made: tuple[str, ...]
    removed: tuple[str, ...]
    written: tuple[Written, ...]


def between(
    before: Inventory,
    now: Inventory,
    root: Path,
    instant: float,
    containerd: Path | None = None,
    *,
    alone: bool = False,
) -> Loss:
    """What came since `instant` (seconds since 1970), when the engine was started on `root`, which held `before`.

    `containerd` is the root of its containerd, if that was moved along; or `alone`, and what is in the data root stays.
    """
    before = now.with_images(before.images) if alone else before
    was, is_now = dict(_names(before)), dict(_names(now))
    made, removed = tuple(_only_in(is_now, was)), tuple(_only_in(was, is_now))
    owners = _owners(root, {one.id: one.name for one in (*before.containers, *now.containers)})
    written = [] if alone else [*_sums(written_since(root, instant), owners)]
    if containerd:
        written += _sums_of_snapshots(containerd, now.driver, instant, owners)
    return Loss(made, removed, tuple(written))


def behind(
    root: Path, homes: Collection[str], instant: float, held: Inventory, *, is_images: bool
) -> Iterator[Written]:
    """What was written to `homes` of a root since an engine has left it, which held `held`: by whom it belongs to, or
    by where it is. `is_images`: it is containerd's."""
    owners = _owners(root, {one.id: one.name for one in held.containers})
    found = written_since(root, instant, homes, kinds=("-not", "-type", "d"))
    yield from _sums(found, owners, is_elsewhere_told=True)
    if is_images:
        yield from _sums_of_snapshots(root, held.driver, instant, owners)


def _sums_of_snapshots(root: Path, snapshotter: str, instant: float, owners: Mapping[str, str]) -> Iterator[Written]:
    found = dict(owners)
    for number, writer in holdings.writers(root, snapshotter, owners).items():
        found[number] = owners.get(writer, writer if " " in writer else NOBODYS)
    yield from _sums(snapshots_since(root, snapshotter, instant), found)


def _only_in(these: Mapping[tuple[str, str], str], those: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """The phrases; not for each tag of an image that is only in these itself."""
    images = {key for kind, key in these.keys() & those.keys() if kind == "image"}
    for (kind, key), phrase in these.items():
        if (kind, key) not in those and (kind != "tag" or key.rpartition(" ")[2] in images):
            yield phrase


def _names(inventory: Inventory) -> Iterator[tuple[tuple[str, str], str]]:
    """Everything an engine holds, with a phrase for it; not the containers that no restart brings back."""
    for one in inventory.containers:
        if not one.is_fleeting:
            yield ("container", one.id), f"container {one.name}"
    for image, tags in inventory.images.items():
        yield ("image", image), f"image {tags or image.removeprefix('sha256:')[:12]}"
        for tag in tags.split():
            yield ("tag", f"{tag} of {image}"), f"tag {tag} of image {image.removeprefix('sha256:')[:12]}"
    for volume in inventory.volumes:
        yield ("volume", volume), f"volume {volume}"
    for network, name in inventory.networks.items():
        yield ("network", network), f"network {name}"


def _owners(root: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Whose the writable layers are: mount id → container."""
    found = {}
    for container, name in names.items():
        for driver in MOVED:
            mount = root / driver.mounts / container / "mount-id"
            if mount.is_file():
                found[mount.read_text().strip()] = name
    return {**found, **names}


def written_since(
    root: Path, instant: float, homes: Collection[str] = USERS, kinds: Sequence[str] = ("-type", "f")
) -> Iterator[tuple[tuple[str, ...], int]]:
    """The files of some of a root's directories whose inode changed after an instant: their names, and sizes."""
    places = [str(root / name) for name in homes if os.path.lexists(root / name)]
    if not places:
        return
    search = ["find", *places, "-xdev"]
    for driver in WITH_VIEWS:
        search += ["-path", f"{root}/{driver.views}", "-prune", "-o"]
    search += [*kinds, "-newerct", f"@{instant:.6f}", "-printf", "%s %H/%P\\0"]
    for entry in filter(None, run(search, timeout=MEASURING, check=False).stdout.split("\0")):
        size, _, name = entry.partition(" ")
        yield Path(name).relative_to(root).parts, int(size)


def snapshots_since(root: Path, snapshotter: str, instant: float) -> Iterator[tuple[tuple[str, ...], int]]:
    """The same of containerd's snapshots: what containers write outside volumes, and what images are made of."""
    place = root / snapshots(snapshotter) / "snapshots"
    layer = drivers.of(snapshotter, is_snapshotter=True).layer
    files = f"{place}/{layer.format('*')}/*"
    search = ["find", str(place), "-xdev", "-path", files, "-type", "f", "-newerct", f"@{instant:.6f}"]
    found = run([*search, "-printf", "%s %P\\0"], timeout=MEASURING, check=False).stdout if place.is_dir() else ""
    for entry in filter(None, found.split("\0")):
        size, _, name = entry.partition(" ")
        number, *rest = Path(name).parts
        yield ("snapshots", number, *rest[layer.count("/") :]), int(size)


def _sums(
    written: Iterable[tuple[tuple[str, ...], int]], owners: Mapping[str, str], *, is_elsewhere_told: bool = False
) -> Iterator[Written]:
    """Files by what they belong to; what the engine writes at every start is left out, or told by where it is."""
    sums: dict[str, Written] = {}
    for parts, size in written:
        place = _place(parts, owners)
        if place is None and is_elsewhere_told and not _may_be_linked(parts):
            place = f"{parts[0]} in the root"
        if place is not None:
            so_far = sums.get(place, Written(place, 0, 0))
            sums[place] = Written(place, so_far.files + 1, so_far.size + size)
    yield from sums.values()


def _may_be_linked(parts: tuple[str, ...]) -> bool:
    return parts[0] in LAYERS or any(part.startswith(LINKED) for part in parts)


def _place(parts: tuple[str, ...], owners: Mapping[str, str]) -> str | None:
    match parts:
        case ("volumes", name, "_data", *_):
            return f"volume {name}"
        case ("containers", container, *rest) if rest and rest[-1].endswith(LOGS):
            return f"the log of container {owners[container]}" if container in owners else None
        case ("snapshots", number, *rest) if "/".join(rest) not in MADE_BY_ENGINE:
            owner = owners.get(number, f"unknown (snapshot {number})")
            return f"container {owner}" if owner != NOBODYS else None
        case _:
            found = next(filter(None, (driver.owner(parts) for driver in MOVED)), "")
            return f"container {owners[found]}" if found in owners else None

"""Limits of size: what counts for a volume's or a container's limit is copied so that it counts in the copy, too.

The engine gives a directory an id of its own and limits that id; what is made in the directory inherits the id (moby
daemon/internal/quota/projectquota.go). No copy of files carries ids, and an engine that limits a volume again gives an
id to the directory alone: what was copied before would not count. So the directories of the copy are made first, with
ids that nothing else on the target's file system has, and everything that is copied into them inherits those. The
limits come when nothing more is written. An engine learns the ids from the directories when it starts.

Links, sockets and device nodes can only inherit an id, and an entry cannot be renamed into a directory with another:
one more reason to make the directories first.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import MoveError
from entrypoint.console.events import log
from entrypoint.copy import cp
from entrypoint.engine.drivers import MOVED
from entrypoint.engine.drivers.driver import Driver
from entrypoint.engine.drivers.layers import immutable_layers
from entrypoint.engine.inventory import Container
from entrypoint.host.children import QUICK, run
from entrypoint.host.confined.tree import Tree
from entrypoint.host.disks.project_quota import Quota, give, project_of, quota_of, take

# Below what the engine gives ids to directories, and to which; where it maps users, in a directory with their numbers.
# Volumes come last, and so get the highest: every engine looks at those when it asks itself which id comes next.
LIMITING = tuple(driver.limit for driver in MOVED if driver.limit)
GIVEN = {**{limit.home: "" for limit in LIMITING}, "volumes": "/_data"}
REMAPPED, NUMBERS = "[0-9]*.[0-9]*", r"^[0-9.]+/"
# 512 bytes; xfs sets aside what a directory could take at most, before it makes one (xfs_trans_space.h).
ROOM = 2048
# An engine begins with the second id above that of its root, and takes the limit off the first, to try whether it can.
FIRST = 2
# On one file system the ids after the highest are those that the running engine gives next.
ASIDE = 2**20


@dataclass(frozen=True)
class Limits:
    """What to do about limits during a copy; nothing unless projects are counted on both file systems.

    Source and target are as seen from here. `covered` are places where something is mounted, which nobody looks at: it
    may be a server that does not answer. All methods raise CopyError.
    """

    source: Path
    target: Path
    here: Quota | None
    there: Quota | None
    covered: Collection[str] = ()

    def begin(self) -> None:
        """Before the first copy: lift the limits that the target has from earlier on, and give ids to what it has."""
        if self.there:
            with telling():
                for project in {*own_projects(self.target).values()} - self._taken:
                    self.there.set_limit(project, 0)
                self._give(self._wanted)

    def prepare(self) -> None:
        """Before more is copied: make what has come to the source, with an id."""
        with telling():
            given = self._given()
            self._give([place for place in self._wanted if place not in given])

    def finish(self) -> None:
        """When nothing more is written: set the limits."""
        with telling():
            given = self._given()
            for place, project in self._wanted.items():
                if self.here and self.there and Tree(self.target).has_directory(os.fsencode(place)):
                    if place not in given:
                        raise OSError(f"{place} was given no id")
                    self.there.set_limit(given[place], self.here.limit(project))
                    self._spare(place, self.here.left(project), self.there.left(given[place]))

    def _spare(self, place: str, left: int | None, left_there: int | None) -> None:
        """Let what does not count in the source not count in the copy either, if it would not fit within the limit.

        The source may be a copy itself, made by hand: its engine knows of no more than was written since.
        """
        if left is not None and left_there is not None and left_there < 0 <= left:
            log.warning("limits.uncounted", place=place)
            with Tree(self.target).folder(os.fsencode(place)) as folder:
                take(folder)

    @cached_property
    def _wanted(self) -> dict[str, int]:
        """The source's ids by directory; not of layers, which nobody writes to and which may be linked to the copy."""
        if not self.here or not self.there:
            return {}
        layers = [PurePosixPath(layer.place) for layer in immutable_layers(self.source)]
        untouched = {str(place) for layer in layers for place in (layer, layer.parent)}
        kind = run(["stat", "--file-system", "--format=%T", "--", str(self.target)], timeout=QUICK).stdout.strip()
        unfit = tuple(f"{limit.home}/" for limit in LIMITING if limit.only_on and kind not in limit.only_on)
        found = own_projects(self.source, self.covered).items()
        return {
            place: project
            for place, project in found
            if place not in untouched and not re.sub(NUMBERS, "", place).startswith(unfit)
        }

    @cached_property
    def _is_one(self) -> bool:
        return self.source.stat().st_dev == self.target.stat().st_dev

    @property
    def _taken(self) -> frozenset[int]:
        """Ids that the running engine uses, where it counts on the same file system."""
        return frozenset(self._wanted.values()) if self._is_one else frozenset()

    def _given(self) -> dict[str, int]:
        """The copy's ids by directory."""
        found = own_projects(self.target).items() if self._wanted else ()
        return {place: project for place, project in found if project not in self._taken}

    def _give(self, places: Collection[str]) -> None:
        if not places or not self.there:
            return
        given = self._given()
        free = self.there.highest() + (ASIDE if self._is_one else FIRST)
        tree = Tree(self.target)
        for place in places:
            if place not in given:
                given[place], free = free, free + 1
            if make(tree, os.fsencode(place)):
                with tree.folder(os.fsencode(place)) as top:
                    give(top, given[place])
        log.info("limits.carried", directories=len(places))


def without_room(root: Path, containers: Iterable[Container]) -> tuple[str, ...]:
    """Those that run and could not be started again: their limit leaves no room for what a start makes."""
    needing = [driver for driver in MOVED if driver.limit and driver.limit.needs_room]
    with quota_of(root) as quota:
        lasting = [one for one in containers if one.is_alive and not one.is_fleeting] if quota else []
        return tuple(
            one.name for one in lasting if quota and any(_is_full(root, driver, one, quota) for driver in needing)
        )


def _is_full(root: Path, driver: Driver, container: Container, quota: Quota) -> bool:
    assert driver.limit
    with suppress(OSError):  # not of this driver
        own = (root / driver.mounts / container.id / "mount-id").read_text().strip()
        with Tree(root).folder(os.fsencode(f"{driver.limit.home}/{own}")) as folder:
            project = project_of(folder)
        if project:
            left = quota.left(project)
            return left is not None and left < min(ROOM, quota.limit(project) // 2)
    return False


def require_room(root: Path, containers: Iterable[Container]) -> None:
    """Raises MoveError if a container would not start again."""
    if full := without_room(root, containers):
        raise MoveError(
            "Containers have no room left within their limit of size, and would not start again.",
            details=", ".join(full),
            resolution="Remove files in them, a megabyte is enough, and run it again.",
        )


@contextmanager
def limits(source: Path, target: Path, covered: Iterable[str] = ()) -> Iterator[Limits]:
    with quota_of(source) as here, quota_of(target) as there:
        yield Limits(source, target, here, there, frozenset(covered))


@contextmanager
def telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cp.failed("A limit of size cannot be set in the copy.", str(error)) from error


def own_projects(root: Path, covered: Collection[str] = ()) -> dict[str, int]:
    """The directories of a root that have an id other than that of the directories above them, and their ids."""
    tree, found = Tree(root), dict[str, int]()
    for above in ("", *(f"{place.name}/" for place in root.glob(REMAPPED))):
        for home, inner in GIVEN.items():
            found |= dict(_own(tree, f"{above}{home}", inner, covered))
    return found


def _own(tree: Tree, home: str, inner: str, covered: Collection[str]) -> Iterator[tuple[str, int]]:
    with suppress(FileNotFoundError, NotADirectoryError):
        of_all = _project(tree, home)
        for name in map(os.fsdecode, tree.names(os.fsencode(home))):
            place = f"{home}/{name}{inner}"
            with suppress(OSError):  # not a directory, or gone meanwhile
                if place not in covered and (project := _project(tree, place)) not in (0, of_all):
                    yield place, project


def _project(tree: Tree, place: str) -> int:
    with tree.folder(os.fsencode(place)) as folder:
        return project_of(folder)


def make(tree: Tree, place: bytes) -> bool:
    """Whether a directory is there then; something else is replaced when it is copied."""
    for depth in range(1, place.count(b"/") + 2):
        name = b"/".join(place.split(b"/")[:depth])
        if tree.found(name) is None:
            with tree.above(name) as (folder, last):
                os.mkdir(last, 0o700, dir_fd=folder)
        elif not tree.has_directory(name):
            return False
    return True

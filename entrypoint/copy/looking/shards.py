"""The bulk of a data root cut into shards: pieces that are copied by themselves, several at a time, the largest first.

A shard is a layer's content, a volume, a container, or part of one that is large; small ones are put together. Names of
one file are never in two shards: shards that share a file become one. What is cut is a directory that holds shards: its
own files, and itself, come after them.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from entrypoint.copy.looking.changes import DIRECTORY, Change, changed_command, listed, parent
from entrypoint.copy.looking.marks import Marks, Places
from entrypoint.engine.drivers import MOVED

# A directory above one of these is cut. As many files are copied in a second or two, as many bytes in about one.
LARGE_COUNT, LARGE_SIZE = 10_000, 256 << 20
# Smaller ones are put together until they are as large as this.
SMALL_COUNT, SMALL_SIZE = 2_000, 32 << 20
DEEPEST = 6  # names below the root; what is deeper is not cut, so that memory does not grow with the tree
EACH = b"/*"
DRIVERS_CUT = tuple(place.encode() for driver in MOVED for place in driver.cut)
ALWAYS_CUT = (b"", *(place for place in DRIVERS_CUT if not place.endswith(EACH)), b"volumes")
EACH_CUT = tuple(place.removesuffix(EACH) for place in DRIVERS_CUT if place.endswith(EACH))


@dataclass
class Weight:
    """A directory, or what is below it: bytes on the disk and entries."""

    size: int = 0
    count: int = 0

    def add(self, other: "Weight") -> None:
        self.size += other.size
        self.count += other.count

    @property
    def is_large(self) -> bool:
        return self.size > LARGE_SIZE or self.count > LARGE_COUNT


@dataclass(frozen=True)
class Shard:
    """Directories, by their names relative to the root, that are copied by one cp."""

    places: tuple[bytes, ...]
    size: int
    count: int

    @property
    def key(self) -> str:
        """By this a finished shard is known again."""
        return blake2b(b"\0".join(self.places), digest_size=12).hexdigest()


@dataclass
class Shards:
    """How a tree is cut: the shards, the largest first, and the directories that were cut, parents first.

    `loose` weighs the files directly in those; `scattered` are the inodes of such that have names elsewhere too.
    """

    shards: list[Shard]
    cut: list[bytes]
    loose: Weight
    scattered: set[int]
    places: Places


def cut(root: Path, excludes: tuple[str, ...], covered: Iterable[str] = (), namespace: int | None = None) -> Shards:
    """Look at a tree as it is now, outside `excludes`, and cut it; also above the single places that are `covered`."""
    above = {os.fsencode(parent) for place in covered for parent in PurePosixPath(place).parents}
    own, links, places = weigh(root, excludes, namespace)
    below = totals(own)
    halves = {place for place in below if is_cut(place, below) or (place in above and can_be_cut(place))}
    tops = {place: below[place] for place in below if place not in halves and parent(place) in halves}
    loose = Weight()
    for place in halves & own.keys():
        loose.add(own[place])
    groups = put_together(tops, shared(links, tops))
    scattered = {inode for inode, places in links.items() if len(places) > 1 and places & halves}
    ordered = sorted(groups, key=lambda one: (one.size, one.count), reverse=True)
    return Shards(ordered, sorted(halves), loose, scattered, places)


def weigh(
    root: Path, excludes: tuple[str, ...], namespace: int | None
) -> tuple[dict[bytes, Weight], dict[int, frozenset[bytes]], Places]:
    """What is directly in each directory, in which directories the names of files of several names are, and which
    directory is at which place. There may be millions of such files, most in the same few directories."""
    own: dict[bytes, Weight] = {b"": Weight()}
    links: dict[int, frozenset[bytes]] = {}
    known: dict[frozenset[bytes], frozenset[bytes]] = {}
    of_places = Marks()
    marks = array("Q", [of_places.mark(os.stat(root).st_ino, b"")])
    for record in listed(root, changed_command(None, excludes), live=True, namespace=namespace):
        change = Change.parse(record)
        if change.kind == DIRECTORY:
            marks.append(of_places.mark(change.inode, change.name))
        place = ancestor(change.name if change.kind == DIRECTORY else parent(change.name))
        own.setdefault(place, Weight()).add(Weight(change.size, 1))
        if change.links > 1 and change.kind != DIRECTORY:
            places = links.get(change.inode, frozenset()) | {place}
            links[change.inode] = known.setdefault(places, places)
    return own, links, Places.of(marks)


def ancestor(place: bytes) -> bytes:
    """The directory that stands for all that is deeper."""
    return b"/".join(place.split(b"/", DEEPEST)[:DEEPEST])


def totals(own: dict[bytes, Weight]) -> dict[bytes, Weight]:
    """Each directory with all that is below it."""
    below = {place: Weight() for place in own}
    for place, weight in own.items():
        above = place
        while True:
            below.setdefault(above, Weight()).add(weight)
            if not above:
                break
            above = parent(above)
    return below


def is_cut(place: bytes, below: dict[bytes, Weight]) -> bool:
    """Where single entries are left out, and where there is too much for one; if what is above it is cut too."""
    if place in ALWAYS_CUT or parent(place) in EACH_CUT:
        return True
    return can_be_cut(place) and below[place].is_large and is_cut(parent(place), below)


def can_be_cut(place: bytes) -> bool:
    """What is deeper stands for all that is below it."""
    return place.count(b"/") < DEEPEST - 1


def shared(links: Mapping[int, frozenset[bytes]], tops: dict[bytes, Weight]) -> Iterator[frozenset[bytes]]:
    """The directories that share a file, as long as they are more than one."""
    for places in links.values():
        if len(places) > 1:
            found = frozenset(filter(None, (top_of(place, tops) for place in places)))
            if len(found) > 1:
                yield found


def top_of(place: bytes, tops: dict[bytes, Weight]) -> bytes | None:
    while place and place not in tops:
        place = parent(place)
    return place or None


def put_together(tops: dict[bytes, Weight], sharing: Iterable[frozenset[bytes]]) -> Iterator[Shard]:
    """Shards of what must be together, and of small ones as they come."""
    group = {top: top for top in tops}

    def leader(top: bytes) -> bytes:
        while group[top] != top:
            group[top] = group[group[top]]
            top = group[top]
        return top

    for together in sharing:
        first, *others = sorted(map(leader, together))
        group.update(dict.fromkeys(others, first))
    members: dict[bytes, list[bytes]] = {}
    for top in sorted(tops):
        members.setdefault(leader(top), []).append(top)
    yield from pack([shard_of(tuple(places), tops) for places in members.values()])


def shard_of(places: tuple[bytes, ...], tops: dict[bytes, Weight]) -> Shard:
    return Shard(places, sum(tops[place].size for place in places), sum(tops[place].count for place in places))


def pack(shards: Iterable[Shard]) -> Iterator[Shard]:
    """Small shards are joined until they are not small any more; starting a cp for each would take longer."""
    places: list[bytes] = []
    size = count = 0
    for shard in shards:
        if shard.size > SMALL_SIZE or shard.count > SMALL_COUNT:
            yield shard
            continue
        places += shard.places
        size, count = size + shard.size, count + shard.count
        if size > SMALL_SIZE or count > SMALL_COUNT or len(places) >= 500:
            yield Shard(tuple(places), size, count)
            places, size, count = [], 0, 0
    if places:
        yield Shard(tuple(places), size, count)

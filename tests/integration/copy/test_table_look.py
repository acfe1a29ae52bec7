"""Whatever happens to a tree, the inode table tells of the same changes as a walk."""

import mmap
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from entrypoint.copy import bulk, copier, cp, transfer
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking import changes, choice, shards
from entrypoint.copy.looking.changes import DIRECTORY, Change, Look
from entrypoint.copy.looking.table_look import TableLook
from tests.hosts import Disk
from tests.hosts.survey import Entry, Survey
from tests.integration.copy.test_copier import wait_for_the_clock
from tests.integration.support.actions import CHANGING, MAKING, Act, Tree, exchange, make_full_directory, rename
from tests.unit.support.data_root import CONTAINER, VOLUME, Roots, add_layer, fill, silent

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

EXAMPLES = 15  # on each disk; each waits for it several times, so that none is made smaller
TICK = 0.02  # seconds; the clock of a file system goes on in steps of a hundredth at most
TREES = (CONTAINER, VOLUME, "plugins")
Step = tuple[int, Act, int, int, int]
Told = tuple[bool, int, int, int, bytes, bool]


def write_mapped(tree: Tree, a: int, b: int, n: int) -> None:
    if (place := tree.one(a, stat.S_ISREG)) and place.stat().st_size:
        with place.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0] = mapped[0] ^ 1


def write_in_place(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISREG):
        with place.open("r+b") as file:
            file.write(b"over")


def move_out(tree: Tree, a: int, b: int, n: int) -> None:
    """Out of the root, where nobody looks, on the same file system."""
    if place := tree.one(a):
        place.rename(outside(tree) / f"out{tree.made}-{len(os.listdir(outside(tree)))}")


def move_in(tree: Tree, a: int, b: int, n: int) -> None:
    """Whatever has been there before, or was moved out, with the ctimes that what is in it has."""
    found = sorted(outside(tree).iterdir())
    if found:
        found[a % len(found)].rename(tree.fresh(b))


def change_outside(tree: Tree, a: int, b: int, n: int) -> None:
    (outside(tree) / f"other{n % 3}").write_bytes(b"somebody else's")


def away_and_back(tree: Tree, a: int, b: int, n: int) -> None:
    if place := tree.one(a, stat.S_ISDIR):
        place.rename(outside(tree) / "away")
        (outside(tree) / "away").rename(place)


def link_out(tree: Tree, a: int, b: int, n: int) -> None:
    """A name that no look finds."""
    if place := tree.one(a, lambda mode: not stat.S_ISDIR(mode)):
        os.link(place, outside(tree) / f"link{tree.made}-{len(os.listdir(outside(tree)))}", follow_symlinks=False)


def outside(tree: Tree) -> Path:
    return next(above for above in tree.top.parents if above.name == "source").parent / "outside"


MORE: tuple[Act, ...] = (
    write_mapped, write_in_place, move_out, move_in, change_outside, away_and_back, link_out,
)  # fmt: skip


def steps(acts: Sequence[Act], most: int) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, 2**31)
    return st.lists(st.tuples(st.integers(0, 2), st.sampled_from(acts), number, number, number), max_size=most)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Nothing is behind others, small shards, no half minute in which all counts as changed; a table is never dear."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (bulk, copier):
            patch.setattr(module, "flush", lambda *_: None)
        for module in (changes, cp):
            patch.setattr(module, "polite_command", list)
        patch.setattr("entrypoint.copy.copied.RACY", TICK)
        patch.setattr(copier, "SMALL_ENOUGH", 1 << 30)
        patch.setattr(shards, "LARGE_COUNT", 4)
        patch.setattr(shards, "SMALL_COUNT", 1)
        patch.setattr(transfer, "BATCH", 2)
        patch.setattr(choice, "is_cheaper", lambda *_: True)
        yield


DISKS = {
    "ext4": ("256M", "ext4", ("-N", "8192"), ""),
    "lazytime": ("256M", "ext4", ("-N", "8192"), "lazytime"),
    "xfs": ("512M", "xfs", (), ""),
}


@pytest.fixture(scope="module", params=DISKS)
def point(request: pytest.FixtureRequest) -> Iterator[Path]:
    size, kind, options, mounting = DISKS[request.param]
    with Disk(size, kind, options) as disk, disk.mounted(mounting) as place:
        yield place


def act_on(trees: Sequence[Tree], todo: Sequence[Step]) -> None:
    for which, act, a, b, n in todo:
        act(trees[which], a, b, n)


def make(folder: Path) -> tuple[Roots, list[Tree]]:
    source, target = folder / "source", folder / "target"
    for place in (target, folder / "outside/before/inside", *(source / place for place in TREES)):
        place.mkdir(parents=True)
    (folder / "outside/before/inside/file").write_bytes(b"old")
    fill(add_layer(source, "layer1"))
    silent()
    return Roots(source, target), [Tree(source / place) for place in TREES]


def told(found: Iterator[Change]) -> list[Told]:
    """In whatever order; a file is a file, of whatever kind."""
    return sorted((one.kind == DIRECTORY, *one[1:]) for one in found)


def require_same(inside: Copier, copied: Copied) -> tuple[int, int]:
    """The two looks say the same; how much has changed, and how many names its files have."""
    table = inside.last_look(copied)
    assert isinstance(table, TableLook)
    walk = Look(table.root, table.since, table.excludes, table.places, False, table.covered, table.namespace)
    by_walk = told(walk.changes())
    assert told(table.changes()) == by_walk
    inodes = {inode for is_folder, inode, *_ in by_walk if not is_folder}
    several = inodes | {change.inode for change in walk.below(b"") if change.links > 1}
    names = told(walk.names_of(several))
    assert told(table.names_of(several)) == names
    return len(by_walk), len(names)


two_full = [(1, make_full_directory, 0, 0, 0), (1, make_full_directory, 0, 0, 0)]


@example(two_full, [], [(1, exchange, 0, 2, 1)])
@example(two_full, [(1, exchange, 0, 2, 1)], [(1, away_and_back, 0, 2, 1)])
@example(two_full, [(1, rename, 0, 0, 0)], [(2, move_out, 0, 0, 1), (2, move_in, 0, 0, 1)])
@given(steps(MAKING, 25), steps((*CHANGING, *MORE), 8), steps((*CHANGING, *MORE), 12))
@seed(21)
@settings(max_examples=EXAMPLES, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
          suppress_health_check=[HealthCheck.too_slow], print_blob=True)  # fmt: skip
def test_the_table_tells_of_the_same_changes_as_a_walk(
    point: Path, making: list[Step], during: list[Step], after: list[Step]
) -> None:
    with tempfile.TemporaryDirectory(dir=point) as folder:
        roots, trees = make(Path(folder))
        act_on(trees, making)
        wait_for_the_clock(Path(folder) / "probe", 2 * TICK)
        copied = roots.pre_copy()
        act_on(trees, during)
        wait_for_the_clock(Path(folder) / "probe", 2 * TICK)
        with roots.copier.confined() as inside:
            copied = inside.passes(copied, roots.places)
        wait_for_the_clock(Path(folder) / "probe", 2 * TICK)
        act_on(trees, after)
        with roots.copier.confined() as inside:
            require_same(inside, copied)
        before = unallocated(roots.look(roots.source))
        roots.copier.final_sync(copied)
        roots.require_equal(copied, least=0)
        assert before == unallocated(roots.look(roots.source))


def unallocated(found: Survey) -> dict[bytes, Entry]:
    """Without the blocks that files have: xfs gives back by itself what it had set aside for more."""
    return {name: replace(entry, allocated=0) for name, entry in found.entries.items()}

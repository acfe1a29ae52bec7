"""Project ids go along with the copy, as ids of the target's own. On a real xfs; only who counts is made up, for many a
kernel does not (tests/vm/test_volumes.py has one that does)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrypoint import projects
from entrypoint.bulk import Bulk
from entrypoint.errors import CopyError
from entrypoint.projects import Quota
from entrypoint.unfinished import Unfinished
from tests.hosts import Disk
from tests.unit.data_root import CONTAINER, LAYER, VOLUME, Roots, make_roots, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

SIZED, OWN, LAYERS = 11, 12, 13
HELD = CONTAINER.removesuffix("/diff")
LATE = "volumes/late/_data"
MIB = 2048  # in 512 bytes


class FakeQuota(Quota):
    """Counts nothing; knows limits, and which ids are taken: those it knows a limit of, and those of directories."""

    def __init__(self, root: Path, limits: dict[int, int]) -> None:
        super().__init__(root)
        self.limits = limits

    def limit(self, project: int) -> int:
        return self.limits[project]

    def set_limit(self, project: int, blocks: int) -> None:
        self.limits[project] = blocks

    def highest(self) -> int:
        given = (project_of(place) for where in ("volumes/*/_data", "overlay2/*") for place in self.node.glob(where))
        return max(*self.limits, *given)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with Disk("512M", "xfs") as one, one.mounted() as point:
        yield point


@pytest.fixture
def roots(disk: Path, request: pytest.FixtureRequest) -> Roots:
    """A volume with a limit, a container with one, and a layer with an id that no copy needs."""
    folder = disk / request.node.name
    folder.mkdir()
    made = make_roots(folder)
    for place, project in ((VOLUME, SIZED), (HELD, OWN), (LAYER.removesuffix("/diff"), LAYERS)):
        assign(made.source / place, project)
    return made


@pytest.fixture
def counted(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """The limits by project of the target's file system, on which 40 is taken."""
    there = {40: 5 * MIB}
    here = {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB, 14: 60 * MIB}

    count(monkeypatch, {roots.source: here, roots.target: there})
    return there


def count(monkeypatch: pytest.MonkeyPatch, limits: dict[Path, dict[int, int]]) -> None:
    @contextmanager
    def quota_of(place: Path) -> Iterator[Quota]:
        yield FakeQuota(place, limits[place])

    monkeypatch.setattr(projects, "quota_of", quota_of)


def assign(top: Path, project: int) -> None:
    """As the engine does: the directory alone."""
    subprocess.run(["xfs_io", "-r", "-c", f"chproj {project}", "-c", "chattr +P", top], check=True)


def project_of(place: Path) -> int:
    shown = subprocess.run(["xfs_io", "-r", "-c", "lsproj", place], check=True, capture_output=True, text=True).stdout
    return int(shown.removeprefix("projid = "))


def below(top: Path) -> set[int]:
    """The ids of a directory and of all directories and files in it."""
    found = [
        top,
        *(place for place in top.rglob("*") if not place.is_symlink() and (place.is_dir() or place.is_file())),
    ]
    assert len(found) > 10
    return {project_of(one) for one in found}


def test_everything_in_the_copy_counts_for_an_id_that_is_free_there(roots: Roots, counted: dict[int, int]) -> None:
    copied = roots.pre_copy()
    volume, container = project_of(roots.target / VOLUME), project_of(roots.target / HELD)
    assert {volume, container} == {41, 42}
    assert below(roots.target / VOLUME) == {volume}
    assert below(roots.target / HELD) == {container}
    assert counted == {40: 5 * MIB}  # a copy must not meet a limit
    write(roots.source / VOLUME / "sub/new/er")
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert counted == {40: 5 * MIB, volume: 20 * MIB, container: 30 * MIB}
    assert below(roots.target / VOLUME) == {volume}
    assert {project_of(roots.target / place) for place in (LAYER, "overlay2/layer1", "volumes")} == {0}


def test_what_is_made_in_it_counts_too(roots: Roots, counted: dict[int, int]) -> None:
    roots.copier.final_sync(roots.pre_copy())
    assert project_of(write(roots.target / VOLUME / "sub/later/file")) == project_of(roots.target / VOLUME) > 40


def test_a_volume_that_is_made_after_the_pre_copy_has_its_limit(roots: Roots, counted: dict[int, int]) -> None:
    copied = roots.pre_copy()
    write(roots.source / LATE / "file")
    assign(roots.source / LATE, 14)
    roots.copier.final_sync(copied)
    late = project_of(roots.target / LATE)
    assert late == project_of(roots.target / LATE / "file") == max(counted)
    assert counted[late] == 60 * MIB


def test_a_limit_that_the_target_has_from_before_is_lifted_until_the_copy_is_done(
    roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roots.target / VOLUME / "older")
    assign(roots.target / VOLUME, 40)
    copy, seen = Bulk.copy, []

    def watched(self: Bulk) -> Unfinished:
        seen.append(dict(counted))
        return copy(self)

    monkeypatch.setattr(Bulk, "copy", watched)
    copied = roots.pre_copy()
    assert seen == [{40: 0}]
    roots.copier.final_sync(copied)
    assert below(roots.target / VOLUME) == {40}
    assert counted[40] == 20 * MIB


def test_a_limit_that_the_running_engine_uses_is_left_alone(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one file system an old root may have the ids of the root that is at work: engines count from 1."""
    one = {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB}
    count(monkeypatch, {roots.source: one, roots.target: one})
    write(roots.target / VOLUME / "older")
    assign(roots.target / VOLUME, SIZED)
    copied = roots.pre_copy()
    assert one == {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB}
    roots.copier.final_sync(copied)
    assert (own := project_of(roots.target / VOLUME)) > LAYERS
    assert (one[SIZED], one[own]) == (20 * MIB, 20 * MIB)


def test_where_users_are_mapped_limits_are_kept_too(roots: Roots, counted: dict[int, int]) -> None:
    mapped = f"100000.100000/{LATE}"
    write(roots.source / mapped / "file")
    assign(roots.source / mapped, 14)
    roots.copier.final_sync(roots.pre_copy())
    assert counted[project_of(roots.target / mapped / "file")] == 60 * MIB


def test_the_id_of_a_whole_root_is_nobodys_own(roots: Roots, counted: dict[int, int]) -> None:
    """An administrator can count all that an engine holds; volumes without a limit have that id, too."""
    for place in ("volumes", "volumes/data", VOLUME):
        assign(roots.source / place, 7)
    roots.copier.final_sync(roots.pre_copy())
    assert below(roots.target / VOLUME) == {0}


def test_where_projects_are_not_counted_nothing_is_done(roots: Roots) -> None:
    roots.copier.final_sync(roots.pre_copy())
    assert below(roots.target / VOLUME) == {0}
    assert not list(Path("/dev").glob("relocator-*"))


def test_what_cannot_be_set_is_said(roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(quota: Quota, project: int, blocks: int) -> None:
        raise OSError("no such thing")

    copied = roots.pre_copy()
    monkeypatch.setattr(FakeQuota, "set_limit", broken)
    with pytest.raises(CopyError, match="limit of size"):
        roots.copier.final_sync(copied)

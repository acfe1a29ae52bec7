"""Project ids go along with the copy, as ids of the target's own. On a real xfs; only who counts is made up, for many a
kernel does not (tests/vm/test_volumes.py has one that does)."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError, MoveError
from entrypoint.copy import size_limits as limits
from entrypoint.copy.bulk import Bulk
from entrypoint.copy.size_limits import own_projects
from entrypoint.engine.inventory import Status
from entrypoint.host.children import Result
from entrypoint.host.disks import filesystem
from entrypoint.host.disks.project_quota import Quota
from entrypoint.journal.unfinished import Unfinished
from tests.hosts import Disk
from tests.unit.support.data_root import CONTAINER, LAYER, VOLUME, Roots, make_roots, write
from tests.unit.support.good_facts import container

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

SIZED, OWN, LAYERS, TAKEN = 11, 12, 13, 40
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

    def left(self, project: int) -> int | None:
        limit = self.limits.get(project)
        return limit - used(self.node, project) if limit else None

    def highest(self) -> int:
        given = (project_of(place) for where in ("volumes/*/_data", "overlay2/*") for place in self.node.glob(where))
        return max([*self.limits, *given])


def used(root: Path, project: int) -> int:
    """In 512 bytes, by large files."""
    files = [one for one in root.rglob("*") if one.is_file() and not one.is_symlink()]
    large = [one for one in files if one.stat().st_blocks > MIB]
    return sum(one.stat().st_blocks for one in large if project_of(one) == project)


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
    there = {TAKEN: 5 * MIB}
    here = {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB, 14: 60 * MIB}
    count(monkeypatch, {roots.source: here, roots.target: there})
    # It is another file system to the product, with what is taken there.
    monkeypatch.setattr(limits.Limits, "_is_one", False)
    return there


def count(monkeypatch: pytest.MonkeyPatch, known: dict[Path, dict[int, int]]) -> None:
    numbers = {place.stat().st_ino: limits for place, limits in known.items()}  # also where it is confined

    @contextmanager
    def quota_of(place: Path) -> Iterator[Quota]:
        yield FakeQuota(place, numbers[place.stat().st_ino])

    monkeypatch.setattr(limits, "quota_of", quota_of)


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
    assert {volume, container} == {TAKEN + 2, TAKEN + 3}
    assert volume > container
    assert counted == {TAKEN: 5 * MIB}  # a copy must not meet a limit
    write(roots.source / VOLUME / "sub/new/er")
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert counted == {TAKEN: 5 * MIB, volume: 20 * MIB, container: 30 * MIB}
    assert below(roots.target / VOLUME) == {volume}
    assert below(roots.target / HELD) == {container}
    assert {project_of(roots.target / place) for place in (LAYER, "overlay2/layer1", "volumes")} == {0}


def test_what_is_made_in_it_counts_too_and_every_kind_of_entry_can_be_renamed(
    roots: Roots, counted: dict[int, int]
) -> None:
    """xfs lets nothing into a directory that has another id, and links and sockets cannot be given one afterwards."""
    roots.copier.final_sync(roots.pre_copy())
    volume = roots.target / VOLUME
    assert project_of(write(volume / "sub/later/file")) == project_of(volume) > TAKEN
    for name in ("first", "symlink", "fifo", "socket", "whiteout", "disk"):
        (volume / name).rename(volume / "sub" / name)
        os.link(volume / "sub" / name, volume / f"{name}-again", follow_symlinks=False)


@pytest.mark.parametrize("when", ["during the bulk", "after the pre-copy"])
def test_a_volume_that_is_made_meanwhile_has_its_limit(
    roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def make() -> None:
        write(roots.source / LATE / "file")
        assign(roots.source / LATE, 14)

    copy = Bulk.copy

    def meanwhile(self: Bulk) -> Unfinished:
        make()
        return copy(self)

    if when == "during the bulk":
        monkeypatch.setattr(Bulk, "copy", meanwhile)
    copied = roots.pre_copy()
    make()
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    late = project_of(roots.target / LATE)
    assert late == project_of(roots.target / LATE / "file") == max(counted)
    assert counted[late] == 60 * MIB


def test_limits_that_the_target_has_from_before_are_lifted_until_the_copy_is_done(
    roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the volume, which has a limit still, and one of what is no more, or has no limit any more."""
    for place, project in ((VOLUME, TAKEN), (LATE, 41)):
        write(roots.target / place / "older")
        assign(roots.target / place, project)
        counted[project] = 5 * MIB
    copy, seen = Bulk.copy, []

    def watched(self: Bulk) -> Unfinished:
        seen.append(dict(counted))
        return copy(self)

    monkeypatch.setattr(Bulk, "copy", watched)
    copied = roots.pre_copy()
    assert seen == [{TAKEN: 0, 41: 0}]
    roots.copier.final_sync(copied)
    assert below(roots.target / VOLUME) == {TAKEN}
    assert counted[TAKEN] == 20 * MIB


def test_a_limit_that_the_running_engine_uses_is_left_alone(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one file system an old root may have the ids of the root that is at work, and the engine goes on counting."""
    one = {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB}
    count(monkeypatch, {roots.source: one, roots.target: one})
    write(roots.target / VOLUME / "older")
    assign(roots.target / VOLUME, SIZED)
    copied = roots.pre_copy()
    assert one == {SIZED: 20 * MIB, OWN: 30 * MIB, LAYERS: 50 * MIB}
    roots.copier.final_sync(copied)
    assert (own := project_of(roots.target / VOLUME)) > LAYERS + 2**19
    assert below(roots.target / VOLUME) == {own}
    assert (one[SIZED], one[own]) == (20 * MIB, 20 * MIB)


def test_what_does_not_count_in_the_source_need_not_fit_in_the_copy(roots: Roots, counted: dict[int, int]) -> None:
    """The source was copied by hand, or by what carried no ids: its engine has given one to the directory alone."""
    write(roots.source / VOLUME / "sub/uncounted", bytes(30 * MIB * 512))
    roots.copier.final_sync(roots.pre_copy())
    volume = project_of(roots.target / VOLUME)
    assert counted[volume] == 20 * MIB
    assert below(roots.target / VOLUME) == {volume, 0}
    assert {project_of(roots.target / VOLUME / name) for name in ("first", "sub", "sub/uncounted")} == {0}
    assert below(roots.target / HELD) == {project_of(roots.target / HELD)}


def test_a_container_that_has_reached_its_limit_is_known(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {OWN: 10 * MIB}
    count(monkeypatch, {roots.source: known})
    write(roots.source / HELD / "full", bytes(9 * MIB * 512 + 1))
    running = container("db")
    write(roots.source / f"image/overlay2/layerdb/mounts/{running.id}/mount-id", b"container")
    assert limits.without_room(roots.source, [running, container("no-such")]) == ("db",)
    assert limits.without_room(roots.source, [replace(running, status=Status.EXITED)]) == ()
    with pytest.raises(MoveError, match="no room left"):
        limits.require_room(roots.source, [running])
    for known[OWN] in (12 * MIB, 0):
        assert limits.without_room(roots.source, [running]) == ()


def test_what_is_mounted_on_a_volume_is_not_looked_at(roots: Roots) -> None:
    assert own_projects(roots.source).keys() == {VOLUME, HELD, LAYER.removesuffix("/diff")}
    assert own_projects(roots.source, {VOLUME}).keys() == {HELD, LAYER.removesuffix("/diff")}


def test_where_users_are_mapped_limits_are_kept_too(roots: Roots, counted: dict[int, int]) -> None:
    mapped = f"100000.100000/{LATE}"
    write(roots.source / mapped / "file")
    assign(roots.source / mapped, 14)
    roots.copier.final_sync(roots.pre_copy())
    assert counted[project_of(roots.target / mapped / "file")] == 60 * MIB


def test_on_ext4_only_what_an_engine_can_limit_there_has_its_limit(
    roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next sized volume would get the id of a container that its engine knows nothing of."""
    mapped = f"100000.100000/{HELD}"
    write(roots.source / mapped / "file")
    assign(roots.source / mapped, 14)
    monkeypatch.setattr(limits, "run", lambda argv, timeout: Result((), 0, "ext2/ext3\n", ""))
    roots.copier.final_sync(roots.pre_copy())
    assert project_of(roots.target / VOLUME) > TAKEN
    assert {project_of(roots.target / place) for place in (HELD, mapped)} == {0}


def test_a_copy_that_was_finished_before_is_begun_anew(roots: Roots, counted: dict[int, int]) -> None:
    """The power failed after the limits were set, or the check of the copy did."""
    roots.copier.final_sync(roots.pre_copy())
    write(roots.source / VOLUME / "since")
    copied = roots.pre_copy()
    volume = project_of(roots.target / VOLUME)
    assert counted[volume] == 0
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert (below(roots.target / VOLUME), counted[volume]) == ({volume}, 20 * MIB)


def test_the_id_of_a_whole_root_is_nobodys_own(roots: Roots, counted: dict[int, int]) -> None:
    """An administrator can count all that an engine holds; volumes without a limit have that id, too."""
    for place in ("volumes", "volumes/data", VOLUME):
        assign(roots.source / place, 7)
    roots.copier.final_sync(roots.pre_copy())
    assert below(roots.target / VOLUME) == {0}


def test_where_projects_are_not_counted_nothing_is_done(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "DEVICES", tmp_path)  # on this machine others may be at work
    roots.copier.final_sync(roots.pre_copy())
    assert below(roots.target / VOLUME) == {0}
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_set_is_said(roots: Roots, counted: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(quota: Quota, project: int, blocks: int) -> None:
        raise OSError("no such thing")

    copied = roots.pre_copy()
    monkeypatch.setattr(FakeQuota, "set_limit", broken)
    with pytest.raises(CopyError, match="limit of size"):
        roots.copier.final_sync(copied)

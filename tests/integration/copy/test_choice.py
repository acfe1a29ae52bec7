"""By what the last looks go: the inode table where all is as it must be, and a walk in every doubt."""

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console.errors import RelocatorError
from entrypoint.copy.confirmation import Confirmation
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking import choice, index, table_look
from entrypoint.copy.looking.changes import Look
from entrypoint.copy.looking.comparison import Comparison
from entrypoint.copy.looking.table_look import TableLook
from entrypoint.copy.transfer import Sent
from entrypoint.journal.unfinished import INDEX
from tests.hosts import Disk
from tests.integration.copy.test_table_look import require_same
from tests.unit.support.data_root import CONTAINER, LAYER, VOLUME, Roots, make_roots, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the tree; and no half minute in which everything counts as changed."""
    monkeypatch.setattr(choice, "is_cheaper", lambda *_: True)
    monkeypatch.setattr("entrypoint.copy.copied.RACY", 0.02)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with Disk("2G", "ext4", ("-N", "8192")) as made, made.mounted() as point:
        yield point


@pytest.fixture
def roots(disk: Path, request: pytest.FixtureRequest) -> Roots:
    folder = disk / request.node.name.replace("[", "-").replace("]", "")
    folder.mkdir()
    return make_roots(folder)


def is_by_table(roots: Roots, copied: Copied) -> bool:
    with roots.copier.confined() as inside:
        return isinstance(inside.last_look(copied), TableLook)


def test_it_is_the_table_where_that_takes_less_time(roots: Roots) -> None:
    copied = roots.pre_copy()
    assert is_by_table(roots, copied)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_it_is_a_walk_where_a_table_is_larger_than_the_tree(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_cheaper", lambda *_: False)
    copied = roots.pre_copy()
    assert not (roots.target / INDEX).exists()
    assert not is_by_table(roots, copied)


def on_another_pass(roots: Roots, copied: Copied) -> Copied:
    return replace(copied, since=copied.since + 1)


def after_the_clock_was_set(roots: Roots, copied: Copied) -> Copied:
    return replace(copied, sets=copied.sets - 1)


def with_half_an_index(roots: Roots, copied: Copied) -> Copied:
    os.truncate(roots.target / INDEX, 100)
    return copied


def with_somebody_elses_index(roots: Roots, copied: Copied) -> Copied:
    os.chown(roots.target / INDEX, 1, 1)
    return copied


def with_another_root(roots: Roots, copied: Copied) -> Copied:
    roots.source.rename(roots.source.with_name("aside"))
    subprocess.run(["cp", "-a", "-T", roots.source.with_name("aside"), roots.source], check=True)
    return copied


@pytest.mark.parametrize("spoil", [
    on_another_pass, after_the_clock_was_set, with_half_an_index, with_somebody_elses_index, with_another_root,
])  # fmt: skip
def test_it_is_a_walk_in_every_doubt(roots: Roots, spoil: Callable[[Roots, Copied], Copied]) -> None:
    copied = spoil(roots, roots.pre_copy())
    write(roots.source / VOLUME / "late")
    assert not is_by_table(roots, copied)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_it_is_a_walk_where_the_roots_are_not_confined(roots: Roots) -> None:
    copied = roots.pre_copy()
    with roots.plain() as copier:
        assert not isinstance(copier.last_look(copied), TableLook)


def test_it_is_a_walk_where_more_has_changed_than_is_kept_in_memory(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = roots.pre_copy()
    for number in range(20):
        write(roots.source / VOLUME / f"late{number}")
    monkeypatch.setattr(choice, "MOST_CHANGED", 10)
    assert not is_by_table(roots, copied)


def test_it_is_a_walk_where_there_is_no_room_for_an_index(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(index, "atomic_write", full)
    copied = roots.pre_copy()
    assert not is_by_table(roots, copied)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_it_is_a_walk_where_the_device_is_gone_by_then(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = roots.pre_copy()
    monkeypatch.setattr("entrypoint.host.disks.filesystem.DEVICES", roots.source)
    monkeypatch.setattr(os, "mknod", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert not is_by_table(roots, copied)


@pytest.mark.parametrize("mounting", ["", "lazytime"])
def test_it_is_flushed_before_where_times_are_kept_back(mounting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nowhere else: what containers have written until the freeze may take long to write."""
    flushed: list[Path] = []
    with Disk("256M", "ext4", ("-N", "8192")) as made, made.mounted(mounting) as point:
        (point / "x").mkdir()
        roots = make_roots(point / "x")
        copied = roots.pre_copy()
        monkeypatch.setattr(choice, "flush", lambda place, _: flushed.append(place))
        assert is_by_table(roots, copied)
    assert len(flushed) == (mounting == "lazytime")


def test_it_is_a_walk_where_nothing_can_be_written_any_more() -> None:
    with Disk("256M", "ext4", ("-N", "8192")) as made, made.mounted() as point, Disk("256M") as other:
        (point / "x").mkdir()
        with other.mounted() as elsewhere:
            roots = make_roots(point / "x")
            roots = Roots(roots.source, elsewhere / "target")
            roots.target.mkdir()
            copied = roots.pre_copy()
            assert is_by_table(roots, copied)
            subprocess.run(["mount", "-o", "remount,ro", point], check=True)
            assert not is_by_table(roots, copied)


def test_the_check_reads_the_table_anew(roots: Roots) -> None:
    """What is written after the final sync, as by a program that nobody has ended, is found by the check."""
    copied = roots.pre_copy()
    roots.copier.final_sync(copied)
    write(roots.source / VOLUME / "sub/late")
    with pytest.raises(Exception, match="does not hold"):
        roots.copier.check(copied)


def test_a_directory_that_nobody_could_look_into_is_looked_into_by_the_last_look(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not there for the moment in which it was opened; neither it nor what is in it has changed since."""
    write(roots.source / VOLUME / "deep/er/file")
    real = Comparison.directory

    def passing_over(self: Comparison, where: bytes, inside: list[bytes] | None = None) -> object:
        return iter(()) if where.endswith(b"deep/er") else real(self, where, inside)

    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "directory", passing_over)
        copied = roots.pre_copy()
    time.sleep(0.1)
    (roots.source / VOLUME / "deep/er/file").write_bytes(b"changed")
    with roots.copier.confined() as inside:
        assert require_same(inside, copied)[0]
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_a_layer_that_is_none_any_more_is_looked_into(roots: Roots) -> None:
    """The database does not name it, and what is there is somebody's directory, who has changed a file in it."""
    copied = roots.pre_copy()
    time.sleep(0.1)
    entry = roots.source / "image/overlay2/layerdb/sha256" / "layer1".ljust(64, "0")
    (entry / "cache-id").unlink()
    write(roots.source / LAYER / "sub/late")
    write(roots.source / LAYER / "first", b"other content")
    with roots.copier.confined() as inside:
        assert require_same(inside, copied)[0] > 3
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_a_place_that_was_covered_only_while_all_was_compared_is_looked_into(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left out then, so that no index knows what is in it."""
    place = roots.source / VOLUME
    transfer, keep = Copier.transfer, choice.keep

    def mounting(self: Copier, look: Look) -> Sent:
        sent = transfer(self, look)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        return sent

    def unmounting(*given: Any) -> None:
        subprocess.run(["umount", place], check=True)
        keep(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Copier, "transfer", mounting)
        patch.setattr(choice, "keep", unmounting)
        copied = roots.pre_copy()
    time.sleep(0.1)
    (place / "first").write_bytes(b"changed")
    assert is_by_table(roots, copied)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_no_index_is_left_beside_the_places_of_another_pass(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that was cut off has noted a directory that came meanwhile, and the index of the one before has not."""
    aside = write(roots.source.parent / "aside/file").parent
    copied = roots.pre_copy()
    time.sleep(0.1)
    came = roots.source / VOLUME / "came"
    aside.rename(came)
    with monkeypatch.context() as patch:
        patch.setattr(Confirmation, "confirm", lambda _: (_ for _ in ()).throw(InterruptedError()))
        with pytest.raises(InterruptedError):
            roots.copier.onward(copied)
    time.sleep(0.1)
    (came / "file").write_bytes(b"changed")
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_nothing_may_go_while_changes_are_looked_for(roots: Roots) -> None:
    copied = roots.pre_copy()
    time.sleep(0.1)
    for number in range(3):
        write(roots.source / VOLUME / f"late{number}")
    with roots.copier.confined() as inside:
        found = inside.last_look(copied).changes()
        assert next(change for change in found if b"late" in change.name)
        for place in (roots.source / VOLUME).glob("late*"):
            place.unlink()
        with pytest.raises(RelocatorError, match="cannot be looked for"):
            list(found)


def test_a_place_that_is_left_out_is_not_looked_into(roots: Roots) -> None:
    copied = roots.pre_copy()
    time.sleep(0.1)
    for place in ("late", "tmp/late"):  # so that the root itself is listed
        write(roots.source / place)
    write(roots.source / LAYER / "sub/late")
    write(roots.source / CONTAINER / "late")
    with roots.copier.confined() as inside:
        table = inside.last_look(copied)
        found = {change.name for change in table.changes()}
        require_same(inside, copied)
    assert {b"late", os.fsencode(f"{CONTAINER}/late")} <= found
    assert not {name for name in found if name.startswith((b"tmp", os.fsencode(LAYER)))}


def test_more_directories_than_are_kept_by_name_are_walked(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = roots.pre_copy()
    time.sleep(0.1)
    write(roots.source / VOLUME / "sub/late")
    monkeypatch.setattr(table_look, "MOST", 0)
    monkeypatch.setattr(table_look.Sweep, "entries", lambda _: iter(()))
    with roots.copier.confined() as inside:
        assert require_same(inside, copied)[0]

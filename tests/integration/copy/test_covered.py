"""What is mounted on places of a data root while its engine runs is not the root's: it is neither copied nor counted,
and what is there by itself is copied when nothing is mounted any more."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.copy.copied import Copied
from entrypoint.copy.looking.left_out import covered_now
from entrypoint.host.disks.filesystem import mounts
from entrypoint.preflight.roots import measure
from tests.unit.support.data_root import MIB, Roots, make_roots, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

VOLUME = "volumes/near/_data"


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


def same_file_system(elsewhere: Path) -> tuple[str | Path, ...]:
    return "--bind", elsewhere


def another_file_system(elsewhere: Path) -> tuple[str | Path, ...]:
    return "-t", "tmpfs", "tmpfs"


@pytest.fixture(params=[same_file_system, another_file_system])
def how(request: pytest.FixtureRequest, roots: Roots) -> tuple[str | Path, ...]:
    elsewhere = roots.source.parent / "elsewhere"
    write(elsewhere / "foreign", b"x" * 5 * MIB)
    elsewhere.chmod(0o1777)
    found: tuple[str | Path, ...] = request.param(elsewhere)
    return found


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    made = make_roots(tmp_path)
    (made.source / VOLUME).mkdir(parents=True)
    write(made.source / "volumes/near/opts.json")
    write(made.source / "volumes/near/beside/file")
    return made


def finish(roots: Roots, copied: Copied) -> None:
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


@pytest.mark.parametrize("own", [False, True], ids=["nothing beneath", "something beneath"])
def test_what_is_mounted_all_the_time_is_not_copied(roots: Roots, how: tuple[str | Path, ...], own: bool) -> None:
    if own:
        write(roots.source / VOLUME / "dir/own", b"hidden")
    with mounted(*how, roots.source / VOLUME):
        write(roots.source / VOLUME / "more")
        copied = roots.pre_copy()
        assert copied.covered == (VOLUME,)
        assert not (roots.target / VOLUME).exists()
    finish(roots, copied)


def test_what_is_mounted_between_two_passes_is_not_copied(roots: Roots, how: tuple[str | Path, ...]) -> None:
    write(roots.source / VOLUME / "dir/own", b"copied before")
    copied = roots.pre_copy()
    with mounted(*how, roots.source / VOLUME):
        write(roots.source / VOLUME / "more")
        copied = roots.copier.noting_mounts(copied)
        roots.pass_over(copied)
        assert not (roots.target / VOLUME / "more").exists()
    finish(roots, copied)


def test_what_was_mounted_only_at_first_is_copied_as_it_is(roots: Roots, how: tuple[str | Path, ...]) -> None:
    write(roots.source / VOLUME / "dir/own", b"hidden")
    with mounted(*how, roots.source / VOLUME):
        copied = roots.pre_copy()
    again = roots.copier.noting_mounts(copied)
    roots.pass_over(again)
    finish(roots, again)


def test_a_directory_that_is_bound_on_itself_is_copied_while_the_engine_runs(roots: Roots) -> None:
    place = roots.source / "plugins/id/propagated-mount"
    write(place / "books/file", b"once upon a time")
    with mounted("--bind", place, place):
        copied = roots.pre_copy()
        assert copied.covered == ()
        assert (roots.target / "plugins/id/propagated-mount/books/file").exists()
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_what_is_mounted_does_not_count(roots: Roots, how: tuple[str | Path, ...]) -> None:
    before = measure(roots.source)
    with mounted(*how, roots.source / VOLUME):
        write(roots.source / VOLUME / "more", b"x" * 5 * MIB)
        covered = covered_now(PurePosixPath(roots.source), mounts())
        assert covered == [VOLUME]
        assert abs(measure(roots.source, covered).allocated - before.allocated) < MIB

"""btrfs: a subvolume below the data root is in no mount table, and no copy that stays on one file system takes it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.copy.looking.comparison import Comparison
from entrypoint.host.confined.removal import Removal
from entrypoint.preflight.roots import subvolumes
from tests.hosts import Disk
from tests.hosts.disk import is_known
from tests.unit.support.data_root import VOLUME, make_roots


@pytest.fixture
def root() -> Iterator[Path]:
    """A root on btrfs with a subvolume where a database would be."""
    if not is_known("btrfs"):
        pytest.skip("this kernel knows no btrfs")
    with Disk("512M", "btrfs") as disk, disk.mounted() as point:
        place = point / "docker"
        (place / "volumes/db/_data").mkdir(parents=True)
        (place / "volumes/db/_data/dir").mkdir()
        create(place / "volumes/db/_data/pg")
        (place / "volumes/db/_data/pg/row").write_text("precious")
        yield place


def create(place: Path) -> None:
    subprocess.run(["btrfs", "--quiet", "subvolume", "create", place], check=True)


def test_subvolumes_are_found(root: Path) -> None:
    assert subvolumes(root) == ("volumes/db/_data/pg",)
    subprocess.run(["btrfs", "--quiet", "subvolume", "delete", root / "volumes/db/_data/pg"], check=True)
    assert subvolumes(root) == ()


def test_what_was_not_copied_of_one_is_a_difference(root: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", "--one-file-system", "-T", root, tmp_path / "copy"], check=True)
    found = list(map(str, Comparison(root, tmp_path / "copy").differences()))
    assert "volumes/db/_data/pg is a file system of its own, and none of it was copied" in found


def test_none_is_removed_with_the_root(root: Path) -> None:
    done = Removal(root)
    done.remove(["volumes"])
    assert "subvolume" in done.problems[0]
    assert (root / "volumes/db/_data/pg/row").read_text() == "precious"


def refused(act: Callable[[], object]) -> str:
    """What a failure says; nothing of it is kept, for that would hold the disk."""
    try:
        act()
    except CopyError as error:
        return error.details
    return ""


def test_one_that_is_made_after_the_preflight_is_named_while_the_engine_runs() -> None:
    with Disk("1G", "btrfs") as disk, disk.mounted() as point:
        roots = make_roots(point)
        create(roots.source / VOLUME / "late")
        (roots.source / VOLUME / "late/row").write_text("precious")
        assert "late is a file system of its own" in refused(roots.pre_copy)


def test_one_that_is_made_after_the_comparison_is_named_before_the_switch() -> None:
    with Disk("1G", "btrfs") as disk, disk.mounted() as point:
        roots = make_roots(point)
        copied = roots.pre_copy()
        create(roots.source / VOLUME / "late")
        (roots.source / VOLUME / "late/row").write_text("precious")
        roots.copier.final_sync(copied)
        assert "late is a file system of its own" in refused(lambda: roots.copier.check(copied))

"""btrfs: a subvolume below the data root is in no mount table, and no copy that stays on one file system takes it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.comparison import Comparison
from entrypoint.removal import Removal
from entrypoint.roots import subvolumes
from tests.hosts import Disk
from tests.hosts.disk import is_known


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

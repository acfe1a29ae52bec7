"""What cannot be copied is told by its path, and why; what was copied until then is not copied again."""

import gc
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError, FullError
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking import shards
from entrypoint.journal.unfinished import Unfinished
from tests.hosts import Disk
from tests.integration.copy.test_copier import wait_for_the_clock
from tests.unit.support.data_root import VOLUME, Roots, begun, make_root, silent, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

TOO_LARGE = 17 << 40  # bytes; a file of ext4 has 16 TiB at most
HUGE = f"{VOLUME}/huge"


@pytest.fixture
def roots() -> Iterator[Roots]:
    """From xfs to ext4."""
    silent()
    with Disk("512M", "xfs") as one, Disk("256M", "ext4") as other, one.mounted() as here, other.mounted() as there:
        (there / "target").mkdir(mode=0o700)
        yield Roots(make_root(here / "source"), there / "target")
        gc.collect()  # a failure holds directories open, in a circle


def attempt(roots: Roots) -> None:
    roots.copier.pre_copy(Unfinished.read(roots.target) or begun())


@pytest.mark.parametrize("racy", [30.0, 0.0], ids=["found-by-a-pass", "found-by-the-comparison"])
def test_a_file_that_the_target_cannot_hold_is_told_and_the_rest_is_kept(
    roots: Roots, monkeypatch: pytest.MonkeyPatch, racy: float
) -> None:
    monkeypatch.setattr("entrypoint.copy.copied.RACY", racy)
    os.truncate(write(roots.source / HUGE), TOO_LARGE)
    wait_for_the_clock(roots.source / "probe", 0.1)
    with pytest.raises(CopyError) as caught:
        attempt(roots)
    assert f"'{HUGE}': File too large" in caught.value.details
    assert (f"{HUGE}: size is" in caught.value.details) is (racy == 0)
    record, before = Unfinished.read(roots.target), (roots.target / VOLUME / "first").stat()
    assert record is not None
    assert record.shards
    (roots.source / HUGE).unlink()
    attempt(roots)
    is_same = (roots.target / VOLUME / "first").stat().st_ino == before.st_ino
    assert is_same is (racy == 0)  # else it is as new as what may have been copied while it was written
    assert not (roots.target / HUGE).exists()


def test_attributes_that_the_target_cannot_hold_are_no_full_disk(roots: Roots) -> None:
    """xfs keeps 64 KiB of each; ext4 has one block for all of a file, and says that the disk is full."""
    large = write(roots.source / VOLUME / "large")
    os.setxattr(large, "user.large", bytes(20_000))
    with pytest.raises(CopyError) as caught:
        attempt(roots)
    assert not isinstance(caught.value, FullError)
    assert f"'{VOLUME}/large': it has more or larger extended attributes than fit" in caught.value.details
    record = Unfinished.read(roots.target)
    assert record is not None
    assert record.shards
    os.removexattr(large, "user.large")
    attempt(roots)


@pytest.mark.parametrize("racy", [30.0, 0.0], ids=["found-by-a-pass", "found-by-the-comparison"])
def test_what_cannot_be_looked_at_is_told_by_its_path(
    roots: Roots, monkeypatch: pytest.MonkeyPatch, racy: float
) -> None:
    """Names of attributes that nobody can list, for there are more than 64 KiB of them (listxattr(2), E2BIG)."""
    monkeypatch.setattr("entrypoint.copy.copied.RACY", racy)
    many = write(roots.source / VOLUME / "many")
    for number in range(300):
        os.setxattr(many, f"user.{number:0240}", b"")
    wait_for_the_clock(roots.source / "probe", 0.1)
    with pytest.raises(CopyError) as caught:
        attempt(roots)
    assert f"{VOLUME}/many" in caught.value.text()
    assert "Argument list too long" in caught.value.details


def test_what_was_finished_before_a_failure_is_kept(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it was not yet flushed, which is done now and then."""
    monkeypatch.setattr(shards, "SMALL_COUNT", 1)
    with monkeypatch.context() as patch, pytest.raises(CopyError, match="The copier is gone"):
        patch.setattr(Programs, "copy", all_but_the_first_fail())
        attempt(roots)
    record = Unfinished.read(roots.target)
    assert record is not None
    assert len(record.shards) == 1


def all_but_the_first_fail() -> Callable[..., str]:
    """Of the trees that are copied, when the first is there."""
    real, first, is_there = Programs.copy, threading.Lock(), threading.Event()

    def copy(self: Programs, what: str, source: Path, target: Path, names: Iterable[bytes]) -> str:
        if what != "trees":
            return real(self, what, source, target, names)
        if not first.acquire(blocking=False):
            assert is_there.wait(60)
            raise CopyError("The copier is gone.")
        said = real(self, what, source, target, names)
        is_there.set()
        return said

    return copy

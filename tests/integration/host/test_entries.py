"""What an entry has goes along, also what cp and rsync leave behind; and what cannot be opened is not waited for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.copy.looking.comparison import Comparison
from entrypoint.copy.tree_copier import TreeCopier
from entrypoint.host.confined.entries import open_file
from entrypoint.host.confined.removal import remove_beneath
from entrypoint.host.confined.tree import Tree
from tests.hosts import Disk
from tests.unit.support.data_root import acl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes disks, owners and attributes")

LETTERS = {"ext4": "iadAS", "xfs": "iadAS", "btrfs": "iadAS"}
MIB = 1 << 20


@pytest.fixture(scope="module", params=["ext4", "xfs", "btrfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    with Disk("1G", request.param) as one, one.mounted() as point:
        yield request.param, point
        subprocess.run(["chattr", "-R", "-ia", point], check=False)


@pytest.fixture
def trees(disk: tuple[str, Path], request: pytest.FixtureRequest) -> tuple[Path, Path]:
    top = disk[1] / str(abs(hash(request.node.name)))
    for name in ("source", "target"):
        (top / name).mkdir(parents=True)
    return top / "source", top / "target"


def copy(source: Path, target: Path, *names: bytes) -> list[str]:
    one, other = Tree(source), Tree(target)
    copier = TreeCopier(one.root, other.root)
    if names:
        copier.names(list(names))
    else:
        copier.tree(b"")
    return copier.said


def flags(place: Path) -> str:
    shown = subprocess.run(["lsattr", "-d", place], check=True, capture_output=True, text=True).stdout
    return "".join(letter for letter in shown.split()[0] if letter in "iadAS")


def test_what_chattr_sets_goes_along_and_does_not_keep_us_from_a_second_copy(
    disk: tuple[str, Path], trees: tuple[Path, Path]
) -> None:
    source, target = trees
    for letter in LETTERS[disk[0]]:
        (source / f"d{letter}").mkdir()
        (source / f"d{letter}/inner").write_text("content")
        for place in (source / letter, source / f"d{letter}"):
            place.is_dir() or place.write_text("content")
            subprocess.run(["chattr", f"+{letter}", place], check=True)
    for _ in range(2):
        assert copy(source, target) == []
        for letter in LETTERS[disk[0]]:
            assert flags(target / letter) == letter
            assert letter in flags(target / f"d{letter}")
            assert (target / letter).read_text() == "content"


@pytest.mark.parametrize("disk", ["btrfs"], indirect=True)
def test_btrfs_is_told_not_to_copy_on_write(trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "database").touch()
    subprocess.run(["chattr", "+C", source / "database"], check=True)
    (source / "database").write_bytes(os.urandom(MIB))
    assert copy(source, target, b"database") == []
    shown = subprocess.run(["lsattr", target / "database"], check=True, capture_output=True, text=True).stdout
    assert "C" in shown.split()[0]
    assert (target / "database").read_bytes() == (source / "database").read_bytes()


@pytest.mark.parametrize("keep", [[], ["--keep-size"]], ids=["within", "beyond the end"])
def test_what_is_set_aside_stays_so(trees: tuple[Path, Path], keep: list[str]) -> None:
    source, target = trees
    (source / "log").write_bytes(os.urandom(MIB))
    subprocess.run(["fallocate", *keep, "--length", "8MiB", source / "log"], check=True)
    os.sync()
    assert copy(source, target, b"log") == []
    os.sync()
    one, other = (source / "log").stat(), (target / "log").stat()
    assert (other.st_size, 512 * other.st_blocks >= 8 * MIB) == (one.st_size, True)
    assert (target / "log").read_bytes() == (source / "log").read_bytes()


def test_holes_stay_holes(trees: tuple[Path, Path]) -> None:
    source, target = trees
    with (source / "sparse").open("wb") as file:
        for at in (0, 40, 99):
            file.seek(at * MIB)
            file.write(b"data" * 1000)
        file.truncate(200 * MIB)
    os.sync()
    assert copy(source, target, b"sparse") == []
    assert (target / "sparse").stat().st_blocks < 2000
    assert subprocess.run(["cmp", source / "sparse", target / "sparse"], check=False).returncode == 0


def test_an_inherited_acl_does_not_come_to_what_has_none(disk: tuple[str, Path], trees: tuple[Path, Path]) -> None:
    source, target = trees
    for root in trees:
        (root / "folder").mkdir()
        os.setxattr(root / "folder", "system.posix_acl_default", acl(1000))
    (source / "folder/had").write_text("an ACL by being made there")
    plain = source / "plain"
    plain.write_text("none")
    os.mkfifo(source / "fifo")
    for name in ("plain", "fifo"):
        (source / name).rename(source / "folder" / name)
    assert copy(source, target) == []
    for name in ("had", "plain", "fifo"):
        assert os.listxattr(target / "folder" / name) == os.listxattr(source / "folder" / name), name


def test_nobody_is_waited_for_and_only_what_is_a_file_is_read(trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "sub").mkdir()
    for name in ("fifo", "sub/fifo"):
        os.mkfifo(source / name)
    assert copy(source, target) == []
    assert (target / "sub/fifo").is_fifo()
    assert copy(source, target, b"fifo", b"sub/fifo", b"gone", b"fifo/below") == []


@pytest.mark.parametrize("letter", ["i", "a"])
def test_a_file_that_nobody_may_change_keeps_its_other_names(trees: tuple[Path, Path], letter: str) -> None:
    source, target = trees
    (source / "one").write_text("content")
    for name in ("two", "three"):
        os.link(source / "one", source / name)
    subprocess.run(["chattr", f"+{letter}", source / "one"], check=True)
    for _ in range(2):
        assert copy(source, target) == []
        assert {(target / name).stat().st_ino for name in ("one", "two", "three")} == {(target / "one").stat().st_ino}
        assert flags(target / "two") == letter


def test_a_directory_that_nobody_may_change_can_lose_what_it_holds_in_the_copy(trees: tuple[Path, Path]) -> None:
    target = trees[1] / "fixed"
    (target / "sub/file").parent.mkdir(parents=True)
    (target / "sub/file").touch()
    subprocess.run(["chattr", "+i", target], check=True)
    with Tree(trees[1]).folder(b"fixed") as folder:
        assert remove_beneath(folder, ["sub"]) == []
    assert os.listdir(target) == []


def test_a_file_under_a_lease_is_read_when_the_kernel_has_ended_it(trees: tuple[Path, Path]) -> None:
    source = trees[0]
    (source / "leased").write_text("content")
    script = (
        f"import fcntl, sys, time; f = open({str(source / 'leased')!r}, 'r+'); "
        "fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK); "
        "import signal; signal.signal(signal.SIGIO, lambda *_: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)); "
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline()
        with Tree(source).folder(b"") as folder:
            handle = open_file(folder, b"leased")
            assert os.read(handle, 100) == b"content"
            os.close(handle)
        holder.kill()


def test_content_is_compared_where_there_is_any(trees: tuple[Path, Path]) -> None:
    """A hole of which anybody can make one that nobody could read to its end."""
    for root in trees:
        with (root / "hole").open("wb") as file:
            file.write(b"begin")
            file.truncate(1 << 43)
        os.utime(root / "hole", (1, 1))
    assert [str(one) for one in Comparison(*trees, content=True).entry(b"hole")] == []
    with (trees[1] / "hole").open("r+b") as file:
        file.seek(1 << 42)
        file.write(b"x")
    os.utime(trees[1] / "hole", (1, 1))
    assert [str(one) for one in Comparison(*trees, content=True).entry(b"hole")] == ["hole: content differs"]

"""Removing a tree takes all that is in it, and nothing that is reached through it."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrypoint.host.confined import removal
from entrypoint.host.confined.removal import Removal

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "volumes/data").mkdir(parents=True)
    (place / "volumes/data/file").write_text("x")
    return place


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    (place / "precious").mkdir(parents=True)
    (place / "precious/file").write_text("kept")
    return place


def require_kept(outside: Path) -> None:
    assert (outside / "precious/file").read_text() == "kept"


@contextmanager
def mounted(*arguments: object) -> Iterator[None]:
    subprocess.run(["mount", *map(str, arguments)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(arguments[-1])], check=True)


def test_everything_that_a_root_can_hold_is_removed(root: Path) -> None:
    odd = os.fsencode(root) + b"/volumes/data/odd\n\xff name"
    os.mkdir(odd)
    os.mkfifo(odd + b"/fifo")
    os.symlink("nowhere", odd + b"/link")
    os.link(root / "volumes/data/file", odd + b"/twin")
    os.chmod(odd, 0)
    (root / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)
        listener.bind("socket")
        os.chdir(here)
    done = Removal(root)
    done.remove(["volumes", "file", "socket", "was never there"])
    assert list(root.iterdir()) == []
    assert (done.removed, done.problems) == (9, [])


def test_only_what_is_named_is_removed(root: Path) -> None:
    (root / "mine").mkdir()
    Removal(root).remove(["volumes"])
    assert [place.name for place in root.iterdir()] == ["mine"]


@pytest.mark.parametrize("where", ["link", "volumes/link", "volumes/data/link"])
def test_a_symbolic_link_is_removed_and_not_followed(root: Path, outside: Path, where: str) -> None:
    (root / where).symlink_to(outside)
    Removal(root).remove(["volumes", "link"])
    assert list(root.iterdir()) == []
    require_kept(outside)


def test_a_root_that_is_a_link_is_refused(root: Path, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError):
        Removal(tmp_path / "link").remove(["precious"])
    require_kept(outside)


def test_a_directory_that_turns_into_a_link_is_not_followed(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening, as somebody with malice would do it."""
    data, is_directory = root / "volumes/data", Removal._is_directory

    def then_a_link(self: Removal, parent: int, name: str) -> bool:
        found = is_directory(self, parent, name)
        if name == "data":
            data.rename(root / "away")
            data.symlink_to(outside)
        return found

    monkeypatch.setattr(Removal, "_is_directory", then_a_link)
    done = Removal(root)
    done.remove(["volumes"])
    assert done.problems
    require_kept(outside)


@as_root
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
@pytest.mark.parametrize("where", ["volumes", "volumes/data"])
def test_what_is_mounted_below_is_not_entered(root: Path, outside: Path, kind: str, where: str) -> None:
    """A bind mount of the same file system has the same device number."""
    how = ["--bind", outside] if kind == "bind" else ["-t", "tmpfs", "tmpfs"]
    with mounted(*how, root / where):
        (root / where / "inside").touch()
        done = Removal(root)
        done.remove(["volumes"])
        assert (root / where / "inside").exists()
    assert "something is mounted there" in done.problems[0]
    require_kept(outside)
    again = Removal(root)
    again.remove(["volumes"])
    assert (list(root.iterdir()), again.problems) == ([], [])


@pytest.mark.parametrize("levels", [199, 200, 201, 1500])
def test_a_deep_tree_needs_no_deep_stack(root: Path, levels: int) -> None:
    """Deeper than a path may be long: made and removed level by level."""
    handle = os.open(root / "volumes", os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a long name for a directory", dir_fd=handle)
        inner = os.open("a long name for a directory", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    done = Removal(root)
    done.remove(["volumes"])
    assert (list(root.iterdir()), done.problems) == ([], [])
    assert done.removed == levels + 3


@as_root
def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(root: Path) -> None:
    locked = root / "volumes/data/locked"
    locked.touch()
    if subprocess.run(["chattr", "+i", locked], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        done = Removal(root)
        done.remove(["volumes"])
        assert [place.name for place in (root / "volumes/data").iterdir()] == ["locked"]
        assert done.problems == ["volumes/data/locked: Operation not permitted"]
    finally:
        subprocess.run(["chattr", "-i", locked], check=True)


def test_it_tells_how_far_it_is(root: Path) -> None:
    told: list[int] = []
    Removal(root, progress=told.append).remove(["volumes"])
    assert told == [1, 2, 3]


def test_the_mount_of_a_file_is_told_by_the_kernel(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert removal.mount_of(handle).isdecimal()
    finally:
        os.close(handle)


def test_a_deep_directory_is_moved_to_no_name_that_is_there(root: Path) -> None:
    deep = root / "volumes" / "/".join(["d"] * 250)
    deep.mkdir(parents=True)
    for number in range(1, 4):
        (root / f".relocator-removing-{number}").write_text("a tenant's own")
    done = Removal(root)
    done.remove(["volumes"])
    assert (done.problems, sorted(os.listdir(root))) == ([], [f".relocator-removing-{number}" for number in (1, 2, 3)])

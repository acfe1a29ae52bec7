"""What a tenant can leave in its volume to stall or end a copy, without any race: too deep, too long, too many, odd.

Each is copied, or told with its path; nothing hangs, and what was copied until then is kept.
"""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrypoint.host.confined.removal import Removal
from tests.hosts.survey import compare, survey
from tests.integration.support.copier_run import copier
from tests.unit.support.data_root import NOT_DATA, add_layer, fill, write

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes and owners"),
    pytest.mark.timeout(1200),
]

VOLUME = "volumes/attacker/_data"
RECORDS = {b".relocator-unfinished", b".relocator-places", b".relocator-index"}
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
LONG = 600.0  # seconds for what takes ten when the machine does nothing else
Make = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a source and a target; removed by a program that knows no deepest directory."""
    fill(add_layer(tmp_path / "source", "layer1"))
    write(tmp_path / "source" / VOLUME / "plain")
    (tmp_path / "target").mkdir(mode=0o700)
    yield tmp_path
    subprocess.run(["rm", "-rf", "--", str(tmp_path / "source"), str(tmp_path / "target")], check=True)


@pytest.fixture
def locked(folder: Path) -> Iterator[Path]:
    """The same, for files that nobody may change."""
    yield folder
    subprocess.run(["chattr", "-R", "-f", "-i", "-a", str(folder)], check=False, capture_output=True)


def copied(folder: Path) -> None:
    """Pre-copy, final sync and check come to a good end."""
    with copier(folder / "source", folder / "target", "--large", deadline=LONG) as run:
        told = run.answer()
        assert told.get("step") == "pre-copy", told.get("failed")
        run.go_on()
        told = run.answer()
        assert told.get("step") == "check", told.get("failed")


def require_equal(folder: Path) -> None:
    skip = NOT_DATA | RECORDS
    found = compare(survey(folder / "source", skip=skip), survey(folder / "target", skip=skip))
    assert not found, str(found)


# --- deeper and longer than a path may be ---------------------------------------------------------------------------


def make_chain(top: Path, names: list[bytes]) -> None:
    """One directory in the other, with a file in each, whatever the path comes to."""
    handle = os.open(top, FOLDER)
    for name in names:
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, FOLDER, dir_fd=handle)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=inner))
        os.close(handle)
        handle = inner
    os.symlink("../" * 10 + "etc/passwd", "link", dir_fd=handle)
    os.close(handle)


def chain(top: Path, names: list[bytes]) -> Iterator[tuple[object, ...]]:
    """What each directory of it holds, without a path."""
    handle = os.open(top, FOLDER)
    for name in (*names, None):
        inside = sorted(os.listdir(handle))
        facts = [os.stat(one, dir_fd=handle, follow_symlinks=False) for one in inside]
        yield tuple((one, fact.st_mode, fact.st_mtime_ns) for one, fact in zip(inside, facts, strict=True))
        if name is not None:
            inner = os.open(name, FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
    os.close(handle)


@pytest.mark.parametrize(
    "names", [[b"n" * 255] * 20, [b"d"] * 10_000, [b"%d" % n + b"x" * 40 for n in range(500)]],
    ids=["path-of-5000-bytes", "10000-deep", "path-of-20000-bytes"],
)  # fmt: skip
def test_a_tree_too_deep_for_a_path_is_copied(folder: Path, names: list[bytes]) -> None:
    make_chain(folder / "source" / VOLUME, names)
    copied(folder)
    places = [folder / root / VOLUME for root in ("source", "target")]
    for depth, (ours, theirs) in enumerate(zip(*(chain(place, names) for place in places), strict=True)):
        assert ours == theirs, depth


@pytest.mark.parametrize("depth", [1_500, pytest.param(10_000, marks=pytest.mark.matrix)])
def test_a_deep_tree_of_long_names_is_copied_given_up_and_removed(folder: Path, depth: int) -> None:
    """Its paths are of megabytes: what costs something for each byte of them, in each directory, comes to hours."""
    names = [b"%d" % number + b"x" * 245 for number in range(depth)]
    make_chain(folder / "source" / VOLUME, names)
    copied(folder)
    places = [folder / root / VOLUME for root in ("source", "target")]
    for level, (ours, theirs) in enumerate(zip(*(chain(place, names) for place in places), strict=True)):
        assert ours == theirs, level
    with copier(folder / "source", folder / "target", "--discard", deadline=LONG) as run:
        assert run.answer() == {"step": "discard"}
    assert [*(folder / "target").iterdir()] == []
    done = Removal(folder / "source")
    done.remove(["volumes"])
    assert (done.problems, (folder / "source/volumes").exists()) == ([], False)
    assert done.removed > 2 * depth


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "between-the-last-pass-and-the-freeze"])
def test_a_tree_without_a_bottom_is_refused_by_its_path(folder: Path, is_late: bool) -> None:
    """Who adds a directory to the last one as fast as we go down would keep us for ever."""
    names = [b"bottomless", *[b"d"] * 500]
    if not is_late:
        make_chain(folder / "source" / VOLUME, names)
    with copier(folder / "source", folder / "target", "--large", "--deepest=500", deadline=LONG) as run:
        told = run.answer()
        if is_late:
            assert told.get("step") == "pre-copy", told.get("failed")
            make_chain(folder / "source" / VOLUME, names)
            run.go_on()
            told = run.answer()
    assert "500 directories in each other" in told["failed"]
    assert f"{VOLUME}/bottomless/d/d" in told["failed"]
    assert told["kept"]


def test_a_deep_tree_of_long_names_does_not_take_memory_for_each_of_its_paths(folder: Path) -> None:
    """They are 125 MB of directories, and as many of their files; all of it comes in the last pass."""
    with copier(folder / "source", folder / "target", "--large", deadline=LONG) as run:
        assert run.answer().get("step") == "pre-copy"
        make_chain(folder / "source" / VOLUME, [b"%d" % n + b"x" * 240 for n in range(1000)])
        run.go_on()
        told = run.answer()
    assert told.get("step") == "check", told.get("failed")
    assert int(told["megabytes"]) < 100


# --- more names, and odder ------------------------------------------------------------------------------------------


def many_names(top: Path, count: int) -> None:
    (top / "many").mkdir()
    handle = os.open(top / "many", FOLDER)
    for number in range(count):
        os.mknod(b"\xff%d" % number, stat.S_IFREG | 0o600, dir_fd=handle)
    os.close(handle)


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.matrix)])
def test_a_directory_of_very_many_names_that_are_no_text_is_copied(folder: Path, count: int) -> None:
    many_names(folder / "source" / VOLUME, count)
    copied(folder)
    ours, theirs = (sorted(os.listdir(os.fsencode(folder / root / VOLUME / "many"))) for root in ("source", "target"))
    assert ours == theirs
    assert len(ours) == count


def odd_names(top: Path) -> None:
    """In a directory that is cut into shards, with every byte that a name may have."""
    for byte in set(range(1, 256)) - {ord("/")}:
        write(top / "odd" / os.fsdecode(bytes([byte]) * 3) / os.fsdecode(bytes([byte]) + b"file"))
    for word in ("-rf", "--parents", "$(reboot)", "`reboot`", "a\nb", " ", "*", "..a", "\\0", "%p", "~"):
        write(top / "odd" / word / word)


def nodes(top: Path) -> None:
    """Whatever an open of it would do: wait, be endless, or act."""
    for number in range(30):
        os.mkfifo(top / f"fifo{number}")
    for name, kind, device in (
        ("zero", stat.S_IFCHR, os.makedev(1, 5)),
        ("random", stat.S_IFCHR, os.makedev(1, 8)),
        ("console", stat.S_IFCHR, os.makedev(5, 1)),
        ("none", stat.S_IFCHR, os.makedev(0, 0)),
        ("disk", stat.S_IFBLK, os.makedev(7, 99)),
        ("socket", stat.S_IFSOCK, 0),
    ):
        os.mknod(top / name, kind | 0o644, device)
    os.link(top / "fifo0", top / "fifo-again")
    os.link(top / "zero", top / "zero-again")


def links(top: Path) -> None:
    """To themselves, in a circle, far away, into the other trees; with several names, too."""
    for name, place in (
        ("self", "self"),
        ("one", "two"),
        ("two", "one"),
        ("long", "x" * 4095),
        ("root", "/"),
        ("etc", "/etc"),
        ("up", "../" * 200),
        ("odd", os.fsdecode(b"\xff\n")),
        ("process", "/proc/self/fd/0"),
    ):
        (top / name).symlink_to(place)
    os.link(top / "etc", top / "etc-again", follow_symlinks=False)
    (top / "folder").mkdir()
    os.link(top / "up", top / "folder/up-again", follow_symlinks=False)


def our_own_names(top: Path) -> None:
    """A tenant's files that are called as ours are."""
    for name in (".relocator-unfinished", ".relocator-places", ".relocator-root", ".relocator-removing-1"):
        write(top / name, b'{"version": 2}')
    (top / "folder").mkdir()
    (top / "folder/.relocator-unfinished").symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [odd_names, nodes, links, our_own_names])
def test_what_is_odd_is_copied_as_it_is(folder: Path, make: Make) -> None:
    make(folder / "source" / VOLUME)
    copied(folder)
    require_equal(folder)


# --- what only some programs carry ----------------------------------------------------------------------------------


GET_FLAGS, EXTENTS = 0x80086601, 0x80000  # ioctl_iflags(2); whether a file is in extents is the file system's own


def flags(place: Path) -> int:
    """What chattr(1) has set."""
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return int.from_bytes(fcntl.ioctl(handle, GET_FLAGS, bytes(8))[:4], sys.byteorder) & ~EXTENTS
    finally:
        os.close(handle)


def test_what_chattr_has_set_is_carried(locked: Path) -> None:
    top = locked / "source" / VOLUME
    for flag in "iadAS":
        write(top / f"file-{flag}")
        write(top / f"folder-{flag}" / "inside")
        subprocess.run(["chattr", f"+{flag}", str(top / f"file-{flag}"), str(top / f"folder-{flag}")], check=True)
    copied(locked)
    require_equal(locked)
    for place in sorted(top.rglob("*")):
        assert flags(locked / "target" / VOLUME / place.relative_to(top)) == flags(place), place
    assert len({flags(place) for place in top.iterdir()}) == 6


def test_what_is_immutable_can_still_change_between_two_passes(locked: Path) -> None:
    """And be replaced in the copy, which has it immutable, too."""
    place = write(locked / "source" / VOLUME / "locked" / "file")
    subprocess.run(["chattr", "+i", str(place), str(place.parent)], check=True)
    with copier(locked / "source", locked / "target") as run:
        told = run.answer()
        assert told.get("step") == "pre-copy", told.get("failed")
        subprocess.run(["chattr", "-i", str(place), str(place.parent)], check=True)
        write(place, b"other")
        write(place.with_name("second"))
        subprocess.run(["chattr", "+i", str(place), str(place.parent)], check=True)
        run.go_on()
        told = run.answer()
        assert told.get("step") == "check", told.get("failed")
    require_equal(locked)


def test_a_copy_with_immutable_files_can_be_given_up(locked: Path) -> None:
    place = write(locked / "source" / VOLUME / "locked" / "file")
    subprocess.run(["chattr", "+i", str(place), str(place.parent)], check=True)
    copied(locked)
    with copier(locked / "source", locked / "target", "--discard") as run:
        told = run.answer()
    assert told.get("step") == "discard", told.get("failed")
    assert [*(locked / "target").iterdir()] == []


def test_blocks_that_were_set_aside_are_set_aside_in_the_copy(folder: Path) -> None:
    place = folder / "source" / VOLUME / "aside"
    with place.open("wb") as file:
        file.write(b"begin")
        subprocess.run(["fallocate", "--keep-size", "--length", "8MiB", str(place)], check=True)
    with (folder / "source" / VOLUME / "whole").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8 << 20)
    copied(folder)
    require_equal(folder)
    for name in ("aside", "whole"):
        ours, theirs = (folder / root / VOLUME / name for root in ("source", "target"))
        assert theirs.stat().st_blocks >= ours.stat().st_blocks > 16_000, name

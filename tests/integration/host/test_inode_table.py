"""The inode tables of file systems: nothing that has changed is missing, and an image that lies ends nothing."""

import os
import random
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from entrypoint.host.disks.inodes import ext4
from entrypoint.host.disks.inodes.ext4 import read
from entrypoint.host.disks.inodes.table import inode_table
from entrypoint.host.disks.inodes.unfit import UnfitError
from tests.hosts import Disk
from tests.hosts.command import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

MOST = 1 << 20
FORMATS = (
    "ext4",
    "ext4 -I 128",
    "ext4 -I 512",
    "ext4 -b 1024",
    "ext4 -O ^64bit",
    "ext4 -O ^metadata_csum",
    "ext4 -O ^metadata_csum,^uninit_bg",
    "ext4 -O ^flex_bg",
    "ext4 -O bigalloc",  # with blocks of 1,024 bytes the first is another then
    "ext4 -O inline_data",
    "ext4 -O ^has_journal",
    "ext4 -O sparse_super2,orphan_file",
    "ext4 -g 1024",
    "xfs",
    "xfs -i size=1024",
)


@contextmanager
def changed_since(point: Path, since: float) -> Iterator[set[int]]:
    with inode_table(point) as table:
        assert table is not None
        yield table.changed(since, MOST)


def inodes(point: Path, since: float = 0.0) -> set[int]:
    every = (Path(folder, name) for folder, folders, files in os.walk(point) for name in (*folders, *files))
    return {place.lstat().st_ino for place in every if place.lstat().st_ctime > since}


@pytest.mark.parametrize("made", FORMATS)
def test_what_has_changed_is_found_at_once_and_little_else(made: str) -> None:
    kind, *options = made.split()
    with Disk({"ext4": "64M", "xfs": "512M"}[kind], kind, options) as disk, disk.mounted() as point:
        for number in range(1500):
            (point / f"folder{number % 20}").mkdir(exist_ok=True)
            (point / f"folder{number % 20}/file{number}").touch()
        with changed_since(point, 1.0) as found:
            assert inodes(point) <= found
        since = wait_for_a_second(point)
        for number in range(0, 1500, 50):
            (point / f"folder{number % 20}/file{number}").chmod(0o600)
        (point / "new").mkdir()
        with changed_since(point, since) as found:
            now = inodes(point, since)
            assert len(now) == 31
            assert now <= found
            assert len(found - now) < 20  # the root, the journal, and what the file system keeps for itself


def wait_for_a_second(point: Path) -> float:
    """An instant from which on a second has passed since everything that was there before."""
    time.sleep(1.1)
    probe = point / "probe"
    probe.touch()
    since = probe.stat().st_ctime
    probe.unlink()
    time.sleep(1.1)
    return since + 0.5  # where times are of whole seconds, too


@pytest.mark.parametrize("options", [("-O", "meta_bg,^resize_inode"), ("-O", "journal_dev")], ids=" ".join)
def test_a_feature_that_is_not_known_is_no_table(options: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UnfitError):
        read_image(made(tmp_path, *options))


def test_another_file_system_has_no_table() -> None:
    with Disk("512M", "btrfs") as disk, disk.mounted() as point, inode_table(point) as table:
        assert table is None


def test_a_device_that_cannot_be_opened_is_no_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Disk("64M") as disk, disk.mounted() as point:
        with inode_table(point) as table:
            assert table is not None
        monkeypatch.setattr("entrypoint.host.disks.filesystem.DEVICES", tmp_path / "none")
        with inode_table(point) as table:
            assert table is None


def test_a_file_system_that_is_mounted_several_times_has_one(tmp_path: Path) -> None:
    with Disk("64M") as disk, disk.mounted() as point:
        (point / "inner").mkdir()
        (tmp_path / "again").mkdir()
        run(["mount", "--bind", point / "inner", tmp_path / "again"])
        try:
            with inode_table(tmp_path / "again") as table:
                assert table is not None
        finally:
            run(["umount", tmp_path / "again"])


def test_a_file_system_that_was_mounted_by_another_superblock_has_none() -> None:
    """The first, and the descriptors after it, are those of its last mount without one: they name no new inode."""
    with Disk("256M", "ext4", ("-b", "4096")) as disk:
        with disk.mounted() as point, inode_table(point) as table:
            assert table is not None
        with disk.mounted("sb=131072") as point, inode_table(point) as table:
            assert table is None


def made(folder: Path, *options: str) -> Path:
    image = folder / "image"
    run(["truncate", "--size", "64M", image])
    run(["mkfs.ext4", "-q", "-F", "-N", "4096", *options, image])
    return image


def read_image(image: Path) -> set[int]:
    with image.open("rb") as file:
        return read(file.fileno()).changed(0.0, MOST)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("image"))


def test_an_image_that_is_whole_is_read(image: Path) -> None:
    assert {2, 11} <= read_image(image)  # the root, and lost+found


FIELDS = (0x00, 0x04, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x38, 0x4C, 0x54, 0x58, 0x60, 0x64, 0xFE, 0x150)
BLOCK = 4096


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16), st.sampled_from(
    (0, 1, 2, 3, 127, 128, 255, 4096, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))), min_size=1, max_size=4),
    st.integers(0, 64 << 20))  # fmt: skip
@seed(21)
@settings(max_examples=100, deadline=None, database=None)
def test_an_image_that_lies_is_refused_or_read_within_its_bounds(
    image: Path, lies: list[tuple[bool, int, int]], end: int
) -> None:
    raw = bytearray(image.read_bytes()[: 1 << 20])
    for is_superblock, where, value in lies:
        at = 1024 + FIELDS[where % len(FIELDS)] if is_superblock else BLOCK + where % 256 // 4 * 4
        struct.pack_into("<I", raw, at, value)
    handle = os.memfd_create("image")
    try:
        os.write(handle, raw)
        os.ftruncate(handle, (64 << 20) if end % 3 else end)
        began = time.process_time()
        with suppress(UnfitError):
            assert len(read(handle).changed(0.0, MOST)) <= MOST
        assert time.process_time() - began < 20
    finally:
        os.close(handle)


def test_a_time_of_after_2038_counts_as_changed(tmp_path: Path) -> None:
    """Its seconds begin anew, and two bits more tell: whoever reads only the seconds takes it for 1970's."""
    image = made(tmp_path)
    with image.open("r+b") as file:
        table = read(file.fileno())
        (part, *_) = table.parts
        at = part.at + 10 * table.inode_size
        file.seek(at + ext4.CTIME)
        file.write(struct.pack("<I", 5))
        file.seek(at + ext4.EXTRA)
        file.write(struct.pack("<I", random.Random(21).getrandbits(30) << 2 | 1))
        file.flush()
        assert part.first + 10 in table.changed(2_000_000_000.0, MOST)
        file.seek(at + ext4.EXTRA)
        file.write(struct.pack("<I", 1 << 2))
        file.flush()
        assert part.first + 10 not in table.changed(2_000_000_000.0, MOST)

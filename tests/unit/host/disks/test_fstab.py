"""The line of fstab that a disk needs is the one that would mount it again as it is mounted now."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.host.disks import fstab
from entrypoint.host.disks.filesystem import Mount, unescape
from tests.unit.support.fakes import make_host
from tests.unit.support.good_facts import RW

DISK = Mount(PurePosixPath("/mnt/disk1"), "/dev/sdb1", "ext4", "8:17", RW)


@pytest.mark.parametrize(
    ("mount", "line"),
    [
        (DISK, "UUID=u-1 /mnt/disk1 ext4 defaults,nofail 0 2"),
        (replace(DISK, kind="xfs", options=RW | {"prjquota"}), "UUID=u-1 /mnt/disk1 xfs defaults,nofail,prjquota 0 0"),
        (replace(DISK, point=PurePosixPath("/mnt/my disk")), "UUID=u-1 /mnt/my\\040disk ext4 defaults,nofail 0 2"),
        (replace(DISK, root=PurePosixPath("/bound")), ""),
        (replace(DISK, source="tank/docker", kind="zfs"), ""),
    ],
)
def test_the_line_names_the_disk_its_place_and_what_it_is_mounted_with(mount: Mount, line: str) -> None:
    assert fstab.line(mount, "u-1") == line
    assert not line or fstab.lists(line, mount.point)


def test_without_a_uuid_the_line_names_the_device() -> None:
    assert fstab.line(DISK) == "/dev/sdb1 /mnt/disk1 ext4 defaults,nofail 0 2"


def test_a_name_is_read_as_it_was_written() -> None:
    for name in ("a b", "a\tb", "a\\b", "a\\040b"):
        assert unescape(fstab.escaped(name)) == name


@pytest.mark.parametrize(("source", "uuid"), [("/dev/sdb1", "u-2"), ("/dev/mapper/data", "u-3"), ("/dev/sdc", "")])
def test_the_uuid_is_that_of_the_link_that_leads_to_the_disk(tmp_path: Path, source: str, uuid: str) -> None:
    host = make_host(tmp_path)
    links = tmp_path / "dev/disk/by-uuid"
    links.mkdir(parents=True)
    (tmp_path / "dev/mapper").mkdir()
    (tmp_path / "dev/mapper/data").symlink_to("../dm-0")
    for name, disk in (("u-1", "sda1"), ("u-2", "sdb1"), ("u-3", "dm-0")):
        (links / name).symlink_to(f"../../{disk}")
    assert fstab.uuid_of(host, replace(DISK, source=source)) == uuid

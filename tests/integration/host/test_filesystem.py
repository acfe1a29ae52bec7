"""Durable writes that keep what a file has, and the kernel's mount table as it really looks."""

import os
import resource
import struct
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.host.disks.filesystem import (
    Mount,
    Space,
    atomic_write,
    existing_ancestor,
    flush,
    make_directories,
    mount_of,
    mounts,
    mounts_below,
    remove_durably,
)
from entrypoint.host.host import Host

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.mark.parametrize("content", [b"", b"new\n", os.urandom(3_000_000)], ids=len)
def test_a_file_is_made_with_content_and_mode(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "file"
    atomic_write(place, content)
    assert place.read_bytes() == content
    assert oct(place.stat().st_mode) == "0o100644"
    assert list(tmp_path.iterdir()) == [place]


def test_the_mode_of_a_new_file_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        atomic_write(tmp_path / "file", b"", mode=0o664)
    finally:
        os.umask(before)
    assert oct((tmp_path / "file").stat().st_mode) == "0o100664"


@root_only
def test_a_file_that_is_replaced_keeps_its_mode_owner_and_attributes(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"old")
    os.chown(place, 12, 34)
    place.chmod(0o6640)
    everyone = 0xFFFFFFFF
    entries = ((1, 6, everyone), (4, 4, everyone), (8, 6, 1000), (16, 6, everyone), (32, 0, everyone))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    for name, value in (("user.a", b"\0b"), ("trusted.c", b"d"), ("system.posix_acl_access", acl)):
        os.setxattr(place, name, value)
    before = place.stat()
    atomic_write(place, b"new", mode=0o600)
    after = place.stat()
    assert place.read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, 12, 34)
    assert {name: os.getxattr(place, name) for name in os.listxattr(place)} == {
        "user.a": b"\0b", "trusted.c": b"d", "system.posix_acl_access": acl,
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [place]


def test_whoever_has_the_old_file_open_keeps_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"old")
    with place.open("rb") as reader:
        atomic_write(place, b"new")
        assert reader.read() == b"old"


def test_a_draft_of_an_earlier_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".file.relocator").write_bytes(b"half of a much longer text")
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [place.name for place in tmp_path.iterdir()] == ["file"]


def test_a_draft_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "canary").write_bytes(b"canary")
    (tmp_path / ".file.relocator").symlink_to("canary")
    with pytest.raises(OSError, match="symbolic links"):
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "canary").read_bytes() == b"canary"


def test_a_symbolic_link_is_replaced_and_what_it_names_is_left_alone(tmp_path: Path) -> None:
    """So callers resolve it first, as the host does."""
    (tmp_path / "real").write_bytes(b"real")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"real"


def test_a_write_that_fails_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write(tmp_path / "file", b"new")
    assert [place.name for place in tmp_path.iterdir()] == ["file"]


def test_a_write_onto_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / ".file.relocator").write_bytes(b"of an earlier crash")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as on a disk that is full after so many bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            atomic_write(tmp_path / "file", b"x" * 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {place.name: place.read_bytes() for place in tmp_path.iterdir()} == {"file": b"old"}


def test_a_file_may_be_removed_twice_and_with_its_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remove_durably(tmp_path / "file")
    remove_durably(tmp_path / "file")
    remove_durably(tmp_path / "no/file")
    assert list(tmp_path.iterdir()) == []


def test_missing_directories_are_made_and_named_outermost_first(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o711)
    made = make_directories(tmp_path / "there/a/b", 0o700)
    assert made == (tmp_path / "there/a", tmp_path / "there/a/b")
    assert [oct(place.stat().st_mode) for place in (tmp_path / "there", *made)] == [
        "0o40711", "0o40700", "0o40700",
    ]  # fmt: skip
    assert make_directories(tmp_path / "there/a/b") == ()


def test_the_nearest_directory_that_exists_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/dangling").symlink_to("/no/where")
    host = Host(tmp_path)
    for path, found in (("/a", "/a"), ("/a/b/c", "/a"), ("/x/y", "/"), ("/a/dangling", "/a/dangling")):
        assert existing_ancestor(host, PurePosixPath(path)) == PurePosixPath(found)


def test_a_file_system_can_be_flushed_and_measured(tmp_path: Path) -> None:
    flush(tmp_path)
    space = Space.at(tmp_path)
    assert space.free > 0
    assert space.inodes is None or space.inodes > 0


# --- mountinfo ----------------------------------------------------------------------------------------------------

PLAIN = "36 35 98:0 /mnt1 /mnt/parent rw,noatime master:1 - ext3 /dev/root rw,errors=continue"


@pytest.mark.parametrize("optional", ["", "master:1 ", "shared:1 master:2 propagate_from:3 ", "unbindable "])
def test_a_line_is_read_whatever_optional_fields_it_has(optional: str) -> None:
    assert Mount.from_mountinfo(PLAIN.replace("master:1 ", optional)) == Mount(
        PurePosixPath("/mnt/parent"),
        "/dev/root",
        "ext3",
        "98:0",
        frozenset({"rw", "noatime", "errors=continue"}),
        PurePosixPath("/mnt1"),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"/my\040disk", "/my disk"),
        (r"/tab\011new\012line", "/tab\tnew\nline"),
        (r"/back\134slash", "/back\\slash"),
        (r"/back\134040", "/back\\040"),
        (r"/\134134\040", "/\\134 "),
        ("/größe", "/größe"),
        ("/a-b - c".replace(" ", r"\040"), "/a-b - c"),
        ("/\udcff", "/\udcff"),
    ],
)
def test_escapes_in_a_mount_point_are_decoded(written: str, meant: str) -> None:
    assert Mount.from_mountinfo(PLAIN.replace("/mnt/parent", written)).point == PurePosixPath(meant)


@pytest.mark.parametrize("name", ["/no\u00a0break", "/ideographic\u3000space", "/form\ffeed"])
def test_white_space_that_is_not_escaped_is_part_of_the_name(name: str) -> None:
    assert Mount.from_mountinfo(PLAIN.replace("/mnt/parent", name)).point == PurePosixPath(name)


def test_a_mount_may_have_an_empty_source() -> None:
    mount = Mount.from_mountinfo("36 35 0:40 / /mnt rw - tmpfs  ro,size=1k")
    assert (mount.source, mount.options) == ("", frozenset({"rw", "ro", "size=1k"}))


def table(*points: str) -> tuple[Mount, ...]:
    return tuple(
        Mount(PurePosixPath(point), f"dev{number}", "ext4", f"8:{number}", frozenset({"rw"}))
        for number, point in enumerate(points)
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", 0), ("/var/lib", 0), ("/mnt", 1), ("/mnt/data", 2), ("/mnt/data/x", 2), ("/mnt/database", 1), ("/x", 4)],
)
def test_a_path_lies_on_the_longest_mount_point_and_of_two_the_later(path: str, expected: int) -> None:
    found = table("/", "/mnt", "/mnt/data", "/x", "/x")
    assert mount_of(PurePosixPath(path), found) == found[expected]


def test_the_first_line_need_not_be_the_root() -> None:
    """On a host that was started through an initramfs it is /proc or /sys."""
    found = table("/proc", "/sys", "/", "/mnt")
    assert mount_of(PurePosixPath("/var/lib/docker"), found) == found[2]


def test_mounts_below_are_strictly_below() -> None:
    found = table("/", "/a", "/a/b", "/a/b/c", "/ab", "/a/b")
    assert mounts_below(PurePosixPath("/a"), found) == (found[2], found[3], found[5])


def test_this_machines_own_table_can_be_read() -> None:
    found = mounts()
    assert PurePosixPath("/") in [mount.point for mount in found]
    assert mount_of(PurePosixPath("/proc/1"), found).kind == "proc"

"""Every kind of difference between two trees is found, and equal trees have none."""

import os
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts import survey as module
from tests.hosts.survey import Differences, compare, host_survey, matching, survey

ODD = b"new\nline \xff"
MIB = 1024 * 1024
SECOND = 1_000_000_000

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes and changes owners")


def acl(*, group: int) -> bytes:
    """What `setfacl -m g:GROUP:rw` stores: version 2, then tag, permissions and id of each entry."""
    everyone = 0xFFFFFFFF
    entries = ((0x01, 6, everyone), (0x04, 4, everyone), (0x08, 6, group), (0x10, 6, everyone), (0x20, 4, everyone))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def build(tree: Path) -> Path:
    """Twice the same to the nanosecond, on every call."""
    root = os.fsencode(tree)
    os.makedirs(os.path.join(root, b"sub"))
    for name in (b"plain", b"sub/first", ODD):
        Path(os.fsdecode(os.path.join(root, name))).write_bytes(b"content")
    os.link(tree / "sub/first", tree / "second")
    (tree / "symlink").symlink_to("plain")
    os.mkfifo(tree / "fifo")
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(8 * MIB)
        sparse.seek(4 * MIB)
        sparse.write(b"data")
    os.mknod(tree / "socket", stat.S_IFSOCK | 0o755)  # bind(2) takes no path longer than 107 bytes
    if os.geteuid() == 0:
        os.mknod(tree / "device", 0o20600, os.makedev(1, 3))
    os.setxattr(tree / "plain", "user.colour", b"blue")
    os.setxattr(tree / "plain", "system.posix_acl_access", acl(group=1000))
    set_times(tree)
    return tree


def set_times(tree: Path) -> None:
    for folder, _, files in os.walk(os.fsencode(tree), topdown=False):
        for name in (*files, b"."):
            os.utime(os.path.join(folder, name), ns=(SECOND, SECOND + 123_456_789), follow_symlinks=False)


def change_mode(tree: Path) -> None:
    (tree / "plain").chmod(0o4755)


def change_owner(tree: Path) -> None:
    os.chown(tree / "plain", 1234, 5678)


def change_mtime(tree: Path) -> None:
    os.utime(tree / "plain", ns=(SECOND, SECOND + 123_456_790))


def change_directory_mtime(tree: Path) -> None:
    os.utime(tree / "sub", ns=(SECOND, SECOND + 123_456_790))


def change_symlink_mtime(tree: Path) -> None:
    os.utime(tree / "symlink", ns=(SECOND, SECOND + 123_456_790), follow_symlinks=False)


def change_xattr(tree: Path) -> None:
    os.setxattr(tree / "plain", "user.colour", b"red")


def drop_xattr(tree: Path) -> None:
    os.removexattr(tree / "plain", "user.colour")


def add_trusted_xattr(tree: Path) -> None:
    os.setxattr(tree / "sub", "trusted.overlay.opaque", b"y")


def add_capability(tree: Path) -> None:
    # cap_net_bind_service=ep, revision 2.
    os.setxattr(tree / "plain", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))


def change_acl(tree: Path) -> None:
    os.setxattr(tree / "plain", "system.posix_acl_access", acl(group=1001))


def break_link(tree: Path) -> None:
    (tree / "second").unlink()
    (tree / "second").write_bytes(b"content")
    set_times(tree)


def fill_sparse(tree: Path) -> None:
    content = (tree / "sparse").read_bytes()
    (tree / "sparse").write_bytes(content)
    set_times(tree)


def change_content(tree: Path) -> None:
    (tree / "plain").write_bytes(b"CONTENT")
    set_times(tree)


def change_sparse_content(tree: Path) -> None:
    with (tree / "sparse").open("r+b") as sparse:
        sparse.seek(4 * MIB)
        sparse.write(b"DATA")
    set_times(tree)


def move_sparse_content(tree: Path) -> None:
    (tree / "sparse").unlink()
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(8 * MIB)
        sparse.seek(5 * MIB)
        sparse.write(b"data")
    set_times(tree)


def change_size(tree: Path) -> None:
    (tree / "plain").write_bytes(b"content\0")
    set_times(tree)


def remove(tree: Path) -> None:
    os.unlink(os.path.join(os.fsencode(tree), ODD))
    set_times(tree)


def add(tree: Path) -> None:
    (tree / "sub/late").mkdir()
    set_times(tree)


def change_device(tree: Path) -> None:
    (tree / "device").unlink()
    os.mknod(tree / "device", 0o20600, os.makedev(1, 5))
    set_times(tree)


def change_target(tree: Path) -> None:
    (tree / "symlink").unlink()
    (tree / "symlink").symlink_to("sub/first")
    set_times(tree)


def change_type(tree: Path) -> None:
    (tree / "fifo").unlink()
    (tree / "fifo").write_bytes(b"")
    set_times(tree)


CASES: tuple[tuple[Callable[[Path], None], list[str]], ...] = (
    (change_mode, ["plain: mode 0664 -> 4755", "plain: xattr system.posix_acl_access"]),
    (change_owner, ["plain: owner 0:0 -> 1234:5678"]),
    (change_mtime, ["plain: mtime 1123456789 -> 1123456790"]),
    (change_directory_mtime, ["sub: mtime 1123456789 -> 1123456790"]),
    (change_symlink_mtime, ["symlink: mtime 1123456789 -> 1123456790"]),
    (change_xattr, ["plain: xattr user.colour 0x626c7565 -> 0x726564"]),
    (drop_xattr, ["plain: xattr user.colour 0x626c7565 -> none"]),
    (add_trusted_xattr, ["sub: xattr trusted.overlay.opaque none -> 0x79"]),
    (add_capability, ["plain: xattr security.capability none -> 0x"]),
    (change_acl, ["plain: xattr system.posix_acl_access 0x"]),
    (break_link, ["second: links second = sub/first -> none", "sub/first: links second = sub/first -> none"]),
    (fill_sparse, ["sparse: sparse "]),
    (change_content, ["plain: content "]),
    (change_sparse_content, ["sparse: content "]),
    (move_sparse_content, ["sparse: content "]),
    (change_size, ["plain: size 7 -> 8", "plain: content "]),
    (remove, ["new\\nline \\xff: missing"]),
    (add, ["sub/late: extra"]),
    (change_device, ["device: device 1:3 -> 1:5"]),
    (change_target, ["symlink: size 5 -> 9", "symlink: target plain -> sub/first"]),
    (change_type, ["fifo: type fifo -> file"]),
)


def test_trees_built_alike_have_no_difference(tmp_path: Path) -> None:
    before, after = survey(build(tmp_path / "before")), survey(build(tmp_path / "after"))
    assert compare(before, after) == []
    assert {b".", b"plain", b"sub/first", ODD} <= before.entries.keys()


@root_only
@pytest.mark.parametrize(("change", "expected"), CASES, ids=[change.__name__ for change, _ in CASES])
def test_a_change_is_found_and_nothing_else(
    tmp_path: Path, change: Callable[[Path], None], expected: list[str]
) -> None:
    before, tree = survey(build(tmp_path / "before")), build(tmp_path / "after")
    change(tree)
    found = compare(before, survey(tree))
    assert len(found) == len(expected), str(found)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), str(found)


@root_only
def test_processes_see_what_one_process_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = build(tmp_path / "tree")
    alone = survey(tree)
    monkeypatch.setattr(module, "SMALL_TREE", 0)
    assert survey(tree) == alone


def test_access_times_stay(tmp_path: Path) -> None:
    tree = build(tmp_path / "tree")
    survey(tree)
    assert {os.stat(tree / name).st_atime_ns for name in ("plain", "sub")} == {SECOND}


def test_a_sparse_file_may_become_sparser(tmp_path: Path) -> None:
    tree = build(tmp_path / "tree")
    sparse = survey(tree)
    fill_sparse(tree)
    assert compare(survey(tree), sparse) == []


def test_skipped_directories_are_not_entered(tmp_path: Path) -> None:
    tree = build(tmp_path / "tree")
    for skip in ({b"sub"}, matching(b"s?b")):
        found = survey(tree, skip=skip).entries
        assert not {path for path in found if path.startswith(b"sub")}
        # Its other name lies outside what was looked at.
        assert found[b"second"].links == ()


def test_differences_can_be_ignored_by_aspect_and_by_path(tmp_path: Path) -> None:
    before, tree = survey(build(tmp_path / "before")), build(tmp_path / "after")
    change_mtime(tree)
    (tree / "second").unlink()
    after = survey(tree)
    assert compare(before, after, ignore={"mtime", "links"}) == ["second: missing"]
    assert compare(before, after, ignore=lambda path, _aspect: path != b"plain") == [
        "plain: mtime 1123456789 -> 1123456790"
    ]


def test_many_differences_are_counted_and_not_all_shown() -> None:
    found = Differences(str(number) for number in range(100))
    assert len(found) == 100
    assert str(found).splitlines()[-1] == "… and 60 more"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A tree in which sub/ is a file system of its own, with one file."""
    tree = build(tmp_path / "tree")
    if subprocess.run(["mount", "-t", "tmpfs", "none", tree / "sub"], check=False, capture_output=True).returncode:
        pytest.skip("cannot mount")
    try:
        (tree / "sub/inside").touch()
        yield tree
    finally:
        subprocess.run(["umount", tree / "sub"], check=True)


def test_mount_points_are_recorded_and_not_entered(mounted: Path) -> None:
    found = survey(mounted).entries
    assert [path for path, entry in found.items() if entry.mount_point] == [b"sub"]
    assert b"sub/inside" not in found
    assert b"inside" in survey(mounted / "sub").entries


def make_host(root: Path) -> Path:
    for folder in ("etc/docker", "run/systemd/system", "var/lib/docker/containers/1", "mnt/disk"):
        (root / folder).mkdir(parents=True)
    (root / "etc/docker/daemon.json").write_text("{}\n")
    return root


def test_a_host_survey_sees_configuration_and_target_but_not_what_runs(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = host_survey(host, target="/mnt/disk/docker")
    (host / "var/lib/docker/containers/1/log").write_text("noise")
    assert compare(before, host_survey(host, target="/mnt/disk/docker")) == []
    (host / "etc/docker/daemon.json").write_text("{ }")
    (host / "run/systemd/system/docker.service.d").mkdir()
    (host / "mnt/disk/docker").mkdir()
    found = compare(before, host_survey(host, target="/mnt/disk/docker"), ignore={"mtime"})
    assert [line.split(": ")[0] for line in found] == [
        "etc/docker/daemon.json",
        "mnt/disk/docker",
        "run/systemd/system/docker.service.d",
    ]


def test_something_made_beside_the_target_and_removed_leaves_a_trace(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = host_survey(host, target="/mnt/disk/docker")
    (host / "mnt/disk/probe").mkdir()
    (host / "mnt/disk/probe").rmdir()
    (difference,) = compare(before, host_survey(host, target="/mnt/disk/docker"))
    assert difference.startswith("mnt/disk: mtime ")

"""Equal trees have no difference, and each single difference is found and named."""

import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.copy.looking.comparison import SHOWN, Comparison, require_equal
from tests.integration.support.trees import ODD, TIME, build, differences, set_times
from tests.unit.support.data_root import acl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, owners and trusted attributes")


def change_mode(tree: Path) -> None:
    (tree / "sub").chmod(0o4711)


def change_mode_of_the_root(tree: Path) -> None:
    tree.chmod(0o700)


def change_owner(tree: Path) -> None:
    os.lchown(tree / "symlink", 7, 8)


def change_time_by_a_nanosecond(tree: Path) -> None:
    os.utime(tree / "sub/deep/inner", ns=(TIME[0], TIME[1] + 1))


def change_time_of_a_directory(tree: Path) -> None:
    os.utime(tree / "sub", ns=(TIME[0], TIME[1] + 1))


def change_size(tree: Path) -> None:
    (tree / "sub/deep/inner").write_bytes(b"content\0")


def change_attribute(tree: Path) -> None:
    os.setxattr(tree / "plain", "user.colour", b"red")


def drop_attribute(tree: Path) -> None:
    os.removexattr(tree / "plain", "user.colour")


def add_trusted_attribute(tree: Path) -> None:
    os.setxattr(tree / "sub", "trusted.overlay.opaque", b"y")


def add_attribute_to_a_symlink(tree: Path) -> None:
    os.setxattr(tree / "symlink", "trusted.mark", b"y", follow_symlinks=False)


def change_category(tree: Path) -> None:
    """A label whose other fields stay."""
    label = b"system_u:object_r:container_file_t:s0:c1,c2\0"
    assert os.getxattr(tree / "sub", "security.selinux") == label
    os.setxattr(tree / "sub", "security.selinux", label.replace(b"c2", b"c3"))


def drop_label(tree: Path) -> None:
    os.removexattr(tree / "sub", "security.selinux")


def add_capability(tree: Path) -> None:
    os.setxattr(tree / "plain", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))


def change_acl(tree: Path) -> None:
    os.setxattr(tree / "plain", "system.posix_acl_access", acl(1001))


def remove(tree: Path) -> None:
    (tree / ODD).unlink()


def remove_directory(tree: Path) -> None:
    (tree / "sub/deep/inner").unlink()
    (tree / "sub/deep").rmdir()


def add(tree: Path) -> None:
    (tree / "sub/deep/late").mkdir()


def change_device(tree: Path) -> None:
    (tree / "device").unlink()
    os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))


def change_kind_of_device(tree: Path) -> None:
    (tree / "device").unlink()
    os.mknod(tree / "device", stat.S_IFBLK | 0o600, os.makedev(1, 3))


def point_elsewhere(tree: Path) -> None:
    (tree / "symlink").unlink()
    (tree / "symlink").symlink_to("plaim")


def change_type(tree: Path) -> None:
    (tree / "fifo").unlink()
    (tree / "fifo").write_bytes(b"")


def file_instead_of_directory(tree: Path) -> None:
    remove_directory(tree)
    (tree / "sub/deep").write_bytes(b"")


def break_hard_link(tree: Path) -> None:
    (tree / "second").unlink()
    (tree / "second").write_bytes(b"content")


# The change, and how the differences begin. Times are set again after it but where the change is one of time.
CASES: tuple[tuple[Callable[[Path], None], list[str]], ...] = (
    (change_mode, ["sub: mode is 0o4711, in the source 0o755"]),
    (change_mode_of_the_root, ["the data root itself: mode is 0o700, in the source 0o755"]),
    (change_owner, ["symlink: owner is 7:8, in the source 0:0"]),
    (change_time_by_a_nanosecond, ["sub/deep/inner: time is 1123456790, in the source 1123456789"]),
    (change_time_of_a_directory, ["sub: time is 1123456790, in the source 1123456789"]),
    (change_size, ["sub/deep/inner: size is 8, in the source 7"]),
    (change_attribute, ["plain: extended attributes differ"]),
    (drop_attribute, ["plain: extended attributes differ"]),
    (add_trusted_attribute, ["sub: extended attributes differ"]),
    (add_attribute_to_a_symlink, ["symlink: extended attributes differ"]),
    (change_category, ["sub: extended attributes differ"]),
    (drop_label, ["sub: extended attributes differ"]),
    (add_capability, ["plain: extended attributes differ"]),
    (change_acl, ["plain: extended attributes differ"]),
    (remove, ["new\\nline \\\\xff is missing"]),
    (remove_directory, ["sub/deep is missing"]),
    (add, ["sub/deep/late is not in the source"]),
    (change_device, ["device: device is 261, in the source 259"]),
    (change_kind_of_device, ["device: type is 24576, in the source 8192"]),
    (point_elsewhere, ["symlink: points elsewhere"]),
    (change_type, ["fifo: type is 32768, in the source 4096"]),
    (file_instead_of_directory, ["sub/deep: mode is ", "sub/deep: type is 32768, in the source 16384"]),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return build(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return build(tmp_path / "target")


def test_equal_trees_have_no_difference_and_every_entry_is_counted(source: Path, target: Path) -> None:
    assert differences(source, target) == []
    assert require_equal(Comparison(source, target)) == 11


@pytest.mark.parametrize(("change", "expected"), CASES, ids=[change.__name__ for change, _ in CASES])
def test_a_difference_is_found_and_nothing_else(
    source: Path, target: Path, change: Callable[[Path], None], expected: list[str]
) -> None:
    change(target)
    if "time" not in change.__name__:
        set_times(target)
    found = differences(source, target)
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found
    with pytest.raises(CopyError):
        require_equal(Comparison(source, target))


def test_what_has_no_label_may_have_been_given_one_by_the_kernel(source: Path, target: Path) -> None:
    os.setxattr(target / "plain", "security.selinux", b"system_u:object_r:unlabeled_t:s0\0")
    assert differences(source, target) == []


def test_names_of_one_file_that_became_two_are_found(source: Path, target: Path) -> None:
    break_hard_link(target)
    set_times(target)
    (found,) = differences(source, target)
    assert found in [f"{name}: is no longer a hard link of its other names" for name in ("second", "sub/first")]


def test_two_files_that_became_one_are_found(source: Path, target: Path) -> None:
    (target / "sub/deep/inner").unlink()
    os.link(target / "second", target / "sub/deep/inner")
    set_times(target)
    found = differences(source, target)
    assert len(found) in (1, 2)
    assert all(line.endswith(": is a hard link of what is another file in the source") for line in found)


def test_a_file_that_has_a_second_name_in_the_target_alone_is_found(source: Path, target: Path) -> None:
    """Both names are files of one name each in the source."""
    (target / "sub/deep/inner").unlink()
    os.link(target / ODD, target / "sub/deep/inner")
    set_times(target)
    (found,) = differences(source, target)
    assert found.endswith(": is a hard link of what is another file in the source")


def test_many_differences_are_not_all_shown(source: Path, target: Path) -> None:
    for number in range(SHOWN + 10):
        (source / f"only{number}").touch()
    with pytest.raises(CopyError) as refused:
        require_equal(Comparison(source, target))
    lines = refused.value.details.splitlines()
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "and more"


def test_what_is_linked_is_known_by_its_inode_and_what_is_not_is_looked_at(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for place in ("one", "sub/two", "sub/three"):
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        (source / place).write_text(place)
    subprocess.run(["cp", "-a", "--link", "-T", source, target], check=True)
    assert require_equal(Comparison(source, target, linked=True)) == 5
    (target / "one").unlink()
    shutil.copy2(source / "one", target / "one")
    (target / "one").chmod(0o600)
    (target / "sub").chmod(0o700)
    (target / "sub/two").unlink()
    (target / "sub/more").write_text("")
    found = {difference.name for difference in Comparison(source, target, linked=True).differences()}
    assert found == {b"", b"one", b"sub", b"sub/two", b"sub/more"}  # the root has another time

"""Whatever happens to a data root between the pre-copy and the final sync, the target is equal afterwards."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.survey import compare
from tests.unit.support.data_root import (
    MIB,
    ODD,
    SECOND,
    VOLUME,
    Roots,
    acl,
    add_layer,
    fill,
    make_roots,
    unseen_write,
    write,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, owners and trusted attributes")

Change = Callable[[Path], None]


def unseen_replacement(place: Path) -> None:
    status = place.stat()
    new = write(place.with_name("new"), b"x" * status.st_size)
    shutil.copystat(place, new)
    new.replace(place)


def change_content_unseen(root: Path) -> None:
    unseen_write(root / VOLUME / "immense")


def change_hard_linked_content_unseen(root: Path) -> None:
    unseen_write(root / VOLUME / "first")


def change_odd_names_unseen(root: Path) -> None:
    for name in ODD:
        unseen_write(root / VOLUME / "odd" / os.fsdecode(name))


def replace_file_unseen(root: Path) -> None:
    unseen_replacement(root / VOLUME / "empty")
    unseen_replacement(root / VOLUME / "immense")


def write_into_a_hole_unseen(root: Path) -> None:
    status = (root / VOLUME / "sparse").stat()
    with (root / VOLUME / "sparse").open("r+b") as sparse:
        sparse.seek(2 * MIB)
        sparse.write(b"late")
    os.utime(root / VOLUME / "sparse", ns=(status.st_atime_ns, status.st_mtime_ns))


def append(root: Path) -> None:
    with (root / VOLUME / "first").open("ab") as file:
        file.write(b"more")


def truncate(root: Path) -> None:
    os.truncate(root / VOLUME / "immense", 10)
    os.truncate(root / VOLUME / "sparse", 9 * MIB)


def change_mode_alone(root: Path) -> None:
    (root / VOLUME / "empty").chmod(0o4700)
    (root / VOLUME / "sub").chmod(0o1777)


def change_owner_alone(root: Path) -> None:
    for name in ("empty", "sub", "symlink", "fifo", "whiteout"):
        os.lchown(root / VOLUME / name, 77, 88)


def change_time_alone(root: Path) -> None:
    for name in ("empty", "sub", "symlink", "fifo"):
        os.utime(root / VOLUME / name, ns=(0, 5 * SECOND + 1), follow_symlinks=False)


def change_attributes_alone(root: Path) -> None:
    os.setxattr(root / VOLUME / "first", "user.colour", b"red")
    os.removexattr(root / VOLUME / "sub", "trusted.overlay.opaque")
    os.setxattr(root / VOLUME / "empty", "trusted.new", b"1")
    os.setxattr(root / VOLUME / "owned", "system.posix_acl_access", acl(1001))
    os.removexattr(root / VOLUME / "sub", "system.posix_acl_default")
    os.removexattr(root / VOLUME / "setuid", "security.capability")


def delete(root: Path) -> None:
    for name in ("immense", "fifo", "socket", "whiteout", "symlink", "sub/second"):
        (root / VOLUME / name).unlink()
    shutil.rmtree(root / VOLUME / "odd")


def rename(root: Path) -> None:
    (root / VOLUME / "immense").rename(root / VOLUME / "sub/immense")
    (root / VOLUME / "odd").rename(root / VOLUME / "odder")
    first, empty = root / VOLUME / "first", root / VOLUME / "empty"
    first.rename(root / VOLUME / "x")
    empty.rename(first)


def make_hard_links(root: Path) -> None:
    os.link(root / VOLUME / "immense", root / VOLUME / "odd/another")
    os.link(root / VOLUME / "first", root / VOLUME / "third")
    os.link(root / VOLUME / "fifo", root / VOLUME / "fifo2")


def break_hard_link(root: Path) -> None:
    shutil.copy2(root / VOLUME / "first", root / VOLUME / "copy")
    (root / VOLUME / "copy").rename(root / VOLUME / "sub/second")


def file_becomes_directory(root: Path) -> None:
    (root / VOLUME / "immense").unlink()
    write(root / VOLUME / "immense/deep/inside")


def directory_becomes_file(root: Path) -> None:
    shutil.rmtree(root / VOLUME / "odd")
    write(root / VOLUME / "odd")


def directory_becomes_link(root: Path) -> None:
    shutil.rmtree(root / VOLUME / "odd")
    (root / VOLUME / "odd").symlink_to("sub")


def link_becomes_directory(root: Path) -> None:
    """Were the link followed in the target, the canary would be overwritten."""
    (root / VOLUME / "to-canary").unlink()
    write(root / VOLUME / "to-canary/file", b"new")


def device_becomes_file(root: Path) -> None:
    (root / VOLUME / "whiteout").unlink()
    write(root / VOLUME / "whiteout")
    (root / VOLUME / "empty").unlink()
    os.mknod(root / VOLUME / "empty", stat.S_IFCHR, os.makedev(0, 0))


def layer_vanishes(root: Path) -> None:
    shutil.rmtree(root / "overlay2/layer2")
    shutil.rmtree(root / "image/overlay2/layerdb/sha256" / "layer2".ljust(64, "0"))


def layer_appears(root: Path) -> None:
    fill(add_layer(root, "layer3"))


def layer_is_noted_otherwise(root: Path) -> None:
    write(root / "overlay2/layer1/committed", b"")
    write(root / "overlay2/layer1/lower", b"l/ABC")


def container_is_made_and_another_is_removed(root: Path) -> None:
    (root / "overlay2/fresh/diff").mkdir(parents=True)
    fill(root / "overlay2/fresh/diff")
    shutil.rmtree(root / "overlay2/container")


CHANGES: tuple[Change, ...] = (
    change_content_unseen, change_hard_linked_content_unseen, change_odd_names_unseen,
    replace_file_unseen, write_into_a_hole_unseen, append, truncate,
    change_mode_alone, change_owner_alone, change_time_alone, change_attributes_alone, delete, rename, make_hard_links,
    break_hard_link, file_becomes_directory, directory_becomes_file, directory_becomes_link, link_becomes_directory,
    device_becomes_file, layer_vanishes, layer_appears, layer_is_noted_otherwise,
    container_is_made_and_another_is_removed,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_no_change_after_the_pre_copy_is_missed(roots: Roots, change: Change, tmp_path: Path) -> None:
    canary = write(tmp_path / "canary/file", b"canary")
    (roots.source / VOLUME / "to-canary").symlink_to(canary.parent)
    copied = roots.pre_copy()
    change(roots.source)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert canary.read_bytes() == b"canary"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return make_roots(tmp_path)


def test_all_changes_together_are_not_missed_either(roots: Roots) -> None:
    copied = roots.pre_copy()
    for change in (write_into_a_hole_unseen, change_attributes_alone, make_hard_links, rename, layer_appears):
        change(roots.source)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_a_layer_that_is_linked_is_not_written_to_by_the_final_sync(roots: Roots) -> None:
    roots = Roots(roots.source, roots.target, same_file_system=True)
    copied = roots.pre_copy()
    layer_vanishes(roots.source)
    before = roots.look(roots.source)
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert not compare(before, roots.look(roots.source))

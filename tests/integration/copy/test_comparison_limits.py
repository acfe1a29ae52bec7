"""What is left out of a comparison, and where it ends: at names that are excluded and at other file systems."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.copy.looking.comparison import Comparison
from tests.integration.support.trees import TIME, build, differences, set_times

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, owners and trusted attributes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return build(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return build(tmp_path / "target")


@pytest.mark.parametrize(
    ("excludes", "left_out"),
    [
        (["/sub"], True),
        (["/sub/deep"], True),
        (["/sub/deep/inner"], True),
        (["/*/deep"], True),
        (["/sub/*"], True),
        (["/deep"], False),
        (["/*"], True),
        (["/*/inner"], False),
        (["/su"], False),
        (["/sub/d.ep"], False),
    ],
)
def test_what_is_excluded_is_left_out_on_both_sides(
    source: Path, target: Path, excludes: list[str], left_out: bool
) -> None:
    (target / "sub/deep/inner").write_bytes(b"content\0")
    set_times(target)
    assert (differences(source, target, *excludes) == []) is left_out


def test_an_exclude_may_be_there_on_one_side_alone(source: Path, target: Path) -> None:
    (source / "tmp").mkdir()
    (target / "overlay2/abc/merged/x").mkdir(parents=True)
    (source / "overlay2/abc").mkdir(parents=True)
    for tree in (source, target):
        set_times(tree)
    assert differences(source, target, "/tmp", "/overlay2/*/merged") == []


@pytest.mark.parametrize("name", ["new\nline", os.fsdecode(b"\xff"), "a.b", "sp ace"])
def test_an_asterisk_stands_for_any_one_name(source: Path, target: Path, name: str) -> None:
    (source / "sub" / name).mkdir()
    (source / "sub" / name / "merged").mkdir()
    (target / "sub" / name).mkdir()
    for tree in (source, target):
        set_times(tree)
    assert differences(source, target, "/sub/*/merged") == []


@pytest.fixture
def mounted(source: Path) -> Iterator[Path]:
    """The source, with a file system of its own in sub/deep."""
    point = source / "sub/deep"
    if subprocess.run(["mount", "-t", "tmpfs", "none", point], check=False, capture_output=True).returncode:
        pytest.skip("cannot mount")
    try:
        (point / "foreign").touch()
        point.chmod(0o755)
        os.utime(point, ns=TIME)
        yield source
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_mount_point_is_compared_and_not_crossed(mounted: Path, target: Path) -> None:
    (target / "sub/deep/inner").unlink()
    set_times(target)
    live = Comparison(mounted, target, live=True)
    assert list(live.differences()) == []
    (target / "sub/deep").chmod(0o700)
    assert list(map(str, live.differences())) == ["sub/deep: mode is 0o700, in the source 0o755"]


def test_a_file_system_of_its_own_is_told_once_nothing_is_mounted_any_more(mounted: Path, target: Path) -> None:
    """A subvolume of btrfs is in no mount table, and what is in it is not copied."""
    (target / "sub/deep/inner").unlink()
    set_times(target)
    assert differences(mounted, target) == ["sub/deep is a file system of its own, and none of it was copied"]

"""Source and target by themselves: what our calls and our programs can reach there, and what they cannot."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.host.children import Children
from entrypoint.host.confined import confinement
from entrypoint.host.confined.confinement import Roots, confined, place

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes mounts and device nodes")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path / "outside"


@pytest.fixture
def plain(tmp_path: Path, outside: Path) -> Roots:
    for name in ("source", "target"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "link").symlink_to(outside)
        os.mknod(tmp_path / name / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return Roots(tmp_path / "source", tmp_path / "target")


@pytest.fixture
def roots(plain: Roots) -> Iterator[Roots]:
    with confined(plain.source, plain.target) as inside:
        assert inside != plain
        yield inside


def test_our_own_calls_follow_no_link_open_no_device_and_write_no_source(roots: Roots, outside: Path) -> None:
    for root in (roots.source, roots.target):
        assert os.readlink(root / "link") == str(outside)
        with pytest.raises(OSError, match="symbolic links"):
            (root / "link/secret").read_text()
        with pytest.raises(PermissionError):
            (root / "device").read_bytes()
    with pytest.raises(OSError, match="Read-only"):
        (roots.source / "new").touch()
    (roots.target / "new").touch()


@pytest.mark.parametrize("script", ["ls /proc/self", "ls /sys/kernel", "ls -A /dev/shm/", "cat /mnt/source/link/secret",
                                    "cat link/secret", "touch /mnt/source/x", "touch /x"])  # fmt: skip
def test_a_program_of_ours_reaches_nothing_else(roots: Roots, script: str) -> None:
    Path("/dev/shm/relocator-canary").touch()
    with place(roots.source, b"", roots.namespace) as start:
        said = Children().run([*start.prefix, "sh", "-c", script], check=False, timeout=30, cwd=start.cwd,
                              handles=start.handles)  # fmt: skip
    Path("/dev/shm/relocator-canary").unlink()
    assert said.code != 0 or not said.stdout, said


def test_a_program_starts_in_the_directory_that_it_is_for(roots: Roots) -> None:
    with place(roots.target, b"folder", roots.namespace) as start:
        Children().run([*start.prefix, "touch", "made"], timeout=30, cwd=start.cwd, handles=start.handles)
    assert (roots.target / "folder/made").exists()


def test_what_is_mounted_in_it_is_not_seen(plain: Roots) -> None:
    (plain.source / "folder/own").touch()
    subprocess.run(["mount", "-t", "tmpfs", "none", plain.source / "folder"], check=True)
    try:
        (plain.source / "folder/covering").touch()
        with confined(plain.source, plain.target) as inside:
            assert os.listdir(inside.source / "folder") == ["own"]
    finally:
        subprocess.run(["umount", plain.source / "folder"], check=True)


def test_nobody_else_sees_it_and_nothing_is_left(plain: Roots) -> None:
    before, handles = Path("/proc/self/mountinfo").read_text(), len(os.listdir("/proc/self/fd"))
    with confined(plain.source, plain.target) as inside:
        assert Path("/proc/self/mountinfo").read_text() == before
        assert inside.namespace is not None
    assert (Path("/proc/self/mountinfo").read_text(), len(os.listdir("/proc/self/fd"))) == (before, handles)


def test_where_the_kernel_cannot_it_is_told_and_the_other_wall_stands(
    plain: Roots, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confinement, "OPEN_TREE", 100_000)
    with confined(plain.source, plain.target) as inside:
        assert inside == plain
        with place(plain.source, b"folder", inside.namespace) as start:
            assert (start.prefix, start.handles) == ((), ())

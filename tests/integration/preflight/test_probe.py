"""What a file system can do is found by trying it, and nothing of the tries is left."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from entrypoint.host.children import QUICK, Result, run
from entrypoint.host.host import Host
from entrypoint.preflight import probe
from entrypoint.preflight.roots import exposed_above
from tests.hosts import Disk
from tests.hosts.disk import is_known
from tests.hosts.survey import compare, survey

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")


class Here(Host):
    """This machine as a host that need not be entered."""

    def run(self, argv: Sequence[str], *, timeout: float = QUICK, check: bool = True) -> Result:
        return run(argv, timeout=timeout, check=check)


HOST = Here(Path("/"))


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    kind, *options = request.param
    if not is_known(kind):
        pytest.skip(f"this kernel knows no {kind}")
    with Disk("512M", kind, options) as one, one.mounted() as point:
        yield point


def lacks(place: Path) -> dict[str, str]:
    """What cannot be done, and why; it must leave the directory and the mounts as they were."""
    before = survey(place)
    found = probe.lacks(HOST, PurePosixPath(place))
    assert not compare(before, survey(place))
    assert probe.PREFIX not in Path("/proc/self/mountinfo").read_text()
    return {what: why.rstrip(")") for what, _, why in (one.partition(" (") for one in found)}


@pytest.mark.parametrize("disk", [("ext4",), ("xfs",), ("btrfs",)], indirect=True, ids=" ".join)
def test_a_good_file_system_lacks_nothing(disk: Path) -> None:
    assert lacks(disk) == {}


@pytest.mark.parametrize("disk", [("vfat",)], indirect=True, ids=" ".join)
def test_vfat_lacks_much(disk: Path) -> None:
    assert {"owners and modes", "hard links", "extended attributes", "overlay mounts"} <= lacks(disk).keys()


def test_a_file_system_without_attributes_is_found(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "ramfs", "ramfs", tmp_path], check=True)
    try:
        assert lacks(tmp_path)["extended attributes"] == "user.a: Operation not supported"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_place_from_which_no_program_is_started_is_found(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", tmp_path], check=True)
    try:
        assert lacks(tmp_path)["programs"] == "they are not started"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


class Untyped(os.PathLike[str]):
    """An entry of a listing that has no types: it must be looked at."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return Path(self.path).is_file()


def test_a_listing_without_types_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(place: Path) -> Any:
        return nullcontext([Untyped(str(Path(place, name))) for name in os.listdir(place)])

    with monkeypatch.context() as patch:
        patch.setattr("entrypoint.preflight.probe.os.scandir", scandir)
        patch.setattr(
            "entrypoint.preflight.probe.shutil.rmtree", lambda place: subprocess.run(["rm", "-r", place], check=True)
        )
        found = probe.lacks(HOST, PurePosixPath(tmp_path))
    assert found == ("types in directories (d_type is not set)",)


def test_an_overlay_is_tried_only_for_who_mounts_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_overlay", lambda _host, _place: "the kernel refuses one")
    assert probe.lacks(HOST, PurePosixPath(tmp_path)) == ("overlay mounts (the kernel refuses one)",)
    assert probe.lacks(HOST, PurePosixPath(tmp_path), overlay=False) == ()


def test_a_label_is_tried_where_selinux_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.lacks(HOST, PurePosixPath(tmp_path), b"system_u:object_r:container_var_lib_t:s0\0") == ()
    setxattr = os.setxattr

    def refuse(place: Path, name: str, value: bytes) -> None:
        if name == "security.selinux":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        setxattr(place, name, value)

    monkeypatch.setattr("entrypoint.preflight.probe.os.setxattr", refuse)
    assert probe.lacks(HOST, PurePosixPath(tmp_path), b"a:b:c\0") == ("SELinux labels (Permission denied)",)
    assert probe.lacks(HOST, PurePosixPath(tmp_path)) == ()


def test_an_overlay_cannot_lie_on_an_overlay(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = "lowerdir=lower,upperdir=upper,workdir=work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, "merged"], cwd=tmp_path, check=True)
    try:
        assert lacks(tmp_path / "merged")["overlay mounts"] == "the kernel refuses one"
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)


def test_a_directory_that_takes_nothing_is_told(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path], check=True)
    try:
        assert lacks(tmp_path) == {"new directories": "Read-only file system"}
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_names_that_mean_something_to_mount_are_no_hindrance(tmp_path: Path) -> None:
    place = tmp_path / "a:b,c d"
    place.mkdir()
    assert lacks(place) == lacks(tmp_path)


HOLDING = """
import sys, time
from pathlib import Path
from entrypoint.preflight import probe
with probe.scratch(Path(sys.argv[1])) as place:
    (place / "file").touch()
    print(place.name, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_probe_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        name = maker.stdout.readline().strip()
        probe.sweep(tmp_path)
        assert {place.name for place in tmp_path.iterdir()} == {"other", name}
        maker.send_signal(signal.SIGKILL)
    probe.sweep(tmp_path)
    assert [place.name for place in tmp_path.iterdir()] == ["other"]


def test_an_interrupted_probe_leaves_nothing(tmp_path: Path) -> None:
    before = survey(tmp_path)
    with pytest.raises(KeyboardInterrupt), probe.scratch(tmp_path) as place:
        (place / "file").touch()
        raise KeyboardInterrupt
    assert not compare(before, survey(tmp_path))


@pytest.mark.parametrize(
    ("owner", "mode", "is_exposed"),
    [(0, 0o755, False), (0, 0o775, False), (0, 0o1777, False), (0, 0o777, True), (1000, 0o700, True)],
)
def test_directories_that_others_can_change_are_named(tmp_path: Path, owner: int, mode: int, is_exposed: bool) -> None:
    place = tmp_path / "way"
    (place / "target").mkdir(parents=True)
    place.chmod(mode)
    os.chown(place, owner, 0)
    assert (str(place) in exposed_above(HOST, PurePosixPath(place / "target"))) is is_exposed

"""A root file system that would be taken away is put into memory, with all that is mounted; any other is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pytest

from entrypoint.console.errors import ContainerError, HostCommandError
from entrypoint.host.disks.filesystem import Mount
from entrypoint.move.worker import memory
from entrypoint.move.worker.memory import move_into


def mount(point: str, kind: str, source: str = "") -> Mount:
    return Mount(PurePosixPath(point), source or kind, kind, "8:1", frozenset())


def table(kind: str, source: str = "") -> tuple[Mount, ...]:
    below = ("/proc", "/dev", "/dev/pts", "/dev/shm", "/etc/hosts", "/host", "/host/var", "/var/run/docker.sock")
    return mount("/", kind, source), *(mount(point, "other") for point in below)


@dataclass
class Machine:
    """Runs nothing; `failing` is the program that fails."""

    failing: str = ""
    ran: list[list[str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], **_options: object) -> None:
        self.ran.append([*argv])
        if argv[0] == self.failing:
            raise HostCommandError("`cp` failed with code 1.", details="No space left on device")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(memory, "run", found.run)
    monkeypatch.setattr(memory, "own_container", lambda: "abc")
    monkeypatch.setattr(memory, "mounts_of", lambda _pid: table("ext4"))
    monkeypatch.setattr("entrypoint.move.worker.memory.os.chdir", lambda _place: None)
    return found


@pytest.mark.parametrize(
    ("kind", "source", "needed"),
    [
        ("overlay", "overlay", False),
        ("ext4", "/dev/sda1", True),
        ("xfs", "/dev/sda1", True),
        ("fuse.fuse-overlayfs", "fuse-overlayfs", True),
        ("tmpfs", "relocator", False),
    ],
)
def test_only_a_kernels_overlay_stays_by_itself(kind: str, source: str, needed: bool) -> None:
    assert memory.is_needed(table(kind, source)) is needed


def test_the_mount_that_is_on_top_is_the_root() -> None:
    assert not memory.is_needed((mount("/", "ext4"), *table("overlay")))


def test_everything_that_is_mounted_comes_along_and_the_old_root_is_let_go(machine: Machine) -> None:
    move_into()
    points = ("/proc", "/dev", "/etc/hosts", "/host", "/var/run/docker.sock")
    assert machine.ran == [
        ["mount", "--make-rslave", "/"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "relocator", "/mnt"],
        ["mkdir", "/mnt/.image"],
        ["mount", "--bind", "/", "/mnt/.image"],
        ["cp", "--archive", "--", "/mnt/.image/.", "/mnt"],
        ["umount", "/mnt/.image"],
        ["rmdir", "/mnt/.image"],
        *(["mount", "--rbind", point, f"/mnt{point}"] for point in points),
        ["pivot_root", "/mnt", "/mnt/mnt"],
        ["umount", "--lazy", "/mnt"],
    ]


def test_a_root_that_stays_is_left_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "mounts_of", lambda _pid: table("overlay"))
    move_into()
    assert machine.ran == []


def test_what_is_no_container_is_left_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "own_container", lambda: None)
    move_into()
    assert machine.ran == []


def test_too_little_memory_is_told_and_nothing_stays(machine: Machine) -> None:
    machine.failing = "cp"
    with pytest.raises(ContainerError, match="memory") as told:
        move_into()
    assert "No space left" in told.value.details
    assert [ran[0] for ran in machine.ran] == ["mount", "mount", "mkdir", "mount", "cp", "umount"]

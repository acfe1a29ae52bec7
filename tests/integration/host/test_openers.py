"""Who has something below a directory open, seen with real processes; and which files name it."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.host.host import Host
from entrypoint.host.machine.mentions import mentions
from entrypoint.host.machine.openers import Opener, openers

HERE = Host(Path("/"))
HOLDING = {
    "writes": ("handle = open('log', 'a')", True),
    "reads": ("handle = open('log')", False),
    "has closed what it maps": (
        "import mmap; file = open('log', 'r+b'); mapped = mmap.mmap(file.fileno(), 4096); file.close()", True),
    "maps for itself": (
        "import mmap; file = open('log', 'rb');"
        " mapped = mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_COPY); file.close()", False),
    "works there": ("pass", False),
}  # fmt: skip


@contextmanager
def holder(folder: Path, program: str) -> Iterator[int]:
    text = f"{program}\nimport os\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", text], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate("\n")


@pytest.mark.parametrize("name", HOLDING)
def test_a_program_is_seen_with_what_it_may_write(tmp_path: Path, name: str) -> None:
    program, writes = HOLDING[name]
    (tmp_path / "log").write_bytes(b"x" * mmap.PAGESIZE)
    with holder(tmp_path, program) as pid:
        (found,) = openers(HERE, PurePosixPath(tmp_path))
        assert found.who.endswith(f"({pid})")
        assert found.writes is writes
    assert openers(HERE, PurePosixPath(tmp_path)) == ()


def test_a_file_that_has_no_name_any_more_is_open_all_the_same(tmp_path: Path) -> None:
    with holder(tmp_path, "import os; handle = open('log', 'w'); os.unlink('log')"):
        (found,) = openers(HERE, PurePosixPath(tmp_path))
        assert (found.path, found.writes) == (f"{tmp_path}/log", True)


def test_a_directory_of_the_same_beginning_is_another(tmp_path: Path) -> None:
    (tmp_path / "docker2").mkdir()
    with holder(tmp_path / "docker2", "handle = open('log', 'w')"):
        assert openers(HERE, PurePosixPath(tmp_path / "docker")) == ()


def test_processes_of_containers_are_whoever_runs_them_to_end(tmp_path: Path) -> None:
    for pid, group in (("1", f"0::/system.slice/docker-{'a' * 64}.scope"), ("2", "0::/system.slice/cron.service")):
        place = tmp_path / "proc" / pid
        place.mkdir(parents=True)
        (place / "cgroup").write_text(f"{group}\n")
        (place / "comm").write_text("logger\n")
        (place / "cwd").symlink_to("/srv/docker/volumes")
    (found,) = openers(Host(tmp_path), PurePosixPath("/srv/docker"))
    assert (found.who, found.unit, found.path, found.writes) == (
        "logger (2)",
        "cron.service",
        "/srv/docker/volumes",
        False,
    )


def test_a_service_of_a_users_own_is_not_one_of_the_hosts(tmp_path: Path) -> None:
    (place := tmp_path / "proc/1").mkdir(parents=True)
    (place / "cgroup").write_text("0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service\n")
    (place / "comm").write_text("sync\n")
    (place / "cwd").symlink_to("/srv/docker")
    assert [opener.unit for opener in openers(Host(tmp_path), PurePosixPath("/srv/docker"))] == [""]


def test_a_machine_on_the_host_has_directories_of_the_same_name(tmp_path: Path) -> None:
    for pid, root in (("1", "machine"), ("2", "")):
        (tmp_path / root / "srv/docker").mkdir(parents=True)
        (place := tmp_path / "proc" / pid).mkdir(parents=True)
        (place / "cgroup").write_text("0::/machine.slice/m.service\n")
        (place / "comm").write_text("engine\n")
        (place / "cwd").symlink_to("/srv/docker")
        (place / "root").symlink_to(tmp_path / root)
    assert [opener.who for opener in openers(Host(tmp_path), PurePosixPath("/srv/docker"))] == ["engine (2)"]


def test_names_that_others_have_chosen_are_printed_as_text() -> None:
    assert Opener("x\x1b (1)", "/srv/a\nb\udcff", writes=True).text == r"x\x1b (1): /srv/a\nb\udcff"


def test_a_disk_in_a_file_and_swap_are_written_to(tmp_path: Path) -> None:
    backing = tmp_path / "sys/block/loop3/loop/backing_file"
    backing.parent.mkdir(parents=True)
    backing.write_text("/srv/docker/volumes/vm/_data/disk.img\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/swaps").write_text("Filename Type Size Used Priority\n/srv/docker/swap\\040file file 8 0 -2\n")
    found = {
        (opener.who, opener.path, opener.writes) for opener in openers(Host(tmp_path), PurePosixPath("/srv/docker"))
    }
    assert found == {("/dev/loop3", "/srv/docker/volumes/vm/_data/disk.img", True),
                     ("the kernel (swap)", "/srv/docker/swap file", True)}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "text", "is_named"),
    [
        ("etc/cron.d/backup", "0 3 * * * root tar c /srv/docker/volumes >/b", True),
        ("etc/cron.d/backup", "# tar c /srv/docker/volumes", False),
        ("etc/cron.d/backup", "0 3 * * * root tar c /srv/docker2 /mnt/srv/docker", False),
        ("etc/logrotate.d/app", "/srv/docker/containers/*/*.log {\n}", True),
        ("etc/exports", '"/srv/docker/volumes/a/_data" *(rw)', True),
        ("etc/systemd/system/x.service.d/a.conf", "[Service]\nReadWritePaths=/srv/docker", True),
        ("etc/audit/rules.d/a.rules", "-w /srv/docker -k docker", True),
        ("etc/other", "/srv/docker", False),
        # The old root's own disk: mounted at the new place, it would cover the new root.
        ("etc/fstab", "UUID=1 /srv/docker ext4 defaults 0 2", False),
        ("etc/fstab", "/srv/docker/volumes /srv/v none bind 0 0", True),
        ("etc/fstab", "UUID=1 /srv/docker/volumes/v/_data ext4 defaults 0 2", True),
        ("etc/systemd/system/srv-docker.mount", "[Mount]\nWhat=/dev/x\nWhere=/srv/docker", False),
        ("etc/systemd/system/srv-v.mount", "[Mount]\nWhat=/srv/docker/volumes\nWhere=/srv/v", True),
    ],
)
def test_files_that_name_it_are_found(tmp_path: Path, place: str, text: str, is_named: bool) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(f"{text}\n")
    assert mentions(Host(tmp_path), PurePosixPath("/srv/docker")) == ((f"/{place}",) if is_named else ())


def test_what_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/cron.d/fifo")
    (tmp_path / "etc/cron.d/link").symlink_to("/etc/passwd")
    assert mentions(Host(tmp_path), PurePosixPath("/root")) == ()

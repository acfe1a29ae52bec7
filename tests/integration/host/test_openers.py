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


ROOT_LINE = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
BOUND = "30 20 8:1 {0} {1} rw - ext4 /dev/sda1 rw\n"


def process(root: Path, pid: int, link: str, space: str = "[1]", mounts: str = ROOT_LINE, own_root: str = "/") -> None:
    """One that works in a directory, as /proc tells of it."""
    (place := root / "proc" / str(pid)).mkdir(parents=True)
    (place / "cgroup").write_text("0::/machine.slice/m.service\n")
    (place / "comm").write_text("engine\n")
    (place / "cwd").symlink_to(link)
    (place / "root").symlink_to(own_root)
    (place / "ns").mkdir()
    (place / "ns/mnt").symlink_to(f"mnt:{space}")
    (place / "mountinfo").write_text(mounts)


def opened(root: Path) -> list[tuple[str, str]]:
    return sorted((one.who, one.path) for one in openers(Host(root), PurePosixPath("/srv/docker")))


def test_a_machine_on_the_host_has_directories_of_the_same_name(tmp_path: Path) -> None:
    process(tmp_path, 1, "/")
    process(tmp_path, 2, "/srv/docker")
    process(tmp_path, 3, "/srv/docker", "[2]", "20 1 8:1 /var/lib/machines/m / rw - ext4 /dev/sda1 rw\n")
    assert opened(tmp_path) == [("engine (2)", "/srv/docker")]


@pytest.mark.parametrize(
    ("shown", "at", "link", "path"),
    [
        ("/srv/docker", "/data", "/data/volumes", "/srv/docker/volumes"),
        ("/srv/docker/volumes/a", "/data", "/data/x", "/srv/docker/volumes/a/x"),
        ("/srv", "/data", "/data/docker/x", "/srv/docker/x"),
        ("/srv", "/data", "/data/other", ""),
        ("/srv/docker2", "/data", "/data", ""),
        ("/srv/docker", "/data", "/database", ""),
    ],
)
@pytest.mark.parametrize("space", ["[1]", "[2]"], ids=["of the host", "of a unit"])
def test_what_is_opened_by_another_name_is_open(
    tmp_path: Path, shown: str, at: str, link: str, path: str, space: str
) -> None:
    mounts = ROOT_LINE + BOUND.format(shown, at)
    process(tmp_path, 1, "/", mounts=mounts if space == "[1]" else ROOT_LINE)
    process(tmp_path, 2, link, space, mounts)
    assert opened(tmp_path) == ([("engine (2)", path)] if path else [])


def test_what_is_mounted_below_another_name_is_not_of_it(tmp_path: Path) -> None:
    covered = ROOT_LINE + BOUND.format("/srv/docker", "/data") + "31 30 8:2 / /data/other rw - ext4 /dev/sdb1 rw\n"
    process(tmp_path, 1, "/data/other/x", mounts=covered)
    process(tmp_path, 2, "/data/x", mounts=covered)
    assert opened(tmp_path) == [("engine (2)", "/srv/docker/x")]


def test_one_in_a_root_of_its_own_does_not_hide_how_others_see_the_mounts(tmp_path: Path) -> None:
    bound = ROOT_LINE + BOUND.format("/srv/docker", "/data")
    process(tmp_path, 1, "/")
    process(tmp_path, 2, "/jail", "[2]", "", own_root="/jail")
    process(tmp_path, 3, "/data/x", "[2]", bound)
    process(tmp_path, 4, "/elsewhere", "[3]", "")
    assert opened(tmp_path) == [("engine (3)", "/srv/docker/x")]


def test_a_disk_in_a_file_is_known_by_another_name(tmp_path: Path) -> None:
    process(tmp_path, 1, "/", mounts=ROOT_LINE + BOUND.format("/srv/docker", "/data"))
    backing = tmp_path / "sys/block/loop3/loop/backing_file"
    backing.parent.mkdir(parents=True)
    backing.write_text("/data/disk.img\n")
    assert opened(tmp_path) == [("/dev/loop3", "/srv/docker/disk.img")]


def test_a_program_that_has_the_root_bound_elsewhere_is_seen(tmp_path: Path) -> None:
    """As with BindPaths= of a unit: in mounts of its own."""
    for name in ("docker", "elsewhere"):
        (tmp_path / name).mkdir()
    text = "import os\nhandle = open('log', 'w')\nprint('ready', flush=True)\ninput()"
    script = (
        'mount --make-rprivate / && mount --bind "$1/docker" "$1/elsewhere" && cd "$1/elsewhere" && exec "$2" -c "$3"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        (found,) = openers(HERE, PurePosixPath(tmp_path / "docker"))
        started.communicate("\n")
    assert (found.path, found.writes) == (f"{tmp_path}/docker/log", True)


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


def test_files_that_name_it_otherwise_are_found_with_that_name(tmp_path: Path) -> None:
    process(tmp_path, 1, "/", mounts=ROOT_LINE + BOUND.format("/srv/docker", "/data"))
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/cron.d/a").write_text("0 3 * * * root tar c /data/volumes >/b\n")
    (tmp_path / "etc/cron.d/b").write_text("0 3 * * * root tar c /data/volumes /srv/docker >/b\n")
    (tmp_path / "etc/cron.d/c").write_text("0 3 * * * root tar c /database >/b\n")
    (tmp_path / "etc/fstab").write_text("UUID=1 /data ext4 defaults 0 2\n")
    found = mentions(Host(tmp_path), PurePosixPath("/srv/docker"))
    assert set(found) == {"/etc/cron.d/a (as /data)", "/etc/cron.d/b"}


def test_what_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/cron.d/fifo")
    (tmp_path / "etc/cron.d/link").symlink_to("/etc/passwd")
    assert mentions(Host(tmp_path), PurePosixPath("/root")) == ()

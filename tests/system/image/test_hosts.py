"""The hosts themselves: what a test of the product relies on when it boots one, and where its image comes from."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts import CommandError, Disk, Host, HostError, bare, boot, cache, context, loop, workspace
from tests.hosts.builder import built
from tests.hosts.cgroup import PREFIX, hierarchies
from tests.hosts.command import run
from tests.hosts.disk import is_known
from tests.hosts.mirror import mirror

pytestmark = pytest.mark.system

MakeDisk = Callable[..., Disk]


def clock(what: str, start: float) -> None:
    print(f"\n{what}: {time.monotonic() - start:.2f} s")


def test_a_host_boots_in_seconds_and_has_a_real_engine() -> None:
    start = time.monotonic()
    with boot(with_image=False) as host:
        clock("boot to docker info", start)
        assert host.state == "running"
        assert host.run(["docker", "run", "--rm", "busybox", "echo", "hello"]).stdout == "hello\n"
        assert host.docker("run", "--rm", "--privileged", "busybox", "echo", "hello") == "hello"
        info = host.docker("info", "--format", "{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}} {{.DockerRootDir}}")
        assert info == "overlay2 systemd 2 /var/lib/docker"
        assert host.run(["mountpoint", "--quiet", "/var/lib/docker"], check=False).returncode != 0
        for absent in ("python3", "rsync"):
            assert host.run(["which", absent], check=False).returncode != 0


def test_a_process_brought_in_belongs_to_the_host(bare_host: Host) -> None:
    groups = bare_host.run("cat /proc/self/cgroup; hostname").stdout
    assert "0::/entered\n" in groups
    assert "/.." not in groups
    assert groups.endswith("host\n")


def test_run_reports_failures_and_ends_what_takes_too_long(bare_host: Host) -> None:
    with pytest.raises(CommandError, match="to the error stream") as failure:
        bare_host.run("echo to the error stream >&2; exit 3")
    assert failure.value.code == 3
    with pytest.raises(subprocess.TimeoutExpired):
        bare_host.run(["sleep", "987"], timeout=0.5)
    assert bare_host.run(["pgrep", "--full", "sleep 987"], check=False).stdout == ""
    assert bare_host.run('cat; echo "$WORD"', stdin="given ", env={"WORD": "too"}).stdout == "given too\n"


def test_a_terminal_is_one_to_the_program_in_a_container(bare_host: Host) -> None:
    with bare_host.terminal(["docker", "run", "--rm", "-it", "busybox"]) as terminal:
        terminal.expect("#")
        terminal.send("stty size; exit 7\n")
        assert terminal.wait() == 7
        assert "40 120" in terminal.output


def test_files_written_before_the_boot_are_there() -> None:
    daemon = {"/etc/docker/daemon.json": '{"data-root": "/var/elsewhere"}'}
    with bare(files=daemon, start=False) as host:
        host.write("/var/lib/marker", "off\n")
        host.boot()
        host.wait_docker()
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == "/var/elsewhere"
        assert host.path("/var/lib/marker").read_text() == "off\n"


def test_reboot_and_power_off_keep_the_files(bare_host: Host) -> None:
    bare_host.run("echo kept > /root/file; docker create --name one busybox")
    start = time.monotonic()
    bare_host.reboot()
    bare_host.wait_docker()
    clock("reboot", start)
    bare_host.power_off()
    with pytest.raises(HostError, match="is off"):
        bare_host.run(["true"])
    bare_host.boot()
    bare_host.wait_docker()
    assert bare_host.run(["cat", "/root/file"]).stdout == "kept\n"
    assert bare_host.docker("ps", "--all", "--format", "{{.Names}}") == "one"


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs", "vfat"])
def test_a_disk_is_mounted_and_comes_back(make_disk: MakeDisk, bare_host: Host, filesystem: str) -> None:
    if not is_known(filesystem):
        pytest.skip(f"this kernel has no {filesystem}")
    disk = make_disk("1G", filesystem)
    bare_host.attach(disk, "/mnt/big", keep=True)
    bare_host.run("echo there > /mnt/big/file")
    bare_host.reboot()
    found = bare_host.run(["findmnt", "--noheadings", "--output=SOURCE,FSTYPE,TARGET", "/mnt/big"]).stdout.split()
    assert found == [str(disk.device), filesystem, "/mnt/big"]
    assert bare_host.run(["cat", "/mnt/big/file"]).stdout == "there\n"
    bare_host.detach("/mnt/big")
    assert not bare_host.path("/mnt/big/file").exists()


def test_few_inodes_and_mount_options(make_disk: MakeDisk, bare_host: Host) -> None:
    bare_host.attach(make_disk("64M", "ext4", ["-N", "64"]), "/mnt/few", "noexec")
    assert int(bare_host.run("df --output=itotal /mnt/few | tail -1").stdout) <= 128
    assert "noexec" in bare_host.run(["findmnt", "--noheadings", "--output=OPTIONS", "/mnt/few"]).stdout


@pytest.mark.parametrize("target", ["/var", "/var/lib/docker"])
def test_the_engine_lives_on_a_disk(make_disk: MakeDisk, target: str) -> None:
    with boot(with_image=False, disks={target: make_disk("1G", "xfs")}) as host:
        assert host.run(["findmnt", "-nro", "FSTYPE", "--target", "/var/lib/docker"]).stdout == "xfs\n"
        assert host.docker("run", "--rm", "busybox", "echo", "hello") == "hello"
        host.reboot()
        host.wait_docker()
        assert host.docker("image", "ls", "--quiet")


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
@pytest.mark.parametrize("attached", ["running", "booted"])
def test_a_power_cut_loses_what_was_not_flushed(make_disk: MakeDisk, filesystem: str, attached: str) -> None:
    disk = make_disk("1G", filesystem)
    with boot(with_image=False, disks={"/mnt/big": disk} if attached == "booted" else {}) as host:
        if attached == "running":
            host.attach(disk, "/mnt/big", keep=True)
        host.run("echo flushed > /mnt/big/before; sync; echo lost > /mnt/big/after; echo here > /root/file")
        start = time.monotonic()
        host.cut_power(drop_unflushed=True)
        host.boot()
        clock("power cut and boot", start)
        assert host.run(["ls", "/mnt/big", "--ignore=lost+found"]).stdout == "before\n"
        assert host.run(["cat", "/root/file"]).stdout == "here\n"


def test_a_power_cut_of_processes_alone_loses_nothing(make_disk: MakeDisk, bare_host: Host) -> None:
    bare_host.attach(make_disk("1G"), "/mnt/big", keep=True)
    bare_host.run("echo survives > /mnt/big/file; docker run --detach --name one busybox sleep 1000")
    bare_host.cut_power()
    bare_host.boot()
    bare_host.wait_docker()
    assert bare_host.run(["cat", "/mnt/big/file"]).stdout == "survives\n"
    assert bare_host.docker("ps", "--all", "--format", "{{.Names}} {{.State}}") == "one exited"


def test_btrfs_says_that_it_cannot_lose(make_disk: MakeDisk, bare_host: Host) -> None:
    bare_host.attach(make_disk("1G", "btrfs"), "/mnt/big")
    with pytest.raises(HostError, match="cannot be made to lose"):
        bare_host.cut_power(drop_unflushed=True)
    assert bare_host.run(["true"]).returncode == 0


def test_two_hosts_do_not_touch_each_other() -> None:
    with boot(name="one", with_image=False) as one, boot(name="two", with_image=False) as two:
        one.run(["systemctl", "kill", "--signal=KILL", "docker.service"])
        assert two.docker("info", "--format", "{{.Name}}") == "two"
        assert one.path("/etc/machine-id").read_text() != two.path("/etc/machine-id").read_text()


def test_more_disks_than_there_are_ready_made_devices(make_disk: MakeDisk, bare_host: Host) -> None:
    for number in range(10):
        bare_host.attach(make_disk("16M"), f"/mnt/disk{number}")
    assert len(bare_host.run(["findmnt", "-nro", "TARGET", "--types=ext4"]).stdout.split()) >= 10


def test_leaving_the_block_leaves_nothing(make_disk: MakeDisk) -> None:
    with pytest.raises(ZeroDivisionError), boot(name="leaving", with_image=False) as host:
        host.attach(make_disk("64M"), "/mnt/big")
        host.run("docker run --detach busybox sleep 1000")
        _ = 1 / 0
    assert _traces(f"{workspace.current().run}-leaving") == []
    assert not (workspace.current().directory / "hosts/leaving").exists()


KILLED = """
import sys, time
from tests.hosts import Disk, boot, workspace
with boot(with_image=False) as host:
    disk = Disk("64M")
    host.attach(disk, "/mnt/big")
    with Disk("64M").mounted():
        print(workspace.current().run, flush=True)
        time.sleep(1000)
"""


def test_the_next_run_removes_what_a_killed_one_left() -> None:
    argv = [sys.executable, "-c", KILLED]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=context.CHECKOUT) as process:
        assert process.stdout is not None
        dead = process.stdout.readline().strip()
        process.kill()
    assert _traces(dead)
    assert dead in workspace.sweep()
    assert _traces(dead) == []


def _traces(run: str) -> list[str]:
    """What on the outer machine bears the run's name."""
    directory = cache.root() / "runs" / run
    groups = [str(path) for root in hierarchies() for path in root.glob(f"**/{PREFIX}{run}*")]
    devices = [str(device) for device in loop.devices_below(directory)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if run in line]
    nspawn = [str(path) for path in Path("/run/systemd/nspawn").glob(f"*/{PREFIX}{run}*")]
    return [*groups, *devices, *mounts, *nspawn, *_processes(run)]


def _processes(run: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        if f"{PREFIX}{run}" in text and path.parent.name != str(os.getpid()):
            found.append(text)
    return found


DOCKERFILE = """FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends hello && rm -rf /var/lib/apt/lists/*
COPY entrypoint /entrypoint
ENTRYPOINT ["/entrypoint/start"]
"""
TAG = "stand-in-product:latest"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "entrypoint").mkdir()
    _say(tmp_path, "first")
    return tmp_path


def _say(checkout: Path, word: str) -> None:
    program = checkout / "entrypoint/start"
    program.write_text(f"#!/bin/sh\nhello >/dev/null && echo {word}\n")
    program.chmod(0o755)


def test_a_changed_source_file_is_in_the_next_image(checkout: Path) -> None:
    for word in ("first", f"second at {time.time()}"):
        _say(checkout, word)
        start = time.monotonic()
        with built(checkout, TAG) as image, bare() as host:
            print(f"\nbuilt: {time.monotonic() - start:.1f} s")
            host.wait_docker()
            image.load(host)
            assert host.docker("run", "--rm", TAG) == word


def test_only_what_gets_into_the_image_counts(checkout: Path) -> None:
    before = context.digest(checkout)
    (checkout / "tests").mkdir()
    (checkout / "tests/test_nothing.py").write_text("")
    assert context.digest(checkout) == before
    (checkout / "entrypoint/start").chmod(0o644)
    assert context.digest(checkout) != before


def test_git_decides_what_belongs_to_the_context(checkout: Path) -> None:
    run(["git", "-C", checkout, "init", "--quiet"])
    (checkout / ".gitignore").write_text("*.pyc\n")
    (checkout / "entrypoint/start.pyc").write_text("")
    assert [str(path) for path in context.files(checkout)] == [".gitignore", "Dockerfile", "entrypoint/start"]


DEB822 = """Types: deb
URIs: https://security.example/debian-security
Suites: stable-security

Enabled: no
Types: deb
URIs: https://off.example/debian

# a comment
Types: deb deb-src
URIs: https://first.example/debian https://second.example/debian
Suites: stable
"""
ONE_LINE = """# deb https://comment.example/debian stable main
deb-src https://source.example/debian stable main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] https://line.example/debian stable main
"""


def test_deb822_without_security_and_what_is_off(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    assert mirror(tmp_path) == "https://first.example/debian"


def test_one_line(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    assert mirror(tmp_path) == "https://line.example/debian"


def test_no_source_at_all(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no package source"):
        mirror(tmp_path)

"""A host whose own files are read-only and few: its engine is moved at the first boot, as examples/butane says."""

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from entrypoint.host.machine import programs
from tests.hosts import Disk, Host, boot
from tests.hosts.etc import Etc
from tests.hosts.prepared import images
from tests.system.support.moving import OUTCOME, SOURCE, relocator

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/butane/relocate.bu"
PLACE = "/var/mnt/data"
TARGET = f"{PLACE}/docker"
ARCHIVE = "/var/opt/relocator.tar"
# All that is left in /usr/bin and /usr/sbin: what docs/boots.md names, what boots, the engine's own, and what a test
# enters with. `dash` is what sh is.
NAMED = (*programs.NEEDED, "docker", "sleep")
BOOTS = ("systemd-*", "dbus-*", "journalctl", "mount", "umount", "dash")
ENGINES = ("dockerd", "docker-*", "containerd*", "runc", "iptables*", "ip6tables*", "xtables*")
TESTS = ("env",)
# As on Container-Optimized OS, from before the engine's first start on.
NOEXEC = """[Unit]
DefaultDependencies=no
After=local-fs.target
Before=containerd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount -o remount,bind,noexec /var
"""
APP = """[Unit]
Requires=docker.service
After=docker.service relocate.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=docker run --detach --name app --restart always busybox sleep 100000
"""


def unit() -> str:
    """Of the example, as it is."""
    (found,) = yaml.safe_load(EXAMPLE.read_text())["systemd"]["units"]
    assert (found["name"], found["enabled"]) == ("relocate.service", True)
    return str(found["contents"])


@pytest.fixture(scope="module")
def immutable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    units = {"relocate.service": unit(), "noexec.service": NOEXEC, "app.service": APP}
    files = {f"systemd/system/{name}": text for name, text in units.items()}
    etc = Etc(tmp_path_factory.mktemp("immutable") / "etc", "trixie", files, tuple(units))
    etc.make()
    with Disk("4G", "xfs") as disk, images(with_product=True) as wanted:
        extra = ("--read-only", "--tmpfs=/root", etc.option(), f"--bind-ro={wanted[-1].archive}:{ARCHIVE}")
        with boot(name="immutable", with_image=False, disks={PLACE: disk}, extra=extra, start=False) as host:
            take_away(host)
            host.boot(OUTCOME)
            yield host


def take_away(host: Host) -> None:
    """Everything that is not on the list; the host is off."""
    for folder in ("usr/bin", "usr/sbin"):
        above = host.machine.directory / "up" / folder
        above.mkdir(parents=True)
        for place in (host.machine.base / folder).iterdir():
            if not any(fnmatch(place.name, kept) for kept in (*NAMED, *BOOTS, *ENGINES, *TESTS)):
                os.mknod(above / place.name, stat.S_IFCHR, os.makedev(0, 0))  # overlay's word for a file that is gone


def root_of(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def state(host: Host, unit: str) -> str:
    shown = host.run(["systemctl", "show", "--property=ActiveState,Result", "--value", unit]).stdout.split()
    return " ".join(shown)


def test_the_first_boot_puts_the_engine_on_the_disk(immutable: Host) -> None:
    host = immutable
    left = [path.name for folder in ("usr/bin", "usr/sbin") for path in host.path(folder).iterdir()]
    assert {*NAMED} <= {*left}
    assert not {"python3", "perl", "awk", "find", "tar", "rsync", "jq", "sed", "grep", "mkdir", "chmod"} & {*left}
    assert not os.access(host.path("/usr"), os.W_OK)
    assert root_of(host) == TARGET, host.journal("relocate.service")
    assert state(host, "relocate.service") == "success active"


def test_what_waits_for_the_move_is_started_after_it_and_on_the_disk(immutable: Host) -> None:
    """A stop of the engine takes away the job that would start what requires it."""
    assert state(immutable, "app.service") == "success active", immutable.journal("app.service")
    app = immutable.docker("inspect", "--format", "{{.State.Status}} {{.Id}}", "app").split()
    assert app[0] == "running"
    assert immutable.path(f"{TARGET}/containers/{app[1]}").is_dir()
    assert not immutable.path(f"{SOURCE}/containers/{app[1]}").exists()


@pytest.mark.parametrize("target", ["/mnt/docker", "/usr/docker"])
def test_where_nothing_can_be_written_there_is_one_clear_refusal(immutable: Host, target: str) -> None:
    told = relocator(immutable, "check", target)
    assert told.returncode == 3
    assert "refused, for 1 reason." in told.stderr
    assert "[target-ro]" in told.stderr
    assert "such as /var/mnt/data" in told.stderr


def test_var_is_refused_as_a_target_where_it_is_noexec(immutable: Host) -> None:
    told = relocator(immutable, "check", "/var/elsewhere/docker", "--same-disk")
    assert told.returncode == 3
    assert "refused, for 1 reason." in told.stderr
    assert "[target-noexec]" in told.stderr


def test_the_next_boot_has_nothing_to_do(immutable: Host) -> None:
    host = immutable
    runs = os.listdir(host.path("/var/lib/relocator/runs"))
    host.reboot()
    host.wait_docker()
    assert (root_of(host), state(host, "relocate.service")) == (TARGET, "success inactive")
    assert host.docker("inspect", "--format", "{{.State.Status}}", "app") == "running"
    assert os.listdir(host.path("/var/lib/relocator/runs")) == runs


def test_the_old_root_can_be_removed(immutable: Host) -> None:
    assert relocator(immutable, "cleanup", "--yes").returncode == 0
    assert not immutable.path(SOURCE).exists()

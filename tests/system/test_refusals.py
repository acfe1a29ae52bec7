"""Bad input and hosts that are not fit: one clear message, the right code, and nothing changed at all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import Inventory, inventory, populate
from tests.hosts.disk import is_known
from tests.hosts.survey import Survey
from tests.system.moving import DISK, assert_unchanged, configuration, relocator

pytestmark = pytest.mark.system

SMALL, FEW = "/mnt/small", "/mnt/few"


@dataclass(frozen=True)
class Still:
    """A populated host that must stay as it is."""

    host: Host
    was: Survey
    held: Inventory


@pytest.fixture(scope="module")
def still() -> Iterator[Still]:
    with (
        Disk("4G", "ext4") as big,
        Disk("64M", "ext4") as small,
        Disk("4G", "ext4", ("-N", "600")) as few,
        boot(name="still", disks={DISK: big, SMALL: small, FEW: few}) as host,
    ):
        populate(host)
        host.run(f"""
            mkdir -p {DISK}/full {DISK}/bound {DISK}/tree/deep /mnt/tmpfs /mnt/ro /mnt/noexec /mnt/nosuid /var/other
            echo something >{DISK}/full/file
            echo file >{DISK}/file
            ln -s /var/lib/docker {DISK}/link-to-root
            ln -s /var/lib/docker/volumes {DISK}/link-into-root
            ln -s loop {DISK}/loop
            mount -t tmpfs tmpfs /mnt/tmpfs
            for option in ro noexec nosuid; do
                mount --bind {DISK} /mnt/$option
                mount -o remount,bind,$option /mnt/$option
            done
            mount --bind /var/lib/docker {DISK}/bound
        """)
        yield Still(host, configuration(host), inventory(host))


USAGE = {
    "relative": (("new/path",), "absolute path"),
    "dot": (("./new",), "absolute path"),
    "root": (("/",), "directory of its own"),
    "slashes": (("//",), "directory of its own"),
    "upwards": ((f"{DISK}/../etc",), "`..`"),
    "newline": ((f"{DISK}/a\nb",), "control characters"),
    "escape": ((f"{DISK}/\x1b[31m",), "control characters"),
    "unknown option": (("--fast", f"{DISK}/new"), "--fast"),
    "two targets": ((f"{DISK}/a", f"{DISK}/b"), "unexpected extra argument"),
    "missing after run": (("run",), "TARGET"),
    "missing after plan": (("plan",), "TARGET"),
    "empty": (("",), "absolute path"),
}

REFUSED = {
    "not empty": (f"{DISK}/full", "target-not-empty"),
    "a file": (f"{DISK}/file", "target-not-directory"),
    "below a file": (f"{DISK}/file/new", "target-under-file"),
    "inside": ("/var/lib/docker/new", "target-inside-source"),
    "inside by a link": (f"{DISK}/link-into-root/new", "target-inside-source"),
    "inside by a bind mount": (f"{DISK}/bound/new", "target-inside-source"),
    "around": ("/var/lib", "target-around-source"),
    "around, two up": ("/var", "target-around-source"),
    "full": (f"{SMALL}/docker", "target-space"),
    "no inodes": (f"{FEW}/docker", "target-inodes"),
    "read-only": ("/mnt/ro/new", "target-ro"),
    "noexec": ("/mnt/noexec/new", "target-noexec"),
    "nosuid": ("/mnt/nosuid/new", "target-nosuid"),
    "tmpfs": ("/mnt/tmpfs/new", "target-file-system"),
    "overlay": ("/opt/new", "target-file-system"),
    "proc": ("/proc/new", "target-file-system"),
    "sys": ("/sys/fs/new", "target-file-system"),
    "dev": ("/dev/new", "target-file-system"),
    "colon": (f"{DISK}/a:b", "target-characters"),
    "comma": (f"{DISK}/a,b", "target-characters"),
}

ALREADY_THERE = {
    "itself": "/var/lib/docker",
    "with slashes": "//var//lib/docker/",
    "by a link": f"{DISK}/link-to-root",
    "by a bind mount": f"{DISK}/bound",
}


@pytest.mark.parametrize(("arguments", "said"), USAGE.values(), ids=USAGE)
def test_wrong_usage_is_code_2_with_one_message(still: Still, arguments: tuple[str, ...], said: str) -> None:
    answer = relocator(still.host, *arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_no_argument_at_all_is_code_2_and_says_how(still: Still) -> None:
    answer = relocator(still.host)
    assert answer.returncode == 2
    assert "Usage: " in answer.stderr


@pytest.mark.parametrize("verb", ["run", "plan", "check"])
@pytest.mark.parametrize(("target", "finding"), REFUSED.values(), ids=REFUSED)
def test_an_unfit_target_is_refused_with_code_3(still: Still, target: str, finding: str, verb: str) -> None:
    answer = relocator(still.host, verb, target)
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert f"[{finding}]" in answer.stderr
    assert "Nothing was changed" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("target", ALREADY_THERE.values(), ids=ALREADY_THERE)
def test_the_root_itself_by_any_name_is_already_there(still: Still, target: str) -> None:
    answer = relocator(still.host, target)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "already_there" in answer.stdout


def test_a_loop_of_links_is_refused(still: Still) -> None:
    answer = relocator(still.host, f"{DISK}/loop")
    assert answer.returncode == 3
    assert "Too many symbolic links" in answer.stderr


def test_plan_and_check_of_a_good_target_say_all_and_end_with_0(still: Still) -> None:
    for verb in ("plan", "check"):
        answer = relocator(still.host, verb, f"{DISK}/new/deep")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        [json.loads(line) for line in answer.stdout.splitlines()]


def test_vfat_is_refused(still: Still) -> None:
    if not is_known("vfat"):
        pytest.skip("this kernel has no vfat; the unit test of the finding stands for it")
    with Disk("128M", "vfat") as disk:
        still.host.attach(disk, "/mnt/vfat")
        answer = relocator(still.host, "/mnt/vfat/new")
        still.host.detach("/mnt/vfat")
    assert answer.returncode == 3
    assert "[target-file-system]" in answer.stderr


def test_after_all_that_nothing_was_changed(still: Still) -> None:
    """The survey was taken before the first test of this file; those that follow change the host themselves."""
    assert_unchanged(still.host, still.was, still.held)
    assert not still.host.path("/var/lib/relocator").exists()


HOSTS: dict[str, tuple[str, str, str]] = {
    "live-restore": (
        "cp /etc/docker/daemon.json /root/; sed -i 's/{/{\"live-restore\": true,/' /etc/docker/daemon.json",
        "mv /root/daemon.json /etc/docker/",
        "live-restore",
    ),
    "flag": (
        "mkdir -p /etc/systemd/system/docker.service.d; printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd "
        "-H fd:// --data-root /var/lib/docker\\n' >/etc/systemd/system/docker.service.d/root.conf",
        "rm -r /etc/systemd/system/docker.service.d",
        "root-by-flag",
    ),
}


@pytest.mark.parametrize(("prepare", "undo", "finding"), HOSTS.values(), ids=HOSTS)
def test_an_engine_that_cannot_be_moved_yet_is_refused(still: Still, prepare: str, undo: str, finding: str) -> None:
    restart = "systemctl daemon-reload; systemctl reset-failed docker.service; systemctl restart docker.service"
    still.host.run(f"{prepare}; {restart}")
    try:
        still.host.wait_docker()
        answer = relocator(still.host, f"{DISK}/new")
    finally:
        still.host.run(f"{undo}; {restart}")
        still.host.wait_docker()
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert f"[{finding}]" in answer.stderr

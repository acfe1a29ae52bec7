"""The examples for cloud-init, carried out by the real cloud-init while a machine boots. `make cloud-init`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.command import remove_tree, run
from tests.hosts.etc import Etc
from tests.hosts.prepared import images
from tests.system.support.moving import OUTCOME, SOURCE, assert_nothing_left

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(600)]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/cloud-init"
SEED = "/var/lib/cloud/seed/nocloud"
TARGET = "/mnt/data/docker"
STATELESS = "/mnt/disks/data/docker"
OWN = "# docker compose --project-directory /srv/app up --detach"
START = "docker run --detach --name own --restart always busybox sleep 100000"
# What a machine has from its kernel, and these hosts have not: nodes of disks, and names for what is on them. systemd
# learns of devices from udev at a reload. They have no network to set up, and no ssh.
FILES = {
    "cloud/cloud.cfg.d/99-host.cfg": "network: {config: disabled}\nssh_deletekeys: false\nssh_genkeytypes: []\n",
    "udev/rules.d/10-nodes.rules": 'SUBSYSTEM=="block", KERNEL=="loop*", '
    "PROGRAM=\"/bin/sh -c '[ -e /dev/$name ] || mknod /dev/$name b $major $minor'\"\n",
    "systemd/system/devices.service": """[Unit]
DefaultDependencies=no
After=systemd-udev-trigger.service
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'udevadm settle; systemctl daemon-reload'
""",
}
ENABLED = ("devices.service",)
# cloud-init asks the first what is a disk, and the second to have new partitions known; kernels such as the tests' own
# cannot read every table of them, but are told.
PROGRAMS = {
    "lsblk": """#!/bin/sh
set -e
found=$(/usr/bin/lsblk "$@")
echo "$found" | sed 's/TYPE="loop"/TYPE="disk"/'
""",
    "partprobe": """#!/bin/sh
exec partx --update "$1"
""",
}


def seed(name: str, disk: Disk, instance: str, **changed: str) -> dict[str, str]:
    """The example, with this host's disk for its own, and what else is to be another."""
    text = (EXAMPLES / name).read_text()
    for was, now in {"/dev/vdb1": f"{disk.device}p1", "/dev/vdb": str(disk.device), **changed}.items():
        text = text.replace(was, now)
    return {f"{SEED}/meta-data": f"instance-id: {instance}\n", f"{SEED}/user-data": text}


@contextmanager
def machine(place: Path, disk: Disk, *extra: str) -> Iterator[tuple[Host, Etc]]:
    """With a disk that nobody has mounted yet; off."""
    etc = Etc(place / "etc", "cloud", FILES, ENABLED)
    etc.make()
    options = (etc.option(), f"--bind={disk.device}", *extra)
    with boot("cloud", "cloud", extra=options, start=False) as host:
        for program, text in PROGRAMS.items():
            host.write(f"/usr/local/bin/{program}", text, mode=0o755)
        yield host, etc


def write(host: Host, files: dict[str, str]) -> None:
    for path, text in files.items():
        host.write(path, text)


def ended(host: Host) -> tuple[int, str]:
    """How cloud-init ended, waited for, and all it has to say."""
    told = host.run(["cloud-init", "status", "--wait", "--long"], check=False, timeout=OUTCOME)
    output = host.run("cat /var/log/cloud-init-output.log; grep -v DEBUG /var/log/cloud-init.log", check=False).stdout
    return told.returncode, told.stdout + output


def root_of(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def runs(host: Host) -> list[str]:
    place = host.path("/var/lib/relocator/runs")
    return sorted(os.listdir(place)) if place.exists() else []


def require_nothing_done_by_the_next_boot(host: Host, target: str) -> None:
    done = runs(host)
    host.reboot()
    code, said = ended(host)
    assert code == 0, said
    host.wait_docker()
    assert (root_of(host), runs(host)) == (target, done)


def test_a_fresh_disk_is_formatted_mounted_and_docker_put_on_it_before_containers_of_ones_own(tmp_path: Path) -> None:
    with Disk("4G", "") as disk, machine(tmp_path, disk) as (host, _):
        write(host, seed("first-boot.yaml", disk, "one", **{OWN: START}))
        host.boot(OUTCOME)
        code, said = ended(host)
        assert code == 0, said
        assert root_of(host) == TARGET, said
        assert host.run(["findmnt", "-nro", "SOURCE,FSTYPE", "/mnt/data"]).stdout == f"{disk.device}p1 ext4\n"
        own = host.docker("inspect", "--format", "{{.Id}}", "own")
        assert host.path(f"{TARGET}/containers/{own}").is_dir()
        assert not host.path(f"{SOURCE}/containers").exists()
        assert_nothing_left(host)
        require_nothing_done_by_the_next_boot(host, TARGET)
        assert host.docker("inspect", "--format", "{{.State.Status}}", "own") == "running"


def test_a_machine_in_use_is_moved_and_a_refusal_is_cloud_inits_own_error(tmp_path: Path) -> None:
    with Disk("4G", "ext4", ("-L", "data")) as disk, machine(tmp_path, disk) as (host, _):
        host.boot(OUTCOME)
        host.wait_docker()
        host.docker("run", "--detach", "--name", "web", "--restart=always", "busybox", "sleep", "100000")
        write(host, seed("with-content.yaml", disk, "refused", **{TARGET: "/proc/docker", "mountpoint": "true"}))
        host.reboot()
        code, said = ended(host)
        assert (code, "[target-file-system]" in said, runs(host)) == (1, True, []), said
        assert root_of(host) == SOURCE

        write(host, seed("with-content.yaml", disk, "moved"))
        host.reboot()
        code, said = ended(host)
        assert code == 0, said
        assert root_of(host) == TARGET, said
        assert host.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"
        require_nothing_done_by_the_next_boot(host, TARGET)
        assert host.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"


def test_without_the_disk_nothing_is_moved_to_the_bare_mount_point(tmp_path: Path) -> None:
    with Disk("64M", "ext4", ("-L", "another")) as disk, machine(tmp_path, disk) as (host, _):
        write(host, seed("with-content.yaml", disk, "one"))
        host.boot(OUTCOME)
        code, said = ended(host)
        assert code == 1, said
        assert (root_of(host), runs(host)) == (SOURCE, [])
        assert not host.path(TARGET).exists()


def test_a_stateless_host_finds_its_containers_again_at_each_boot(tmp_path: Path) -> None:
    """/etc is new at each boot, and what cloud-init knows of boots before is gone."""
    with Disk("4G", "ext4", ("-L", "data")) as disk, images(with_product=True) as wanted:
        with disk.mounted() as point:
            run(["cp", wanted[-1].archive, point / "relocator.tar"])
        with machine(tmp_path, disk) as (host, etc):
            write(host, seed("stateless.yaml", disk, "one"))
            host.boot(OUTCOME)
            for number in range(3):
                if number:
                    host.power_off()
                    etc.make()
                    forget(host)
                    host.boot(OUTCOME)
                code, said = ended(host)
                assert code == 0, f"boot {number}: {said}"
                assert root_of(host) == STATELESS, said
                if not number:
                    host.docker("run", "--detach", "--name", "web", "--restart=always", "busybox", "sleep", "100000")
                assert host.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"
            assert [direction(host, number) for number in runs(host)] == ["forth", "adopt", "adopt"]


def forget(host: Host) -> None:
    """What cloud-init keeps from boot to boot; the host is off."""
    kept = host.machine.directory / "var/lib/cloud"
    for place in kept.iterdir():
        if place.name != "seed":
            remove_tree(place)


def direction(host: Host, number: str) -> str:
    text = host.path(f"/var/lib/relocator/runs/{number}/plan.json").read_text()
    return str(json.loads(text)["plan"]["direction"])

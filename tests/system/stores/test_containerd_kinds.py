"""What the move of both roots depends on: whose containerd it is, who else works with it, and when the power fails."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, HEALTHY, differences, inventory, populate
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    MOVED,
    SOURCE,
    TARGET,
    UNIT,
    arm,
    await_pause,
    move,
    outcome,
    relocator,
)
from tests.system.support.points import CONTAINERD, STARTED, Back
from tests.system.support.surviving import settled
from tests.system.support.two_roots import STORE, STORE_TARGET, assert_as_it_was, assert_committed, before, roots

pytestmark = pytest.mark.system

DATABASE = "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db"
# dockerd starts a containerd of its own where it is told of none and finds none.
MANAGED = """
systemctl stop docker.socket docker.service
systemctl mask --now containerd.service
rm -f /run/containerd/containerd.sock
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd -H fd://\\n' >/etc/systemd/system/docker.service.d/a.conf
systemctl daemon-reload
systemctl start docker.socket docker.service
"""
# The host has no controller for the processor, which a shell of `ctr` would have limited.
OTHER = """
docker image save busybox:latest --output /var/other.tar
ctr --namespace default images import /var/other.tar
ctr --namespace default run --detach --cpu-shares 0 docker.io/library/busybox:latest other \
    sh -c 'while :; do date >>/log; sleep 0.1; done'
"""
TASKS = ["ctr", "--namespace", "default", "tasks", "list", "--quiet"]


@pytest.fixture
def host() -> Iterator[Host]:
    with Disk("8G") as disk, boot("trixie", "kinds", disks={DISK: disk}, containerd_store=True) as found:
        yield found


def opened(host: Host) -> str:
    """The database that the engine's own containerd has open."""
    return host.run("for one in /proc/$(pidof containerd)/fd/*; do readlink $one || :; done | grep bolt").stdout.strip()


def test_a_containerd_that_the_engine_manages_moves_within_the_data_root(host: Host) -> None:
    host.run(["docker", "image", "save", "--output=/var/all.tar", "busybox:latest", IMAGE])
    host.run(MANAGED)
    host.wait_docker()
    host.run(["docker", "load", "--input=/var/all.tar"])
    host.docker("run", "--detach", "--name=web", "--restart=always", "busybox", "sh", "-c", "date >/log; sleep 600")
    assert opened(host) == f"{SOURCE}/{DATABASE}"
    was = inventory(host)
    told = move(host)
    assert (told["state"], told["containerd"]) == ("committed", None), told
    assert opened(host) == f"{TARGET}/{DATABASE}"
    assert differences(was, inventory(host), ignore=MOVED) == []
    assert host.docker("exec", "web", "cat", "/log")
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"
    assert opened(host) == f"{SOURCE}/{DATABASE}"
    assert differences(was, inventory(host), ignore=MOVED) == []


def test_what_others_run_refuses_the_move_until_its_end_is_agreed_to(host: Host) -> None:
    host.run(OTHER)
    assert host.run(TASKS).stdout.split() == ["other"]
    was = before(host)
    refused = relocator(host, TARGET)
    assert (refused.returncode, "containerd-users" in refused.stderr) == (3, True), refused.stderr
    assert host.run(TASKS).stdout.split() == ["other"]
    alone = relocator(host, "check", "--only", "data-root", TARGET)
    assert alone.returncode == 0, alone.stderr
    assert_committed(host, move(host, TARGET, "--stop-containerd-users"), was)
    assert host.run(TASKS).stdout.split() == []
    host.run(["ctr", "--namespace", "default", "tasks", "start", "--detach", "other"])
    mounted = host.run(["grep", "default/other/rootfs", "/proc/1/mountinfo"]).stdout
    assert f"upperdir={STORE_TARGET}/" in mounted


INSTANTS = ("switch.guarded", *CONTAINERD, "switch.written", Back(STARTED, "switch.undone"))
SAMPLE = ("switch.paired",)


@pytest.mark.parametrize(
    "instant",
    [pytest.param(one, id=str(one), marks=() if one in SAMPLE else pytest.mark.matrix) for one in INSTANTS],
)
def test_a_power_cut_between_the_two_files_never_ends_on_half_of_each(host: Host, instant: str | Back) -> None:
    populate(host, roles=FEWER)
    disk = host.disks[DISK]
    host.power_off()
    host.attach(disk.disk, DISK, keep=True)
    host.boot()
    host.wait_docker()
    health = f"docker inspect --format '{{{{.State.Health.Status}}}}' {HEALTHY}"
    host.run(f'until [ "$({health})" = healthy ]; do sleep 0.2; done', timeout=60)
    was = before(host)
    point = instant.point if isinstance(instant, Back) else instant
    arm(host, f"{point} pause", *([f"{instant.failing} fail"] if isinstance(instant, Back) else []))
    front = host.popen(["docker", "run", *ATTACHED, IMAGE, TARGET], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    await_pause(host, point)
    host.cut_power()
    front.communicate()
    host.boot()
    host.wait_docker()
    is_new = point == "switch.written"
    assert roots(host) == ((TARGET, STORE_TARGET) if is_new else (SOURCE, STORE))
    told = settled(host)
    assert told["state"] == ("committed" if is_new else "rolled-back"), f"{told}\n{host.journal(UNIT)}"
    if is_new:
        assert_committed(host, told, was)
    else:
        assert_as_it_was(host, was)
    assert host.run("find /etc/systemd/system -name '*relocator-switch*'").stdout == ""

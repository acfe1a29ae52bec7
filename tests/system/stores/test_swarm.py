"""A node that is a swarm of its own: it stays that node, and its services run again whole, in tasks made anew."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import DISK, SOURCE, TARGET, UNIT, assert_nothing_left, move, outcome, relocator

pytestmark = pytest.mark.system

SERVICE = ("service", "create", "--detach", "--network", "host", "--no-resolve-image", "--name")
READY = 60.0  # seconds


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    with Disk("4G", "ext4") as disk, boot("trixie", name="node", disks={DISK: disk}) as host:
        host.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        host.docker("secret", "create", "key", "/etc/os-release")
        mount = "type=volume,source=kept,target=/kept"
        host.docker(*SERVICE, "web", "--replicas", "2", "--secret", "key", "busybox", "sleep", "99999")
        host.docker(*SERVICE, "db", "--mount", mount, "busybox", "sh", "-c", "echo x >> /kept/starts; sleep 99999")
        host.docker("run", "--detach", "--name", "beside", "--restart", "always", "busybox", "sleep", "99999")
        await_replicas(host)
        yield host


def await_replicas(host: Host) -> None:
    deadline = time.monotonic() + READY
    while replicas(host) != {"web": "2/2", "db": "1/1"}:
        assert time.monotonic() < deadline, host.docker("service", "ps", "web", "db", "--no-trunc")
        time.sleep(0.2)


def replicas(host: Host) -> dict[str, str]:
    listed = host.docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
    return dict(line.split() for line in listed)


def swarm_of(host: Host) -> dict[str, object]:
    told = json.loads(host.docker("info", "--format", "{{json .Swarm}}"))
    return {key: told[key] for key in ("NodeID", "LocalNodeState", "ControlAvailable", "Managers", "Nodes")}


def tasks(host: Host) -> set[str]:
    return set(host.docker("ps", "--quiet", "--no-trunc", "--filter", "label=com.docker.swarm.task").split())


def test_its_services_run_whole_again_there_and_back(node: Host) -> None:
    was, secrets = swarm_of(node), node.docker("secret", "ls", "--quiet")
    for root, go in ((TARGET, lambda: move(node)), (SOURCE, lambda: back(node))):
        before = tasks(node)
        told = go()
        # At once: the move itself has waited for them.
        assert replicas(node) == {"web": "2/2", "db": "1/1"}
        assert told["state"] == "committed", f"{told}\n{node.journal(UNIT)}"
        assert node.docker("info", "--format", "{{.DockerRootDir}}") == root
        assert swarm_of(node) == was
        assert node.docker("secret", "ls", "--quiet") == secrets
        assert len(tasks(node)) == 3
        assert not tasks(node) & before
        assert node.docker("inspect", "--format", "{{.State.Status}}", "beside") == "running"
        starts = node.path(f"{root}/volumes/kept/_data/starts").read_text()
        assert starts.count("x") == 2  # before the move, and on this root
        assert_nothing_left(node)


def back(host: Host) -> dict[str, object]:
    assert relocator(host, "rollback", "--yes").returncode == 10
    return outcome(host)


def test_a_node_that_locks_itself_waits_for_its_key(node: Host) -> None:
    node.docker("swarm", "update", "--autolock=true")
    key, was = node.docker("swarm", "unlock-key", "--quiet"), swarm_of(node)
    told = relocator(node, f"{DISK}/locked")
    assert told.returncode == 10, told.stdout + told.stderr
    assert "docker swarm unlock-key" in told.stdout
    await_state(node, "locked")
    assert relocator(node, "status").returncode == 10  # at work, and waiting
    node.run(["docker", "swarm", "unlock"], stdin=f"{key}\n")
    assert outcome(node)["state"] == "committed"
    assert "The swarm is locked" in node.journal(UNIT) or "swarm.locked" in node.journal(UNIT)
    assert swarm_of(node) == was
    assert replicas(node) == {"web": "2/2", "db": "1/1"}
    node.docker("swarm", "update", "--autolock=false")


def await_state(host: Host, wanted: str) -> None:
    deadline = time.monotonic() + READY
    while host.run(["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"], check=False).stdout.strip() != wanted:
        assert time.monotonic() < deadline, host.journal(UNIT)
        time.sleep(0.2)

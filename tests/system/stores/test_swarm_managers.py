"""One of three managers, and a worker: three engines on one host, each in a network of its own.

The one that is moved is the host's own engine. Once it has been at work on the new root it stays there.
"""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import DISK, arm, assert_nothing_left, disarm, outcome, relocator

pytestmark = [pytest.mark.system, pytest.mark.matrix]

READY = 60.0  # seconds
BRIDGE = """
ip link add swarm type bridge; ip addr add 10.99.0.1/24 dev swarm; ip link set swarm up
"""
ENGINE = """
ip netns add m{0}; ip link add v{0} type veth peer name eth0 netns m{0}; ip link set v{0} master swarm up
ip -n m{0} addr add 10.99.0.{0}/24 dev eth0; ip -n m{0} link set eth0 up; ip -n m{0} link set lo up
systemd-run --quiet --unit=m{0} nsenter --net=/run/netns/m{0} dockerd --data-root=/srv/m{0} --exec-root=/run/m{0} \
    --pidfile=/run/m{0}.pid --host=unix:///run/m{0}.sock --bridge=none --iptables=false \
    --containerd=/run/containerd/containerd.sock
"""


@pytest.fixture(scope="module")
def one() -> Iterator[Host]:
    with Disk("4G", "ext4") as disk, boot("trixie", name="manager", disks={DISK: disk}) as host:
        host.run(BRIDGE + "".join(ENGINE.format(number) for number in (2, 3)))
        host.docker("swarm", "init", "--advertise-addr", "10.99.0.1")
        token = host.docker("swarm", "join-token", "--quiet", "manager")
        for number in (2, 3):
            until(partial(other, host, number, "info", "--format", "{{.ID}}"))
            address = f"10.99.0.{number}"
            other(host, number, "swarm", "join", "--token", token, "--advertise-addr", address, "10.99.0.1:2377")
        until(lambda: reachable(host, 2) == 3)
        host.docker("run", "--detach", "--name", "beside", "--restart", "always", "busybox", "sleep", "99999")
        yield host


def other(host: Host, number: int, *arguments: str) -> str:
    """`docker` of another node; empty if that does not answer."""
    socket = f"unix:///run/m{number}.sock"
    return host.run(["docker", "--host", socket, *arguments], check=False).stdout.strip()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + READY
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def reachable(host: Host, number: int) -> int:
    """How many managers another one sees at work."""
    listed = other(host, number, "node", "ls", "--format", "{{.ManagerStatus}}").splitlines()
    return sum(status in ("Leader", "Reachable") for status in listed)


def node(host: Host) -> tuple[str, str]:
    told = json.loads(host.docker("info", "--format", "{{json .Swarm}}"))
    return told["NodeID"], told["LocalNodeState"]


def root(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def test_it_moves_while_the_others_keep_the_majority(one: Host) -> None:
    was = node(one)
    checked = relocator(one, "check", f"{DISK}/docker")
    assert "The others keep a majority." in checked.stdout
    assert relocator(one, f"{DISK}/docker").returncode == 10
    assert outcome(one)["state"] == "committed"
    assert root(one) == f"{DISK}/docker"
    assert node(one) == was
    until(lambda: reachable(one, 2) == 3)
    assert_nothing_left(one)


def test_it_is_not_returned_to_what_it_knew_before(one: Host) -> None:
    refused = relocator(one, "rollback", "--yes")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "[swarm-return]" in refused.stderr
    assert root(one) == f"{DISK}/docker"


def test_it_is_taken_back_if_it_never_was_at_work_on_the_new_root(one: Host) -> None:
    arm(one, "start.intended fail")
    assert relocator(one, f"{DISK}/never", "--same-disk").returncode == 10
    told = outcome(one)
    disarm(one, "start.intended")
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4)
    assert root(one) == f"{DISK}/docker"
    until(lambda: reachable(one, 2) == 3)


def test_it_stays_whatever_fails_once_it_was_at_work_there(one: Host) -> None:
    was = node(one)
    arm(one, "verify.proven fail")
    assert relocator(one, f"{DISK}/stays", "--same-disk").returncode == 10
    told = outcome(one)
    disarm(one, "verify.proven")
    assert (told["state"], told["exit_code"]) == ("committed", 0), told  # looked at again, nothing is amiss
    assert root(one) == f"{DISK}/stays"
    assert node(one) == was
    assert one.docker("inspect", "--format", "{{.State.Status}}", "beside") == "running"
    until(lambda: reachable(one, 2) == 3)
    assert_nothing_left(one)
    again = relocator(one, f"{DISK}/stays", "--same-disk")
    assert again.returncode == 0, again.stdout + again.stderr


def test_without_it_there_would_be_no_majority(one: Host) -> None:
    one.run(["systemctl", "kill", "--signal=STOP", "m3"])
    until(lambda: reachable(one, 2) == 2)
    refused = relocator(one, f"{DISK}/more", "--same-disk")
    assert refused.returncode == 3
    assert "[swarm-quorum]" in refused.stderr
    assert root(one) == f"{DISK}/stays"
    one.run(["systemctl", "kill", "--signal=CONT", "m3"])
    until(lambda: reachable(one, 2) == 3)


def test_a_worker_moves_and_is_the_same_node(one: Host) -> None:
    was = node(one)
    assert other(one, 2, "node", "demote", was[0])
    until(lambda: one.docker("info", "--format", "{{.Swarm.ControlAvailable}}") == "false")
    assert relocator(one, f"{DISK}/worker", "--same-disk").returncode == 10
    assert outcome(one)["state"] == "committed"
    assert root(one) == f"{DISK}/worker"
    assert node(one) == was
    until(lambda: f"{was[0]} Ready" in other(one, 2, "node", "ls", "--format", "{{.ID}} {{.Status}}"))
    back = relocator(one, "rollback", "--yes")
    assert back.returncode == 10, back.stdout + back.stderr
    assert outcome(one)["state"] == "committed"
    assert node(one) == was

"""What fails once is tried again, what does not stand is told and tried again, and nobody who asks stops an engine.

No container here has a restart policy, unless a case gives it one: none is started but by whoever restores what ran.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

import pytest

from entrypoint.move.worker import handover
from tests.hosts import Disk, Host, boot
from tests.system.dying.test_rollback import broken_unit
from tests.system.support.moving import (
    DISK,
    UNIT,
    arm,
    assert_nothing_left,
    await_pause,
    await_worker,
    disarm,
    outcome,
    relocator,
)
from tests.system.support.shop import RUN, Shop, moving, start_writers

pytestmark = pytest.mark.system

POLICIES = {"db": "no", "app": "no"}
SLEEP = ("busybox", "sleep", "100000")
DEVICE = "/dev/ttyX"
NUMBER = re.compile(r"[0-9a-f]{64}")
WEEK = 7 * 86400
# A runtime whose next start meets a systemd that is just executed anew, and fails as runc does then.
RUNTIME, NEXT = "/usr/local/bin/meeting", "/run/meeting"
MEETING = f"""\
#!/bin/sh
case " $* " in
    *" create "*)
        if rm {NEXT} 2>/dev/null; then
            systemctl daemon-reexec
            echo 'unable to start unit: Message recipient disconnected from message bus without replying' >&2
            exit 1
        fi ;;
esac
exec runc "$@"
"""
DAEMON_JSON = json.dumps({"runtimes": {"meeting": {"path": RUNTIME}}})
LOSE_BUS = "pkill -KILL -x systemd-stdio-b"  # the worker's way to systemd; the kernel keeps 15 letters of its name


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    files = {"/etc/docker/daemon.json": f"{DAEMON_JSON}\n"}
    with Disk("8G", "ext4") as disk, boot(name="again", disks={DISK: disk}, files=files) as host:
        host.write(RUNTIME, MEETING, mode=0o755)
        start_writers(host, POLICIES)
        yield Shop(host)


def engine_pid(host: Host) -> str:
    return host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout


def failure(host: Host, name: str) -> str:
    """Whether the engine has a container running, and its own reason where it could not start it."""
    return host.docker("inspect", "--format", "{{.State.Status}} {{.State.Error}}", name)


def cut_off(shop: Shop, target: str) -> None:
    """A move whose worker is killed past the switch, and what systemd would start it again by; the engine stays up."""
    host = shop.host
    arm(host, "verify.intended pause")
    assert relocator(host, target, "--same-disk").returncode == 10
    await_pause(host, "verify.intended")
    for unit in (handover.KEEPER, handover.UNIT):
        host.run(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit])
    await_worker(host)
    disarm(host, "verify.intended")
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == target


# --- a device that is gone before the move ----------------------------------------------------------------------------


@contextmanager
def zigbee(shop: Shop) -> Iterator[None]:
    """The longest running, whose device is unplugged while it runs."""
    host = shop.host
    host.docker("rm", "--force", "db", "app")
    host.run(["mknod", DEVICE, "c", "1", "3"])
    host.docker(*RUN, "--name", "zigbee", "--restart", "unless-stopped", "--device", DEVICE, *SLEEP)
    host.run(["rm", DEVICE])
    start_writers(host, POLICIES)
    try:
        yield
    finally:
        host.docker("rm", "--force", "zigbee")
        host.run(["rm", "-f", DEVICE])


def assert_zigbee_alone_is_down(shop: Shop, root: str) -> str:
    """As it is told; returns the engine's own reason."""
    told = outcome(shop.host)
    assert (told["state"], told["exit_code"]) == ("moved", 6), f"{told}\n{shop.host.journal(UNIT)}"
    (amiss,) = told["amiss"]
    status, _, why = failure(shop.host, "zigbee").partition(" ")
    assert amiss.startswith(f"zigbee was running and is {status}"), amiss
    assert DEVICE in why
    assert why in amiss
    shop.assert_runs("db", "app")
    assert shop.host.docker("info", "--format", "{{.DockerRootDir}}") == root
    assert_nothing_left(shop.host)
    return why


def assert_no_number(*said: CompletedProcess[str] | str) -> None:
    for one in said:
        text = one if isinstance(one, str) else one.stdout + one.stderr
        assert not NUMBER.search(text), text


def test_a_device_that_is_gone_keeps_no_other_container_down(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    with zigbee(shop):
        check = relocator(host, "check", target, "--same-disk")
        assert (check.returncode, "cannot-restart" in check.stdout) == (0, True), check
        assert f"device {DEVICE} is gone" in check.stdout
        front = relocator(host, target, "--same-disk")
        assert front.returncode == 10, front
        assert_zigbee_alone_is_down(shop, target)
        shop.assert_nothing_lost()
        status = relocator(host, "status")
        assert status.returncode == 6
        assert "What was tried: to put each container as it stood, up to 5 times.\n" in status.stdout
        assert (
            f"relocator rollback --yes\nIt gives up what was written, made and removed since {day(host)}"
            in status.stdout
        )
        assert_no_number(check, front, status, host.journal(UNIT, lines=1000))

        host.run(["mknod", DEVICE, "c", "1", "3"])
        assert relocator(host, "cleanup").returncode == 0  # nothing is agreed to, and all the same it is tried again
        shop.assert_runs("zigbee")
        assert relocator(host, "status").returncode == 0


def day(host: Host) -> str:
    return host.run(["date", "+%Y-%m-%d"]).stdout.strip()


@pytest.mark.matrix
def test_a_device_that_is_gone_keeps_one_down_on_either_root(shop: Shop) -> None:
    """After the move, after the way back, and after a bare restart of the old root: it is the same container, for the
    same reason."""
    host, was, target = shop.host, shop.root, shop.next_target()
    with zigbee(shop):
        assert relocator(host, target, "--same-disk").returncode == 10
        there = assert_zigbee_alone_is_down(shop, target)
        host.run(["mknod", DEVICE, "c", "1", "3"])
        assert outcome(host)["exit_code"] == 0
        host.run(["rm", DEVICE])
        assert relocator(host, "rollback", "--yes").returncode == 10
        assert assert_zigbee_alone_is_down(shop, was) == there
        host.run("systemctl reset-failed docker.service; systemctl restart docker.service")  # and nothing else
        assert failure(host, "zigbee") == f"exited {there}"
        host.docker("start", "db", "app")
        shop.give_up(was)

        host.run(["mknod", DEVICE, "c", "1", "3"])
        assert relocator(host, was).returncode == 0  # it is there already
        shop.assert_runs("zigbee")


# --- what fails once --------------------------------------------------------------------------------------------------


def test_a_systemd_that_is_executed_anew_as_containers_start_keeps_none_down(shop: Shop) -> None:
    """Each of two starts meets it and fails: one that the engine makes, which it never makes again, and one of ours."""
    host, target = shop.host, shop.next_target()
    runtime = ("--runtime", "meeting")
    host.docker(*RUN, *runtime, "--name", "always", "--restart", "always", *SLEEP)
    host.docker(*RUN, *runtime, "--name", "once", *SLEEP)
    with moving(host, target, "verify.intended"):
        host.run(f"touch {NEXT}; kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' always)")
        down = "[ $(docker inspect --format '{{.State.Status}}' always) = exited ]"
        host.run(f"until {down}; do sleep 0.1; done", timeout=30)
        host.run(["touch", NEXT])
    assert not host.path(NEXT).exists()
    shop.assert_arrived(outcome(host), target)
    shop.assert_runs("always", "once")
    host.docker("rm", "--force", "always", "once")


def test_a_way_to_systemd_that_is_lost_is_opened_again(shop: Shop) -> None:
    """In the middle of the job that stops the engine, of the one that starts it, and between two questions."""
    host, target = shop.host, shop.next_target()
    lost = f"/bin/sh -c '{LOSE_BUS}'"
    with broken_unit(host, f"[Service]\nExecStopPost=-{lost}\nExecStartPre=-{lost}\n"):
        with moving(host, target, "verify.intended"):
            host.run(LOSE_BUS)
        shop.assert_arrived(outcome(host), target)


# --- others, and who only asks ----------------------------------------------------------------------------------------


def test_what_others_have_done_is_known_by_files_where_the_engine_has_forgotten_it(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    host.docker("create", "--name", "victim", "busybox")
    host.docker("commit", "victim", "spare:1")
    host.docker("volume", "create", "spare")
    host.docker("network", "create", "spare")
    host.docker(*RUN, "--name", "quiet", "--restart", "unless-stopped", *SLEEP)
    with moving(host, target, "verify.intended"):
        host.run("docker stop quiet; docker tag busybox another:2; docker rm victim; docker create --name made busybox;"
                 " docker rmi spare:1; docker volume rm spare; docker network rm spare;"
                 " systemctl restart docker.service")  # fmt: skip
        assert "victim" not in host.docker("events", "--since", "0", "--until", "0s")
    shop.assert_arrived(outcome(host), target)
    assert "victim" not in host.docker("ps", "--all", "--format", "{{.Names}}").split()
    assert failure(host, "quiet") == "exited"
    host.docker("rm", "made", "quiet")


def test_who_only_asks_stops_no_engine_where_it_must_go_back(shop: Shop) -> None:
    """Nobody was served on the new root when its proof fails: to go back is right, and not for `status` to do."""
    host, was, target = shop.host, shop.root, shop.next_target()
    host.docker("volume", "create", "spare")
    cut_off(shop, target)
    host.run(["rm", "-r", f"{target}/volumes/spare"])
    pid = engine_pid(host)
    for _ in range(2):
        status = relocator(host, "status")
        said = status.stdout + status.stderr
        assert status.returncode == 5, said
        assert '"event": "unsettled"' in said
        assert f"and if it does not, go back to {was}" in said
        assert "relocator rollback" in said
        assert engine_pid(host) == pid
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == target

    assert relocator(host, "rollback").returncode == 10
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), f"{told}\n{host.journal(UNIT)}"
    assert "volumes/spare" in told["reason"]
    shop.assert_runs("db", "app")
    shop.assert_nothing_lost()
    assert shop.root == was
    assert_nothing_left(host)
    host.docker("volume", "rm", "spare")
    host.run(["rm", "-r", target])


def test_a_run_past_the_switch_is_finished_a_week_later(shop: Shop) -> None:
    """People have gone on since: nothing is proven by what was there then, and nothing started behind their back."""
    host, target = shop.host, shop.next_target()
    host.docker("create", "--name", "victim", "busybox")
    host.docker(*RUN, "--name", "given-up", *SLEEP)
    cut_off(shop, target)
    a_week_ago(host)
    host.run("docker rm victim; docker start db given-up; docker stop given-up")
    pid = engine_pid(host)
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("moved", 6), f"{told}\n{host.journal(UNIT)}"
    (amiss,) = told["amiss"]
    assert amiss.startswith("app was running and is exited")
    assert told["tried"] == []
    assert failure(host, "app").startswith("exited")
    told = outcome(host)  # who asks again is told of it, and it is started
    assert engine_pid(host) == pid
    shop.assert_arrived(told, target, ended="moved")
    shop.assert_runs("db", "app")
    assert failure(host, "given-up") == "exited"
    host.docker("rm", "given-up")


def a_week_ago(host: Host) -> None:
    """The records of the last run, as old as that."""
    journal = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1] / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(f"{json.dumps({**one, 'at': one['at'] - WEEK})}\n" for one in records))

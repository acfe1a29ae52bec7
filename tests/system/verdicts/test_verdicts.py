"""What happens after the start on the new root: nobody's acknowledged writes are lost, whatever the verdict is."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.inside import end
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    OUTCOME,
    SOURCE,
    UNIT,
    arm,
    assert_nothing_left,
    await_pause,
    await_worker,
    disarm,
    outcome,
    read,
    relocator,
    resume,
)
from tests.system.support.shop import ACKS, RUN, START, Shop, moving, start_writers
from tests.system.support.surviving import settled

pytestmark = pytest.mark.system

DEVICE = "/dev/ttyX"
REFUSING = "/etc/systemd/system/docker.service.d/90-refusing.conf"
NOT_UP = re.compile("Why (it|the engine) does not start")
POLICIES = {"db": "unless-stopped", "app": "no"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Disk("8G", "ext4") as disk, boot(name="shop", disks={DISK: disk}) as host:
        start_writers(host, POLICIES)
        yield Shop(host)


def test_what_cannot_be_started_or_is_unhealthy_is_named_and_all_others_run(shop: Shop) -> None:
    """A device that is gone, a bind source that was removed, a health check that fails: one move, three reasons."""
    host, target = shop.host, shop.next_target()
    host.run(f"mknod {DEVICE} c 1 3; mkdir /srv/gone; touch {ACKS}/well")
    host.docker(*RUN, "--name", "zigbee", "--restart", "unless-stopped", "--device", DEVICE,
                "busybox", "sleep", "100000")  # fmt: skip
    host.docker(*RUN, "--name", "bound", "--mount", "type=bind,source=/srv/gone,target=/x",
                "busybox", "sleep", "100000")  # fmt: skip
    host.docker(*RUN, "--name", "sick", "--restart", "always", "--volume", f"{ACKS}:/acks",
                "--health-cmd", "test -e /acks/well", "--health-interval", "1s", "--health-retries", "1",
                "busybox", "sleep", "100000")  # fmt: skip
    host.docker(*RUN, "--name", "later", "busybox", "sleep", "100000")
    with moving(host, target, "switch.written"):
        host.run(f"rm -r {DEVICE} /srv/gone {ACKS}/well")
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("moved", 6), f"{told}\n{host.journal(UNIT)}"
    amiss = "\n".join(told["amiss"])
    assert "zigbee was running and is exited" in amiss
    assert DEVICE in amiss
    assert "bound was running and is exited" in amiss
    assert "/srv/gone" in amiss
    assert "sick was healthy and is unhealthy" in amiss
    shop.assert_runs("db", "app", "later", "sick")
    shop.assert_nothing_lost()
    assert shop.root == target
    assert_nothing_left(host)

    host.run(f"mknod {DEVICE} c 1 3; mkdir /srv/gone; touch {ACKS}/well; sleep 3")
    told = outcome(host)  # asking is enough: what is mended is started
    assert (told["state"], told["exit_code"], told["amiss"]) == ("committed", 0, []), told
    shop.assert_runs("zigbee", "bound")
    shop.assert_nothing_lost()
    host.docker("rm", "--force", "zigbee", "bound", "sick", "later")


@pytest.mark.parametrize(("part", "said"), [("layer", "container app has no "), ("volume", "volume db has no ")])
def test_what_the_copy_lacks_at_the_switch_is_seen_before_a_container_runs_there(
    shop: Shop, part: str, said: str
) -> None:
    """What the check has compared is gone again: by somebody's hand, or a disk that lies."""
    host, target, was = shop.host, shop.next_target(), shop.root
    upper = host.docker("inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", "app")
    place = {"layer": upper.removesuffix("/diff").replace(was, target, 1), "volume": f"{target}/volumes/db"}[part]
    with moving(host, target, "switch.intended"):
        host.run(["rm", "-r", place])
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), f"{told}\n{host.journal(UNIT)}"
    assert f"Not all is there in {target}" in told["reason"]
    assert said in told["reason"]
    last = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1]
    steps = [json.loads(line).get("step") for line in (last / "journal.jsonl").read_text().splitlines()]
    assert "start" not in steps  # so nobody was served there
    shop.assert_nothing_lost()
    assert shop.root == was
    assert_nothing_left(host)
    host.run(["rm", "-r", target])


def test_an_engine_that_starts_on_neither_root_is_told_with_the_line_that_brings_it_back(shop: Shop) -> None:
    host, target, was = shop.host, shop.next_target(), shop.root
    host.run("docker run --rm relocator script >/root/relocate")
    config = read(host, "/etc/docker/daemon.json")
    arm(host, "switch.written pause")
    front = host.popen(["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    await_pause(host, "switch.written")
    host.write(REFUSING, "[Service]\nExecStartPre=/bin/false\n")
    host.run(["systemctl", "daemon-reload"])
    resume(host, "switch.written")
    front.communicate(timeout=OUTCOME)
    await_worker(host)
    disarm(host, "switch.written")

    told = host.run(["sh", "/root/relocate", "status"], check=False)
    said = told.stdout + told.stderr
    assert told.returncode == 5, said
    assert NOT_UP.search(said)
    line = re.search(r"sh (/var/lib/relocator/runs/\d+/back)/back\.sh now", said)
    assert line, said

    # Somebody brings it up on the old root, and writes the new one into its configuration: nobody settles that.
    start = "systemctl reset-failed docker.service docker.socket; systemctl start docker.socket docker.service"
    host.run(f"rm {REFUSING}; systemctl daemon-reload; {start}; cat {line[1]}/switch.after >/etc/docker/daemon.json")
    host.wait_docker()
    told = host.run(["sh", "/root/relocate", "status"], check=False)
    assert told.returncode == 5, told.stdout + told.stderr
    assert not NOT_UP.search(told.stdout + told.stderr)
    assert "The engine runs. What is wrong there: docker ps --all" in told.stdout

    host.run(line[0])
    host.wait_docker()
    assert read(host, "/etc/docker/daemon.json") == config
    shop.assert_runs("db", "app")  # before anything else is asked
    told_after = outcome(host)
    assert (told_after["state"], told_after["exit_code"]) == ("rolled-back", 4), told_after
    shop.assert_nothing_lost()
    assert shop.root == was
    assert_nothing_left(host)


def test_what_others_do_as_the_engine_comes_back_is_no_loss(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    host.docker("create", "--name", "victim", "busybox")
    host.docker("volume", "create", "spare")
    host.docker("network", "create", "spare")
    with moving(host, target, "verify.intended"):
        host.run("docker tag busybox another:1; docker rm victim; docker create --name made busybox;"
                 " docker volume rm spare; docker network rm spare")  # fmt: skip
    shop.assert_arrived(outcome(host), target)
    names = host.docker("ps", "--all", "--format", "{{.Names}}").split()
    assert ("victim" in names, "made" in names) == (False, True)
    host.docker("rm", "made")


def test_an_engine_that_is_killed_while_it_starts_loses_nothing(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    with moving(host, target, "start.lifted"):
        was = len(shop.acknowledged("db"))
        killer = host.popen(
            f"until [ $(wc -l <{ACKS}/db) -gt {was + 3} ]; do sleep 0.01; done;"
            " kill -9 $(systemctl show --property=MainPID --value docker.service)"
        )
    assert killer.wait(60) == 0
    shop.assert_arrived(outcome(host), target)


def test_a_systemd_that_is_executed_anew_again_and_again_takes_nothing_back(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    with moving(host, target, "start.intended"):
        again = host.popen("for i in 1 2 3 4 5 6; do systemctl daemon-reexec; sleep 0.3; done")
    again.wait(60)
    shop.assert_arrived(outcome(host), target)


def test_a_storm_of_starts_during_the_freeze_ends_no_move(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    with moving(host, target, "freeze.held"):
        storm = host.popen("for i in $(seq 15); do systemctl start docker & sleep 0.1; done; wait")
    end(storm)
    storm.wait()
    shop.assert_arrived(outcome(host), target)


def test_a_run_that_a_power_cut_left_past_the_switch_is_finished_by_whoever_asks(shop: Shop) -> None:
    """The operator has removed a dead container before: that is no loss, and asking stops no engine."""
    host, target = shop.host, shop.next_target()
    host.docker("create", "--name", "dead", "busybox")
    arm(host, "verify.intended pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, "verify.intended")
    host.cut_power()
    front.communicate()
    host.boot()
    host.wait_docker()
    host.docker("rm", "dead")
    pid = host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout
    told = settled(host)
    assert host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout == pid
    shop.assert_arrived(told, target)


# What people write: a container made anew at each start, not bound to the engine and bound to it, and one that is
# brought up and taken down, by `docker compose` and by hand. `sleep` hears no TERM, which `docker run` passes on.
REMOVE = "/usr/bin/docker rm --force"
BOUND = "[Unit]\nRequires=docker.service\nAfter=docker.service\n"
MADE_ANEW = "[Service]\nExecStartPre=-{remove} {name}\nExecStart={run} --name {name} busybox sleep 100000\n" \
    "Restart=always\nRestartSec=2\nTimeoutStopSec=2\n"  # fmt: skip
COMPOSED = (
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/docker network create stack\n"
    "ExecStart={run} --detach --name {name} --network stack busybox sleep 100000\n"
    "ExecStop={remove} {name}\nExecStop=/usr/bin/docker network rm stack\n"
)
PROJECT = "/srv/stack"
COMPOSE = f"""\
[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory={PROJECT}
ExecStart=/usr/bin/docker compose up --detach
ExecStop=/usr/bin/docker compose down --timeout 1
"""
WEB = (
    "services:\n  web:\n    image: busybox\n    command: sleep 100000\n    stop_signal: KILL\n    pull_policy: never\n"
)
GO = "/srv/go"  # a unit that takes its time with what it makes anew
LATE = f"[Service]\nExecStartPre=/bin/sh -c 'until [ -e {GO} ]; do sleep 0.1; done'\n"
OWNED = {"stack-web-1": BOUND + COMPOSE, "loose": MADE_ANEW.replace("[Service]\n", LATE), "bound": BOUND + MADE_ANEW,
         "composed": BOUND + COMPOSED,
         "apart": "[Unit]\nAfter=docker.service\n" + COMPOSED.replace("stack", "own")}  # fmt: skip
UP = f"for one in {' '.join(OWNED)}; do until docker inspect $one >/dev/null 2>&1; do sleep 0.1; done; done"


@contextmanager
def owned(host: Host) -> Iterator[None]:
    host.run(f"mkdir -p {PROJECT}; touch {GO}")
    host.write(f"{PROJECT}/compose.yaml", WEB)
    for name, text in OWNED.items():
        host.write(
            f"/etc/systemd/system/{name}.service", text.format(name=name, run=f"/usr/bin/docker {START}", remove=REMOVE)
        )
    host.run(f"systemctl daemon-reload; systemctl start {' '.join(OWNED)}; {UP}")
    try:
        yield
    finally:
        units = " ".join(f"/etc/systemd/system/{name}.service" for name in OWNED)
        host.run(f"systemctl stop {' '.join(OWNED)}; {REMOVE} {' '.join(OWNED)}; rm {units}; systemctl daemon-reload",
                 check=False)  # fmt: skip


def test_what_units_of_the_host_make_anew_is_the_same(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    with owned(host):
        host.run(["rm", GO])
        with moving(host, target, "verify.restored"):  # all that we start is started
            assert host.docker("inspect", "--format", "{{.State.Status}}", "loose") == "exited"
            host.run(["touch", GO])
        shop.assert_arrived(outcome(host), target)
        host.run(UP)
        shop.assert_runs(*OWNED)
        assert not {"loose", "bound", "composed", "stack-web-1"} & {*started_by_us(host)}


def started_by_us(host: Host) -> list[str]:
    last = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1]
    events = [json.loads(line) for line in (last / "log.jsonl").read_text().splitlines()]
    return [one["container"] for one in events if one["event"] == "container.started"]


def test_all_others_run_when_the_way_back_is_taken_too(shop: Shop) -> None:
    """Before a container has run there: the engine refuses the new root, and one container is gone for good. What units
    of the host make anew on the old root is there as it was."""
    with owned(shop.host):
        be_taken_back(shop)
        shop.host.run(UP)
        shop.assert_runs(*OWNED)


def be_taken_back(shop: Shop) -> None:
    host, target, root = shop.host, shop.next_target(), shop.root
    host.run(["mkdir", "-p", "/srv/gone"])
    host.docker(*RUN, "--name", "lost", "--mount", "type=bind,source=/srv/gone,target=/x",
                "busybox", "sleep", "100000")  # fmt: skip
    with moving(host, target, "switch.intended"):
        host.run("rmdir /srv/gone")
        host.write("/run/systemd/system/docker.service.d/90-break.conf",
                   f"[Service]\nExecStartPre=/bin/sh -c '! grep -q {target} /etc/docker/daemon.json'\n")  # fmt: skip
    host.run("rm /run/systemd/system/docker.service.d/90-break.conf; systemctl daemon-reload")
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), f"{told}\n{host.journal(UNIT)}"
    (amiss,) = told["amiss"]
    assert "/srv/gone" in amiss, told
    assert not {"loose", "bound", "composed", "stack-web-1"} & {*started_by_us(host)}
    shop.assert_runs("db", "app")
    shop.assert_nothing_lost()
    assert shop.root == root
    host.run(["mkdir", "/srv/gone"])
    assert relocator(host, "status").returncode == 4
    shop.assert_runs("lost")
    host.docker("rm", "--force", "lost")


# --- a boot in the middle of the switch, and without the disk ---------------------------------------------------------


def boot_without_disk_after(host: Host, point: str, *arguments: str) -> Disk:
    """The power fails at a trace point, and at the next boot the new disk is missing."""
    arm(host, f"{point} pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, point)
    host.cut_power()
    front.communicate()
    disk = host.disks.pop(DISK).disk
    host.boot()
    return disk


def plug_in(host: Host, disk: Disk) -> None:
    host.attach(disk, DISK, keep=True)
    host.run("systemctl reset-failed docker.service docker.socket; systemctl start docker.socket docker.service")
    host.wait_docker()


def assert_waits_for_its_disk(host: Host) -> None:
    """It has begun no empty root where the disk is missing, and says what it waits for."""
    docker = ["systemctl", "is-active", "docker.service"]
    assert host.run(docker, check=False).stdout.strip() in ("failed", "inactive", "activating")
    assert not list(host.path(DISK).iterdir())
    assert f"There is nothing in {DISK}/root: its disk is missing" in host.journal("docker.service")


def test_a_boot_in_the_middle_of_the_switch_asks_for_the_root_that_is_configured() -> None:
    target = f"{DISK}/root"
    with Disk("4G", "ext4") as disk, boot(name="torn", disks={DISK: disk}) as host:
        host.docker(*RUN, "--name", "always", "--restart", "always", "busybox", "sleep", "100000")

        disk = boot_without_disk_after(host, "switch.ordered", target)
        host.wait_docker()  # on the old root, which has all it needs
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
        plug_in(host, disk)
        assert settled(host)["exit_code"] == 4

        disk = boot_without_disk_after(host, "switch.written", target)
        assert_waits_for_its_disk(host)
        plug_in(host, disk)
        told = settled(host)
        assert (told["state"], told["target"]) == ("committed", target), told
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == target
        assert (
            f'RequiresMountsFor="{target}"'
            in host.path("/etc/systemd/system/docker.service.d/50-relocator.conf").read_text()
        )

        disk = boot_without_disk_after(host, "switch.ordered", "rollback", "--yes")
        assert_waits_for_its_disk(host)
        plug_in(host, disk)
        assert settled(host)["exit_code"] == 4
        assert host.docker("info", "--format", "{{.DockerRootDir}}") == target
        assert host.run("find /etc/systemd/system -name '00-relocator*'").stdout == ""

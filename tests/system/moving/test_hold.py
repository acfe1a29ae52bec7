"""A run that is held: the engine is never stopped before the operator says so, and nobody's acknowledged writes are
lost through a hold, a restart meanwhile, go, and abort."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    OUTCOME,
    UNIT,
    arm,
    await_pause,
    await_pre_copy,
    diagnosis,
    disarm,
    fill,
    outcome,
    relocator,
    resume,
)
from tests.system.support.shop import Shop, start_writers

pytestmark = pytest.mark.system

RUNS = "/var/lib/relocator/runs"
KILL_ALL = f"systemctl kill --signal=KILL relocator-keeper.service; systemctl kill --signal=KILL {UNIT}"
AT_ONCE = 1.0  # seconds, where nothing else is at work on the machine


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Disk("8G", "ext4") as disk, boot(name="held", disks={DISK: disk}) as host:
        start_writers(host, {"db": "unless-stopped", "app": "no"})
        yield Shop(host)


def engine_pid(host: Host) -> str:
    return host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout


def status(host: Host) -> dict[str, Any]:
    told = relocator(host, "status", "--json")
    answer: dict[str, Any] = json.loads(told.stdout)
    assert answer["exit_code"] == told.returncode
    return answer


def records(host: Host, number: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.path(f"{RUNS}/{number}/journal.jsonl").read_text().splitlines()]


def await_passes(host: Host, count: int = 1) -> dict[str, Any]:
    """Until it is held and so many passes have ended."""
    host.run(f"for i in $(seq 600); do grep -q '\"passes\": {count}[,}}]' $(ls -d {RUNS}/* | tail -n 1)/held.json "
             "2>/dev/null && exit; sleep 0.1; done; exit 1")  # fmt: skip
    return status(host)


def hold(host: Host, target: str) -> dict[str, Any]:
    """Begin one; the container leaves, and the engine is as it was."""
    pid = engine_pid(host)
    ran = relocator(host, target, "--same-disk", "--hold")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    told = await_passes(host)
    assert (told["state"], told["exit_code"], told["target"]) == ("held", 10, target), f"{told}\n{diagnosis(host)}"
    assert engine_pid(host) == pid
    return told


def busy() -> float:
    """How many programs of this machine share a processor just now."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def used(host: Host, place: str) -> str:
    return host.run(["du", "--summarize", "--block-size=1", place]).stdout


def seconds_to_the_freeze(host: Host, number: str) -> float:
    at = {(one["event"], one.get("step", "")): one["at"] for one in records(host, number)}
    return float(at["intent", "freeze"] - at["going", ""])


def test_a_held_run_outlives_its_container_and_its_engine_and_goes_when_it_is_told_to(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    told = hold(host, target)
    assert told["held"]["since"]
    assert told["held"]["downtime"][0] > 0
    assert told["old_root"] == ""
    said = relocator(host, "status").stdout
    assert "The engine runs, and the copy is ready" in said
    host.docker("restart", "--time=0", "app")
    host.run(["systemctl", "restart", "docker"])
    host.wait_docker()
    host.docker("start", "app")
    pid = engine_pid(host)
    later = await_passes(host, told["held"]["passes"] + 1)
    assert (later["state"], later["run"]) == ("held", told["run"]), diagnosis(host)
    again = relocator(host, target, "--same-disk", "--hold")
    assert again.returncode == 10, again.stdout + again.stderr
    assert "layers.copied" not in again.stdout
    assert status(host)["run"] == told["run"]
    assert engine_pid(host) == pid
    went = relocator(host, "go")
    assert went.returncode == 10, went.stdout + went.stderr
    shop.assert_arrived(outcome(host), target)
    took = seconds_to_the_freeze(host, told["run"])
    print(f"\nfrom go to the freeze: {took:.2f} s, with {busy():.1f} programs a processor")
    assert took <= AT_ONCE * max(1.0, busy())
    for verb in ("go", "abort"):
        refused = relocator(host, verb)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "rollback" in refused.stderr


def test_a_held_run_that_is_given_up_leaves_nothing_or_the_copy(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    told, pid = hold(host, target), engine_pid(host)
    kept = relocator(host, "abort", "--keep")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert "is kept" in kept.stdout
    ended = status(host)
    assert (ended["state"], ended["exit_code"], ended["run"]) == ("interrupted", 130, told["run"])
    assert host.path(f"{target}/volumes").exists()
    again = relocator(host, target, "--same-disk", "--hold")
    assert again.returncode == 10, again.stdout + again.stderr
    assert '"layers": 0' in again.stdout
    assert await_passes(host)["run"] != told["run"]
    gone = relocator(host, "abort")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert list(host.path(target).iterdir()) == []  # as the second one had found it
    assert relocator(host, "status").returncode == 130
    assert engine_pid(host) == pid
    shop.assert_nothing_lost()
    for verb in ("go", "abort"):
        assert relocator(host, verb).returncode == 3


@pytest.mark.parametrize("point", ["hold.held", pytest.param("hold.going", marks=pytest.mark.matrix)])
def test_a_worker_killed_while_it_holds_holds_on(shop: Shop, point: str) -> None:
    """systemd starts another one; the engine has not been touched, and what was said counts."""
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    arm(host, f"{point} kill")
    ran = relocator(host, target, "--same-disk", "--hold")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    told = await_passes(host)
    assert engine_pid(host) == pid
    went = relocator(host, "go")
    assert went.returncode == 10, went.stdout + went.stderr
    shop.assert_arrived(outcome(host), target)
    disarm(host, point)
    assert sum(one["event"] == "took-over" for one in records(host, told["run"])) == 2


def test_one_that_is_ended_while_the_engine_is_being_stopped_is_led_back(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    was = host.docker("info", "--format", "{{.DockerRootDir}}")
    arm(host, "freeze.held pause")
    hold(host, target)
    assert relocator(host, "go").returncode == 10
    await_pause(host, "freeze.held")
    given = relocator(host, "abort")
    assert (given.returncode, "The word is given" in given.stderr) == (10, True), given.stdout + given.stderr
    resume(host, "freeze.held")
    told = outcome(host)
    disarm(host, "freeze.held")
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), told
    assert "abort" in told["reason"]
    assert not host.path(f"{target}/volumes").exists()
    shop.assert_nothing_lost()
    assert shop.root == was


@pytest.mark.matrix
def test_who_is_killed_before_it_has_said_go_has_said_nothing(shop: Shop) -> None:
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    hold(host, target)
    arm(host, "go.looked kill")
    assert relocator(host, "go").returncode == 137
    disarm(host, "go.looked")
    assert status(host)["state"] == "held"
    assert engine_pid(host) == pid
    assert relocator(host, "go").returncode == 10
    shop.assert_arrived(outcome(host), target)


def test_one_that_is_killed_with_its_keeper_has_changed_nothing_and_the_same_command_goes_on(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    told, pid = hold(host, target), engine_pid(host)
    host.run(KILL_ALL)
    host.run(f"until systemctl is-active {UNIT} | grep -q inactive; do sleep 0.1; done")
    assert status(host)["state"] == "interrupted"
    assert engine_pid(host) == pid
    again = relocator(host, target, "--same-disk", "--hold")
    assert again.returncode == 10, again.stdout + again.stderr
    assert '"layers": 0' in again.stdout
    assert await_passes(host)["run"] != told["run"]
    assert relocator(host, "go").returncode == 10
    shop.assert_arrived(outcome(host), target)


def test_one_that_copies_is_ended_as_by_an_interrupt(shop: Shop) -> None:
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    arm(host, "pre-copy.layers pause")
    front = host.popen(["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"])
    await_pause(host, "pre-copy.layers")
    early = relocator(host, "go")
    assert (early.returncode, "not held" in early.stderr) == (3, True), early.stderr
    ended = relocator(host, "abort")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert front.wait(60) == 130
    resume(host, "pre-copy.layers")
    disarm(host, "pre-copy.layers")
    assert not host.path(target).exists()
    assert engine_pid(host) == pid


def test_one_that_copies_is_paused_limited_and_let_go_on(shop: Shop) -> None:
    """From another terminal; what copies is stopped at once, and nothing more is begun."""
    host, target = shop.host, shop.next_target()
    fill(host.path(f"{shop.root}/volumes/db/_data/large"), 200)
    with host.popen(["docker", "run", *ATTACHED, IMAGE, target, "--same-disk", "--hold", "--bwlimit=2m"]) as front:
        await_pre_copy(host, target)
        paused = relocator(host, "pause")
        assert (paused.returncode, "is paused" in paused.stdout) == (0, True), paused.stdout + paused.stderr
        before = used(host, target)
        told = status(host)
        assert (told["state"], told["phase"], told["paused"]) == ("working", "pre-copy", True)
        assert used(host, target) == before
        assert relocator(host, "limit", "none").returncode == 0
        assert relocator(host, "resume").returncode == 0
        assert front.wait(60) == 10
    told = await_passes(host)
    assert (told["state"], told["paused"], told["limit"]) == ("held", False, "")
    assert relocator(host, "pause").returncode == 0
    went = relocator(host, "go")
    assert went.returncode == 10, went.stdout + went.stderr
    shop.assert_arrived(outcome(host), target)
    assert relocator(host, "pause").returncode == 3


def test_it_goes_by_itself_when_it_is_time_and_not_where_the_engine_would_be_away_for_too_long(shop: Shop) -> None:
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    ran = relocator(host, target, "--same-disk", "--max-downtime=0.5s")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    told = await_passes(host)
    deadline = time.monotonic() + OUTCOME
    while "--max-downtime" not in told["held"]["against"]:
        assert time.monotonic() < deadline, f"{told}\n{host.journal(UNIT)}"
        told = status(host)
    refused = relocator(host, "go")
    assert (refused.returncode, "longer than agreed to" in refused.stderr) == (3, True)
    assert relocator(host, "abort", "--keep").returncode == 0
    assert engine_pid(host) == pid
    at = int(host.run(["date", "+%s"]).stdout) + 30
    ran = relocator(host, target, "--same-disk", f"--at={host.run(['date', f'--date=@{at}', '+%F %T']).stdout.strip()}")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    told = outcome(host)
    shop.assert_arrived(told, target)
    assert next(one["at"] for one in records(host, told["run"]) if one["event"] == "going") >= at


def test_on_a_terminal_a_key_lets_it_go(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    command = ["docker", "run", "-it", *ATTACHED, IMAGE, target, "--same-disk", "--hold"]
    with host.terminal(command) as terminal:
        terminal.expect("press y to switch")
        terminal.send("y")
        assert terminal.wait() == 10, terminal.output
    shop.assert_arrived(outcome(host), target)

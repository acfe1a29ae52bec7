"""What else can go wrong while a move is under way: the promised exit code and state, the reason told, nothing lost.

A case stops the program at a trace point, does something to the host, and lets it go on.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.base import KEPT
from tests.hosts.command import run
from tests.hosts.content import FEWER, HEALTHY, populate
from tests.system.dying.test_rollback import broken_unit
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    OUTCOME,
    UNIT,
    Before,
    arm,
    assert_committed,
    assert_nothing_left,
    assert_rolled_back,
    assert_untouched_since,
    await_pause,
    await_worker,
    before,
    diagnosis,
    disarm,
    frozen_at,
    outcome,
    relocator,
    resume,
)
from tests.system.support.points import FRONT, STARTED
from tests.system.support.surviving import ENDED, assert_stands, settled, stand_again

pytestmark = pytest.mark.system

SMALL = "/mnt/small"
STATE = "/var/lib/relocator"
DAEMON_JSON = "/etc/docker/daemon.json"
STUBBORN = ("run", "--detach", "--name", "stubborn", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
# One instant of each phase that somebody may meddle in.
PHASES = (
    "pre-copy.passed",
    "freeze.intended",
    "freeze.stopped",
    "final sync.copied",
    "check the copy.intended",
    "switch.written",
    "start.lifted",
    "verify.intended",
    "verify.proven",
)


@dataclass
class Field:
    """A host that serves all cases; some move its engine, the others leave it as it was."""

    host: Host
    moves: int = 0

    def next_target(self, disk: str = DISK) -> str:
        self.moves += 1
        return f"{disk}/root-{self.moves}"


@dataclass(frozen=True)
class Ended:
    """How the program ended: the container's code and what it said, and the last run's status."""

    code: int
    said: str
    told: dict[str, Any]


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    with Disk("24G", "ext4") as disk, boot(name="field", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        yield Field(host)


def stopped_at(host: Host, point: str, target: str, act: Callable[[], object]) -> Ended:
    """A move during which something happens at a trace point."""
    # Of three starts within a minute the cases before this have used up some, and what acts here is to have its own.
    host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"], check=False)
    arm(host, f"{point} pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, point)
    try:
        act()
    finally:  # what waits for ever would hold the lock against the next case
        resume(host, point)
    said, _ = front.communicate(timeout=OUTCOME)
    await_worker(host)
    disarm(host, point)
    host.wait_docker()
    return Ended(front.returncode, said.decode(errors="replace"), outcome(host))


def engine_pid(host: Host) -> str:
    return host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout


def tell(instant: str, fault: str, ended: Ended) -> None:
    print(f"\n| {instant:44} | {fault:32} | {ended.told['state']}, exit code {ended.told['exit_code']} |")


# --- the target's disk ----------------------------------------------------------------------------------------------


@contextmanager
def small_disk(host: Host) -> Iterator[Disk]:
    """A target of its own, with room for the move and not for much more."""
    with Disk("1G", "ext4", ["-N", "40000"]) as disk:
        host.attach(disk, SMALL)
        try:
            yield disk
        finally:
            host.detach(SMALL)


def fill_bytes(host: Host, _disk: Disk) -> None:
    # A file needs a little for itself, so that not quite all of it can be had at once.
    room = f"fallocate --length $(($(df --output=avail -B1 {SMALL} | tail -n 1) * 9 / 10)) {SMALL}/filler"
    host.run(f"{room}; cat /dev/zero >>{SMALL}/filler 2>/dev/null || true")


def fill_inodes(host: Host, _disk: Disk) -> None:
    place = host.path(SMALL) / "filler"
    place.mkdir()
    for number in range(100_000):
        try:
            (place / str(number)).touch()
        except OSError:
            return


def turn_read_only(host: Host, _disk: Disk) -> None:
    host.run(["mount", "-o", "remount,ro", SMALL])


def vanish(host: Host, _disk: Disk) -> None:
    """Every read that is not cached and every write is an input/output error from here on."""
    run(["xfs_io", "-x", "-c", "shutdown", host.path(SMALL)])


LOSSES = {
    "no bytes left": (fill_bytes, "full"),
    "no inodes left": (fill_inodes, "full"),
    "read-only": (turn_read_only, "Read-only file system"),
    "vanished": (vanish, "Input/output error"),
}
SAMPLE_LOSSES = [("pre-copy.layers", "no inodes left"), ("final sync.intent", "vanished")]


def losses() -> list[object]:
    return [
        pytest.param(
            point, loss, marks=() if (point, loss) in SAMPLE_LOSSES else pytest.mark.matrix, id=f"{loss} at {point}"
        )
        for point in ("pre-copy.begun", "pre-copy.layers", "final sync.intent")
        for loss in LOSSES
    ]


@pytest.mark.parametrize(("point", "loss"), losses())
def test_a_disk_that_fails_under_the_copy(field: Field, point: str, loss: str) -> None:
    """What is missing from the copy was written between the pre-copy and the freeze."""
    host, source = field.host, before(field.host).inventory.engine.root
    late = host.path(source) / "volumes/unused/_data/late"
    act, reason = LOSSES[loss]

    def strike() -> None:
        act(host, disk)
        late.mkdir()
        for number in range(64):
            (late / str(number)).write_bytes(b"late" * 1024)

    was, pid = before(host), engine_pid(host)
    with small_disk(host) as disk:
        ended = stopped_at(host, point, f"{SMALL}/root", strike)
        tell(point, loss, ended)
        host.run(["rm", "-r", f"{source}/volumes/unused/_data/late"])
        assert ended.code == (4 if point in FRONT else 10), ended.said
        assert ended.told["phase"] == ("pre-copy" if point in FRONT else "final sync")
        assert_rolled_back(host, ended.told, was, reason, source)
        assert reason in ended.said or point not in FRONT
    assert (engine_pid(host) == pid) is (point in FRONT)


# --- the engine's own ways ------------------------------------------------------------------------------------------


@contextmanager
def stubborn(host: Host) -> Iterator[None]:
    """A container that does not hear SIGTERM: the engine gives it ten seconds."""
    host.docker(*STUBBORN)
    try:
        yield
    finally:
        host.docker("rm", "--force", "stubborn")


def test_a_start_limit_is_reset(field: Field) -> None:
    host, target = field.host, field.next_target()
    with broken_unit(host, "[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=1h\n"):
        host.run(["systemctl", "reset-failed", "docker.service"], check=False)
        was = before(host)
        host.run("systemctl restart docker.service")
        refused = host.run(["systemctl", "restart", "docker.service"], check=False)
        assert refused.returncode != 0  # so the limit is real
        host.run("systemctl reset-failed docker.service; systemctl start docker.service")
        stand_again(host, was.inventory)
        assert relocator(host, target, "--same-disk").returncode == 10
        assert_committed(host, outcome(host), was, target)


def test_containers_that_ignore_a_stop_are_waited_for(field: Field) -> None:
    host, target = field.host, field.next_target()
    with stubborn(host):
        was = before(host)
        assert relocator(host, target, "--same-disk").returncode == 10
        told = outcome(host)
        assert_committed(host, told, was, target)
        assert told["downtime"] > 9


def test_what_a_stop_that_is_cut_short_leaves_running_is_ended_first(field: Field) -> None:
    """The engine is killed before its containers have ended: they run on, in mounts below the data root. The next
    engine there ends them; nothing is copied that still changes."""
    host, target = field.host, field.next_target()
    with stubborn(host), broken_unit(host, "[Service]\nTimeoutStopSec=1\n"):
        was = before(host)
        source = was.inventory.engine.root
        assert relocator(host, target, "--same-disk").returncode == 10
        told = outcome(host)
        assert f"Still mounted: {source}/overlay2/" in host.journal(UNIT)
        assert_committed(host, told, was, target)
        assert_untouched_since(host, source, frozen_at(host))


def test_a_container_that_the_engine_has_lost_hold_of(field: Field) -> None:
    """It runs on in a stop of the engine. It is ended, or it would write to the source behind the copy, and the engine
    would go on killing and starting it on the target."""
    host, target = field.host, field.next_target()
    was = before(host)
    lose_hold(host, HEALTHY)
    stand_again(host, was.inventory)
    assert relocator(host, target, "--same-disk").returncode == 10
    told = outcome(host)
    assert_stands(host, was)
    assert_committed(host, told, was, target)
    assert_untouched_since(host, was.inventory.engine.root, frozen_at(host))


def lose_hold(host: Host, name: str) -> None:
    """As an engine that is killed between a container's start and its own record of it."""
    ident, root = (
        host.docker("inspect", "--format", "{{.Id}}", name),
        host.docker("info", "--format", "{{.DockerRootDir}}"),
    )
    config = host.path(f"{root}/containers/{ident}/config.v2.json")
    host.run("systemctl mask --runtime docker.service docker.socket")
    host.run(
        "systemctl kill --signal=KILL --kill-whom=main docker.service; systemctl stop docker.socket docker.service"
    )
    stored = json.loads(config.read_text())
    config.write_text(json.dumps(stored | {"State": stored["State"] | {"Running": False, "Pid": 0}}))
    host.run("systemctl unmask --runtime docker.service docker.socket")
    host.run("systemctl reset-failed docker.service docker.socket; systemctl start docker.socket docker.service")
    host.wait_docker()
    count = f"docker inspect --format '{{{{.RestartCount}}}}' {name}"
    host.run(f'until [ "$({count})" -gt 2 ]; do sleep 0.1; done', timeout=60)
    status = host.docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)
    assert status == "restarting 137"  # or this engine has got over it, and the case with it


# --- somebody else --------------------------------------------------------------------------------------------------

UPGRADE = "package upgrade"
MEDDLING = {
    "restart docker": "systemctl restart docker",
    "stop docker": "systemctl stop docker",
    UPGRADE: f"DEBIAN_FRONTEND=noninteractive dpkg --install --force-confold {KEPT}/docker.io_*.deb",
    "daemon-reload": "systemctl daemon-reload",
    "kill -9 dockerd": "systemctl kill --signal=KILL --kill-whom=main docker",
    "SIGTERM to the worker": f"systemctl kill --kill-whom=main --signal=TERM {UNIT}",
    "SIGINT to the worker": f"systemctl kill --kill-whom=main --signal=INT {UNIT}",
    "stop of the worker": f"systemctl stop --no-block {UNIT}",
}
SIGNALS = ("SIGTERM to the worker", "SIGINT to the worker", "stop of the worker")
SAMPLE_MEDDLING = [
    ("verify.intended", "kill -9 dockerd"),
    ("final sync.copied", UPGRADE),
    ("switch.written", "SIGTERM to the worker"),
]


def meddlings() -> list[object]:
    return [
        pytest.param(
            point, act, marks=() if (point, act) in SAMPLE_MEDDLING else pytest.mark.matrix, id=f"{act} at {point}"
        )
        for point in PHASES
        for act in MEDDLING
        if point not in FRONT or act not in SIGNALS
    ]


@pytest.mark.parametrize(("point", "act"), meddlings())
def test_somebody_meddles(field: Field, point: str, act: str) -> None:
    """Signals take the move back until containers run on the new root; a meddling with the engine may do so, and after
    either everything runs."""
    host, target = field.host, field.next_target()
    was = before(host)
    ended = stopped_at(host, point, target, lambda: host.run(MEDDLING[act], check=act == UPGRADE))
    tell(point, act, ended)
    if act in SIGNALS:
        # Once containers run on the new root, the move is finished there, whoever wants the worker to stop.
        assert ended.told["state"] == ("committed" if point.startswith("verify.") else "rolled-back"), ended.told
    if act == "daemon-reload":
        assert ended.told["state"] == "committed", ended.told
    # What somebody else has stopped before the freeze is not the move's to start.
    if (point in (*FRONT, "freeze.intended") and act not in SIGNALS) or point == "verify.proven":
        stand_again(host, was.inventory)
    assert_wholly_one(field, ended.told, was, target)


@pytest.mark.parametrize("reason", [STARTED, pytest.param("switch.written", marks=pytest.mark.matrix)])
def test_a_host_that_goes_down_on_the_way_back_waits_for_nobody(field: Field, reason: str) -> None:
    """systemd stops the engine's socket too: a worker ordered before it would wait for that, and systemd for it."""
    host, target, point = field.host, field.next_target(), "final sync.undone"
    was = before(host)
    arm(host, f"{reason} fail", f"{point} pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, point)
    resume(host, point)
    host.reboot(timeout=60)
    front.communicate(timeout=OUTCOME)
    host.wait_docker()
    told = settled(host)
    tell(point, f"reboot after {reason}", Ended(front.returncode, "", told))
    stand_again(host, was.inventory)
    assert_wholly_one(field, told, was, target)


def assert_wholly_one(field: Field, told: dict[str, Any], was: Before, target: str) -> None:
    host = field.host
    assert told["state"] in ENDED, f"{told}\n{diagnosis(host)}"
    root = target if told["state"] in ("committed", "moved") else was.inventory.engine.root
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == root
    assert_stands(host, was)
    assert_nothing_left(host)
    configured = json.loads(host.path(DAEMON_JSON).read_text()).get("data-root", "/var/lib/docker")
    assert configured == root
    if root != target:
        host.run(["rm", "-rf", target])


@pytest.mark.matrix
@pytest.mark.parametrize("number", ["TERM", "INT"])
def test_a_signal_after_the_commit_takes_nothing_back(field: Field, number: str) -> None:
    host, target = field.host, field.next_target()
    was = before(host)
    signal = f"systemctl kill --kill-whom=main --signal={number} {UNIT}"
    ended = stopped_at(host, "commit.recorded", target, lambda: host.run(signal))
    tell("commit.recorded", number, ended)
    assert_committed(host, ended.told, was, target)


@pytest.mark.parametrize("point", ["freeze.intended", pytest.param("verify.intended", marks=pytest.mark.matrix)])
def test_a_second_relocator_sees_the_first_at_work(field: Field, point: str) -> None:
    host, target, other = field.host, field.next_target(), field.next_target()
    was = before(host)
    answers: dict[str, subprocess.CompletedProcess[str]] = {}

    def ask() -> None:
        answers.update({verb: relocator(host, verb, other) for verb in ("run", "plan")})
        answers["status"] = relocator(host, "status")

    ended = stopped_at(host, point, target, ask)
    tell(point, "a second relocator", ended)
    assert {verb: answer.returncode for verb, answer in answers.items()} == {"run": 3, "plan": 3, "status": 10}
    for verb in ("run", "plan"):
        assert "Another relocator is at work" in answers[verb].stderr, answers[verb].stderr
    assert "is at work" in answers["status"].stdout
    assert not host.path(other).exists()
    assert_committed(host, ended.told, was, target)


EDITED = {
    "pre-copy.layers": "rolled-back",
    "freeze.stopped": "rolled-back",
    "switch.ordered": "rolled-back",
    "switch.recorded": "committed",
    "verify.intended": "committed",
}


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point == "freeze.stopped" else pytest.mark.matrix) for point in EDITED],
)
def test_an_edit_of_the_configuration_is_never_lost(field: Field, point: str) -> None:
    host, target = field.host, field.next_target()
    was = before(host)
    ended = stopped_at(host, point, target, lambda: host.run(f"sed -i s/info/warn/ {DAEMON_JSON}"))
    tell(point, "daemon.json edited", ended)
    edited = Before(was.inventory, was.daemon_json.replace("info", "warn"))
    assert edited != was
    if EDITED[point] == "committed":
        assert_committed(host, ended.told, edited, target)
    else:
        assert_rolled_back(host, ended.told, edited, "somebody else", was.inventory.engine.root)
        host.run(["rm", "-rf", target])
    host.run(f"sed -i s/warn/info/ {DAEMON_JSON}")


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("pre-copy.layers", marks=pytest.mark.matrix),
        pytest.param("freeze.intended", marks=pytest.mark.matrix),
        "final sync.copied",
        pytest.param("start.done", marks=pytest.mark.matrix),
    ],
)
def test_a_full_disk_under_the_journal_leaves_a_running_engine(field: Field, point: str) -> None:
    host, target = field.host, field.next_target()
    was = before(host)
    with Disk("64M", "ext4") as disk:
        host.attach(disk, STATE)
        host.run(["chmod", "700", STATE])

        def fill() -> None:
            host.run(f"cat /dev/zero >{STATE}/filler 2>/dev/null || true")
            host.run(f"while echo >>{STATE}/last 2>/dev/null; do :; done", check=False)

        ended = stopped_at(host, point, target, fill)
        tell(point, "journal's disk full", ended)
        assert ended.told["state"] == "committed", ended.told  # in the room that was kept for the records
        assert_wholly_one(field, ended.told, was, target)
        host.detach(STATE)

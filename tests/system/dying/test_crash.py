"""The program dies at a named instant: without help the engine is back on one complete root, and the same command
completes the move."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, differences, inventory, populate
from tests.hosts.inside import end
from tests.system.support.moving import (
    DISK,
    MOVED,
    UNIT,
    Before,
    arm,
    assert_nothing_left,
    await_pause,
    before,
    diagnosis,
    disarm,
    outcome,
    relocator,
)
from tests.system.support.points import AROUND, FRONT, WAYS_BACK, WITHIN, Back, ends_new, failure
from tests.system.support.surviving import assert_the_same_command_completes, await_engine, settled

pytestmark = pytest.mark.system

# One of each kind for every run of the suite; `make crash-matrix` takes all.
SAMPLE = ["freeze.held", "switch.written", "verify.restored"]
SAMPLE_BACK = ["switch.undone after start.lifted"]
KILL_ALL = f"systemctl kill --signal=KILL {UNIT}"
WITH_KEEPER = "SIGKILL to it and the keeper"
GROUPS = {
    "SIGKILL to the whole unit": KILL_ALL,
    WITH_KEEPER: f"systemctl kill --signal=KILL relocator-keeper.service; {KILL_ALL}",
}


@dataclass
class Victim:
    """A host whose engine moves on with every case."""

    host: Host
    moves: int = 0

    def next_target(self) -> str:
        self.moves += 1
        return f"{DISK}/root-{self.moves}"


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Disk("24G", "ext4") as disk, boot(name="victim", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        yield Victim(host)


def assert_engine_is_back(host: Host, was: Before, target: str) -> str:
    """On one of two roots, with everything it held and all that ran; returns which."""
    await_engine(host)
    now = inventory(host)
    assert now.engine.root in (was.inventory.engine.root, target)
    found = differences(was.inventory, now, ignore=MOVED)
    assert found == [], f"{found}\n{diagnosis(host)}"
    assert_nothing_left(host)
    return now.engine.root


def tell(instant: str, death: str, root: str, target: str) -> None:
    print(f"\n| {instant:44} | {death:28} | {'new' if root == target else 'old'} root |")


def cases() -> list[object]:
    """Every point; all but a sample are marked for the full matrix."""
    return [
        pytest.param(point, marks=() if point in SAMPLE else pytest.mark.matrix) for point in (*FRONT, *AROUND, *WITHIN)
    ]


def ways_back() -> list[object]:
    return [
        pytest.param(back, marks=() if str(back) in SAMPLE_BACK else pytest.mark.matrix, id=str(back))
        for back in WAYS_BACK
    ]


def groups() -> list[object]:
    sample = (WITH_KEEPER, "switch.written")
    return [
        pytest.param(killed, point, marks=() if (killed, point) == sample else pytest.mark.matrix)
        for point in ("freeze.stopped", "switch.written", "verify.proven")
        for killed in GROUPS
    ]


@pytest.mark.parametrize("point", cases())
def test_a_killed_process_leaves_an_engine_on_one_complete_root(victim: Victim, point: str) -> None:
    host, target = victim.host, victim.next_target()
    was = before(host)
    arm(host, f"{point} kill")
    ran = relocator(host, target, "--same-disk")
    assert ran.returncode == (137 if point in FRONT else 10), ran.stdout + ran.stderr
    root = assert_engine_is_back(host, was, target)
    disarm(host, point)
    tell(point, "SIGKILL", root, target)
    assert_the_same_command_completes(host, was, target, settled(host))


@pytest.mark.parametrize("back", ways_back())
def test_a_worker_killed_on_the_way_back_leaves_an_engine_on_one_root(victim: Victim, back: Back) -> None:
    host, target = victim.host, victim.next_target()
    was = before(host)
    arm(host, failure(back.failing, back.point), f"{back.point} kill")
    ran = relocator(host, target, "--same-disk")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    root = assert_engine_is_back(host, was, target)
    disarm(host, back.failing, back.point)
    tell(str(back), "SIGKILL", root, target)
    assert root == (target if ends_new(back) else was.inventory.engine.root)
    assert_the_same_command_completes(host, was, target, settled(host))


@pytest.mark.parametrize(("killed", "point"), groups())
def test_the_whole_group_killed_leaves_a_running_engine(victim: Victim, killed: str, point: str) -> None:
    """With the worker the programs of the safety net may die, and with the keeper the image is gone."""
    host, target = victim.host, victim.next_target()
    was = before(host)
    arm(host, f"{point} pause")
    ran = relocator(host, target, "--same-disk")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    await_pause(host, point)
    host.run(GROUPS[killed])
    await_engine(host)
    disarm(host, point)
    root = host.docker("info", "--format", "{{.DockerRootDir}}")
    tell(point, killed, root, target)
    assert root == (was.inventory.engine.root if point == "freeze.stopped" else target)
    assert_the_same_command_completes(host, was, target, settled(host))


def taking(number: int) -> str:
    """The shell's words that begin a process of the outer machine's files, which has this number on the host."""
    return (
        f"for attempt in $(seq 100); do echo {number - 1} >/proc/sys/kernel/ns_last_pid; sleep 600 & "
        f"if [ $! = {number} ]; then wait; exit; fi; kill $!; done; exit 1"
    )


@contextmanager
def stranger(host: Host, number: int) -> Iterator[None]:
    """A process in another mount namespace that has got the number of one that has ended."""
    enter = ["nsenter", "--target", str(host.leader), "--pid", "--", "sh", "-c", taking(number)]
    place = host.path(f"/proc/{number}/comm")
    with subprocess.Popen(enter, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not place.exists() or place.read_text() != "sleep\n":
                assert process.poll() is None, "the number was not free"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            end(process)


def test_a_worker_is_not_started_in_the_files_of_whoever_has_the_keepers_number_by_then(victim: Victim) -> None:
    """It says so once, and the host's own programs bring the engine back."""
    host, target = victim.host, victim.next_target()
    was = before(host)
    arm(host, "switch.written pause")
    ran = relocator(host, target, "--same-disk")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    await_pause(host, "switch.written")
    keeper = int(host.run("systemctl show --property=MainPID --value relocator-keeper.service").stdout)
    host.run(["kill", "-KILL", str(keeper)])
    host.run(f"while [ -e /proc/{keeper} ]; do sleep 0.05; done")
    with stranger(host, keeper):
        host.run(KILL_ALL)
        await_engine(host)
        said = host.run(f"journalctl --unit={UNIT} --boot --output=cat").stdout
    disarm(host, "switch.written")
    assert said.count(f"has ended; its number was {keeper}.") == 1, said
    assert "status=69" in said, said
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == target
    assert_the_same_command_completes(host, was, target, settled(host))


def test_what_was_copied_before_a_crash_is_not_copied_again(victim: Victim) -> None:
    host, target = victim.host, victim.next_target()
    arm(host, "pre-copy.passed kill")
    assert relocator(host, target, "--same-disk").returncode == 137
    disarm(host, "pre-copy.passed")
    again = relocator(host, target, "--same-disk")
    assert again.returncode == 10, again.stdout + again.stderr
    assert '"layers": 0' in again.stdout
    assert outcome(host)["state"] == "committed"

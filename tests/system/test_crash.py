"""The worker dies at a named instant: without help the engine is back on one complete root, and the same command
completes the move."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import differences, inventory, populate
from tests.system.moving import (
    DISK,
    Before,
    assert_committed,
    assert_nothing_left,
    await_worker,
    before,
    diagnosis,
    outcome,
    relocator,
)

pytestmark = pytest.mark.system

TRACE, REACHED = "/run/relocator-trace", "/run/relocator-trace-reached"
WITHOUT_HELP = 60.0  # seconds
STEPS = ("freeze", "final sync", "check the copy", "switch", "start", "verify")
AROUND = [f"{step}.{instant}" for step in STEPS for instant in ("intent", "intended", "done", "recorded")]
WITHIN = [
    "freeze.prepared",
    "freeze.inventoried",
    "freeze.held",
    "freeze.stopped",
    "final sync.copied",
    "switch.ordered",
    "switch.written",
    "start.lifted",
    "verify.restored",
    "verify.proven",
    "commit.recorded",
]
FRONT = ["pre-copy.begun", "pre-copy.layers", "pre-copy.passed"]
# One of each kind for every run of the suite; `make crash-matrix` takes all.
SAMPLE = ["pre-copy.layers", "freeze.held", "final sync.copied", "switch.ordered", "switch.written", "verify.restored"]


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
    with Disk("12G", "ext4") as disk, boot(name="victim", disks={DISK: disk}) as host:
        populate(host)
        yield Victim(host)


def arm(host: Host, point: str) -> None:
    host.path(REACHED).unlink(missing_ok=True)
    host.write(TRACE, f"{point} kill\n", mode=0o600)


def disarm(host: Host) -> None:
    assert host.path(REACHED).exists(), "the point was not reached"
    host.path(TRACE).unlink()
    host.path(REACHED).unlink()


def assert_engine_is_back(host: Host, was: Before, roots: tuple[str, str]) -> str:
    """On one of two roots, with everything it held and all that ran; returns which."""
    began = time.monotonic()
    await_worker(host)
    host.wait_docker()
    assert time.monotonic() - began < WITHOUT_HELP
    now = inventory(host)
    assert now.engine.root in roots
    found = differences(was.inventory, now, ignore=("engine.root", "engine.driver_status.*"))
    assert found == [], f"{found}\n{diagnosis(host)}"
    assert_nothing_left(host)
    return now.engine.root


def cases() -> list[object]:
    """Every point; all but a sample are marked for the full matrix."""
    return [
        pytest.param(point, marks=() if point in SAMPLE else pytest.mark.matrix) for point in (*FRONT, *AROUND, *WITHIN)
    ]


@pytest.mark.parametrize("point", cases())
def test_a_killed_process_leaves_an_engine_on_one_complete_root(victim: Victim, point: str) -> None:
    host, target = victim.host, victim.next_target()
    was = before(host)
    source = was.inventory.engine.root
    arm(host, point)
    ran = relocator(host, target)
    assert ran.returncode == (137 if point in FRONT else 10), ran.stdout + ran.stderr
    root = assert_engine_is_back(host, was, (source, target))
    disarm(host)
    print(f"\n| {point:24} | SIGKILL | {'new' if root == target else 'old'} root |")
    told = outcome(host)
    assert told["state"] in ("committed", "rolled-back", "interrupted"), told
    assert (told["state"] == "committed") is (root == target)
    again = relocator(host, target)
    assert again.returncode == (0 if root == target else 10), again.stdout + again.stderr + diagnosis(host)
    assert_committed(host, outcome(host), was, target)


def test_what_was_copied_before_a_crash_is_not_copied_again(victim: Victim) -> None:
    host, target = victim.host, victim.next_target()
    arm(host, "pre-copy.passed")
    assert relocator(host, target).returncode == 137
    disarm(host)
    again = relocator(host, target)
    assert again.returncode == 10, again.stdout + again.stderr
    assert '"layers": 0' in again.stdout
    assert outcome(host)["state"] == "committed"

"""The power fails at a named instant, and what was not flushed is lost, on the disks of both roots, of /etc and of
/var: the engine comes up by itself on one complete root, nothing that had been flushed is missing, and the same command
completes the move.

What comes up by itself is what comes up after any power cut: containers that are always to run. The others are started
by whoever settles the move, if it had come to the freeze; before that the move has nothing to do with them.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts import Host
from tests.system.support.moving import ATTACHED, IMAGE, arm, await_pause, before
from tests.system.support.points import FRONT, STARTED, SWITCHED, Back
from tests.system.support.surviving import (
    Plant,
    assert_stands,
    assert_the_same_command_completes,
    assert_up_by_itself,
    plant,
    settled,
    stand_again,
)

pytestmark = pytest.mark.system

FORTH = (
    *FRONT,
    "freeze.intended",
    "freeze.held",
    "freeze.stopped",
    "final sync.copied",
    "final sync.recorded",
    "check the copy.done",
    "switch.ordered",
    "switch.written",
    "switch.recorded",
    "start.lifted",
    "start.done",
    "verify.restored",
    "verify.recorded",
    "commit.recorded",
)
BACK = (
    Back(STARTED, "rollback.recorded"),
    Back(STARTED, "start.undone"),
    Back(STARTED, "switch.undo"),
    Back(STARTED, "switch.undone"),
    Back(STARTED, "freeze.started again"),
    Back(STARTED, "rollback.outcome"),
    Back(SWITCHED, "switch.undone"),
    Back(SWITCHED, "freeze.undone"),
    Back(SWITCHED, "rollback.outcome"),
)
ENDS = ("freeze.undone", "rollback.outcome")
# The configuration names the target from the one to the other.
NEW = {*FORTH[FORTH.index("switch.written") :], *(back for back in BACK[:3])}
# Before it the move has not asked yet what runs, and after it all runs again: what the cut stops is not the move's to
# start, as with any other cut.
BEFORE = {*FRONT, "freeze.intended"}
AFTER = {"verify.recorded", "commit.recorded", *(back for back in BACK if back.point in ENDS)}
SAMPLE = ["switch.written", str(Back(STARTED, "switch.undo"))]
XFS = ["pre-copy.passed", "final sync.copied", "switch.written", "start.done", str(Back(STARTED, "switch.undone"))]


@pytest.fixture(scope="module")
def on_ext4() -> Iterator[Plant]:
    with plant("on-ext4") as found:
        yield found


@pytest.fixture(scope="module")
def on_xfs() -> Iterator[Plant]:
    with plant("on-xfs", "xfs") as found:
        yield found


def instants() -> list[object]:
    return [
        pytest.param(instant, marks=() if str(instant) in SAMPLE else pytest.mark.matrix, id=str(instant))
        for instant in (*FORTH, *BACK)
    ]


@pytest.mark.parametrize("instant", instants())
def test_a_power_cut_loses_nothing_that_was_flushed(on_ext4: Plant, instant: str | Back) -> None:
    assert_survives(on_ext4, instant)


@pytest.mark.matrix
@pytest.mark.parametrize("instant", [instant for instant in (*FORTH, *BACK) if str(instant) in XFS], ids=str)
def test_a_power_cut_loses_nothing_on_the_way_to_xfs(on_xfs: Plant, instant: str | Back) -> None:
    assert_survives(on_xfs, instant)


def assert_survives(plant: Plant, instant: str | Back) -> None:
    host, source, target = plant.host, plant.root, plant.next_target()
    was, beats = before(host), plant.beats(source)
    host.run(["sync"])
    cut_power_at(host, instant, target)
    expected = target if instant in NEW else source
    assert_up_by_itself(host, was, (expected,))
    plant.assert_holds(expected, beats)
    told = settled(host)
    side = "new" if expected == target else "old"
    print(f"\n| {instant!s:44} | {'power cut, unflushed lost':28} | {side} root, {told['state']} |")
    if instant in BEFORE | AFTER:
        stand_again(host, was.inventory)
    assert_stands(host, was)
    assert_the_same_command_completes(host, was, target, told)
    plant.assert_holds(target, beats)
    host.run(["rm", "-rf", source])
    plant.root = target


def cut_power_at(host: Host, instant: str | Back, target: str) -> None:
    point = instant.point if isinstance(instant, Back) else instant
    arm(host, f"{point} pause", *([f"{instant.failing} fail"] if isinstance(instant, Back) else []))
    front = host.popen(["docker", "run", *ATTACHED, IMAGE, target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    await_pause(host, point)
    host.cut_power(drop_unflushed=True)
    front.communicate()
    host.boot()

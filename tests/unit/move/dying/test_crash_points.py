"""Killed at any instant and started again, a move ends wholly old or wholly new.

`Killed` stands for SIGKILL. It is raised where a trace point is passed, and nothing of what follows on the way out may
act or write: every fake and the journal answer a dead process with `Killed` again, so that even the one handler that
takes everything (of a failed undo) can leave no trace on the host; the next point or record kills it anew.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console.errors import CopyError, ExitCode, RelocatorError
from entrypoint.console.events import Phase
from entrypoint.host.services import hold
from entrypoint.host.services.units import UnitState
from entrypoint.journal import finished
from entrypoint.journal.record import Event, Run
from entrypoint.journal.unfinished import Unfinished
from entrypoint.move.context import Move
from entrypoint.move.steps import STEPS, Step
from entrypoint.move.worker.arrival import NOT_RUN, STARTED_ON
from tests.unit.support.fakes import DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world

FAILING = (None, Phase.FREEZE, Phase.FINAL_SYNC, Phase.CHECK, Phase.SWITCH, Phase.START, Phase.VERIFY)
TURNED = "rollback.recorded"


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Deadly:
    """Trace points are noted as they are passed, and the one of this number or name kills."""

    at: int = -1
    point: str = ""
    passed: list[str] = field(default_factory=list)
    dead: bool = False

    def trace(self, point: str) -> None:
        self.require_alive()
        self.passed.append(point)
        if len(self.passed) - 1 == self.at or point == self.point:
            self.dead = True
            raise Killed(point)

    def require_alive(self) -> None:
        if self.dead:
            raise Killed(self.passed[-1])

    def install(self, patch: pytest.MonkeyPatch, world: World) -> None:
        append, record = Run.append, world.calls.record

        def append_alive(run: Run, event: Event, **facts: Any) -> None:
            self.require_alive()
            append(run, event, **facts)

        def record_alive(*call: Any) -> None:
            self.require_alive()
            record(*call)

        patch.setattr(Run, "append", append_alive)
        patch.setattr(world.calls, "record", record_alive)
        world.traced(patch, self.trace)


@dataclass(frozen=True)
class Failing:
    """A step that fails when it has done everything."""

    real: Step

    @property
    def name(self) -> Phase:
        return self.real.name

    @name.setter
    def name(self, _name: Phase) -> None:
        raise AttributeError("name")

    def apply(self, move: Move) -> None:
        self.real.apply(move)
        raise CopyError("injected")

    def undo(self, move: Move) -> None:
        self.real.undo(move)


def steps_failing_in(name: Phase | None) -> Sequence[Step]:
    return [Failing(step) if step.name is name else step for step in STEPS]


def work_until_killed(world: World, failing: Phase | None, at: int = -1) -> Deadly:
    """The first worker; every trace point it has passed. Where it is to go back, nobody has written on the target."""
    deadly = Deadly(at)
    world.daemon.serves = failing is None
    with pytest.MonkeyPatch.context() as patch:
        deadly.install(patch, world)
        with suppress(Killed):
            world.work(steps_failing_in(failing))
    return deadly


def safety_net(world: World) -> None:
    """What the unit's ExecStopPost= lines do."""
    hold.lift(world.host)
    hold.remove(world.host, world.move.plan.units)
    world.systemd.start(world.move.plan.started)


def start_again(world: World, failing: Phase | None) -> ExitCode:
    """Another worker on the same host and journal, which knows nothing but what is written there."""
    fresh = replace(world, move=replace(world.move, run=world.journal.run(world.move.run.number)))
    return fresh.work(steps_failing_in(failing))


def require_the_cause(world: World, failing: Phase | None) -> None:
    """Whoever goes back in the end tells why the first one did."""
    told = next(record for record in world.move.run.records() if record["event"] == Event.ROLLBACK)
    assert {told[name] for name in ("failed_in", "reason")} == {failing, "injected"}
    assert {world.outcome[name] for name in ("failed_in", "reason")} == {failing, "injected"}


def require_whole(world: World, code: ExitCode) -> None:
    """The outcome says what the host shows: all of the old, or all of the new."""
    new = code is ExitCode.DONE
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    assert world.outcome["outcome"] == ("committed" if new else "rolled-back")
    assert world.daemon.up
    assert world.daemon.root == world.daemon.configured_root() == (TARGET if new else DEFAULT_ROOT)
    switch = world.move.plan.first.switch
    assert world.path(switch.path).read_bytes() == (switch.after if new else CONTENT)
    assert world.path(DROP_IN).exists() is new
    assert {world.systemd.states[unit] for unit in (SERVICE, SOCKET)} == {UnitState.ACTIVE}
    assert {box.container.status for box in world.daemon.boxes.values()} == {"running"}
    assert not world.path(hold.HOLD).exists()
    assert not any(world.path(hold.drop_in(unit)).exists() for unit in world.move.plan.units)
    assert not world.journal.is_locked()
    if world.was_begun_on and not new:  # what was written since is only there
        assert world.path(f"{TARGET}/early").exists()
        assert world.outcome["left"] in (STARTED_ON, NOT_RUN)
        assert not world.path(f"{TARGET}/{finished.NAME}").exists()
    elif not new:
        left = world.path(TARGET)  # it is removed, or the next attempt goes on with it
        assert not left.exists() or Unfinished.marks(left, DEFAULT_ROOT, "ID")
    if new:
        assert sorted(place.name for place in world.path(TARGET).iterdir()) == [finished.NAME, "early", "late"]


def faults_of(folder: Path, failing: Phase | None, *, going_back: bool) -> tuple[list[str], dict[str, str]]:
    """The points passed on the way there or on the way back, and what is wrong after a death at each."""
    with pytest.MonkeyPatch.context() as patch:
        points = work_until_killed(make_world(folder / "all", patch), failing).passed
    turned = points.index(TURNED) if TURNED in points else len(points)
    faults: dict[str, str] = {}
    for number, point in list(enumerate(points))[turned:] if going_back else list(enumerate(points))[:turned]:
        with pytest.MonkeyPatch.context() as patch:
            world = make_world(folder / str(number), patch)
            assert work_until_killed(world, failing, number).passed == points[: number + 1]
            safety_net(world)
            try:
                require_whole(world, start_again(world, failing))
                if going_back:
                    require_the_cause(world, failing)
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:200]
    return points, faults


@pytest.mark.parametrize("failing", FAILING)
def test_killed_at_any_point_on_its_way_and_started_again_it_ends_whole(tmp_path: Path, failing: Phase | None) -> None:
    points, faults = faults_of(tmp_path, failing, going_back=False)
    assert faults == {}
    assert {"freeze.intent", "freeze.stopped"} <= set(points)
    assert ("commit.recorded" in points) is (failing is None)


@pytest.mark.parametrize("failing", FAILING[1:])
def test_killed_at_any_point_while_it_goes_back_and_started_again_it_ends_whole(tmp_path: Path, failing: Phase) -> None:
    points, faults = faults_of(tmp_path, failing, going_back=True)
    assert faults == {}
    assert {TURNED, "freeze.undone", "rollback.outcome"} <= set(points)
    assert ("discard.emptied" in points) is (failing not in (Phase.START, Phase.VERIFY))

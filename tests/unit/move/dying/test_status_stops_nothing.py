"""`status` is only asked: it may start, prove and finish, but in no state and no race does it stop the engine."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, NeedsStop
from entrypoint.console.events import Phase, log
from entrypoint.host.services import hold
from entrypoint.move import freeze, location, recovery, steps
from entrypoint.move.context import Move
from entrypoint.move.worker import arrival, worker
from tests.system.support import points
from tests.unit.move.dying.test_crash_points import Deadly, Killed, safety_net, steps_failing_in
from tests.unit.move.test_settle import world
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT
from tests.unit.support.world import CONTENT, TARGET, World, make_world, save_for_a_worker

__all__ = ["world"]  # the fixture
FORTH = tuple(one for one in (*points.AROUND, *points.WITHIN) if one != "commit.recorded")
NEVER = 0


def flaky(at: int) -> Callable[[Move, str], bool]:
    """The engine's answer is missed once, or each time from the second on (NEVER again)."""
    asked = 0

    def runs_on(move: Move, root: str) -> bool:
        nonlocal asked
        asked += 1
        is_missed = asked > 1 if at is NEVER else asked == at
        return not is_missed and location.runs_on(move, root)

    return runs_on


def cut_off(world: World, failing: Phase | None, point: str) -> bool:
    """The worker dies at a point; whether it has come there."""
    deadly = Deadly(point=point)
    world.daemon.serves = failing is None
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        deadly.install(patch, world)
        world.work(steps_failing_in(failing))
    return deadly.dead


def brought_up(world: World) -> None:
    safety_net(world)


def left_down(_world: World) -> None:
    pass


def set_back_by_hand(world: World) -> None:
    """Somebody has put the old configuration in its place, and restarted the engine."""
    safety_net(world)
    world.path(CONFIG).write_bytes(CONTENT)
    world.daemon.stop()
    world.daemon.start()


def ways(folder: Path, afterwards: Sequence[Callable[[World], None]]) -> Iterator[tuple[str, World]]:
    """A host after each death, forth and back, and what has become of its engine since."""
    cases = [(None, point) for point in FORTH] + [(Phase.START, one) for one in points.BACK]
    for number, (failing, point) in enumerate(cases):
        for since in afterwards:
            name = f"{number}-{since.__name__}"
            with pytest.MonkeyPatch.context() as patch:
                made = save_for_a_worker(make_world(folder / name, patch), patch)
                if cut_off(made, failing, point):
                    since(made)
                    yield f"{point} {failing} {since.__name__}", made


@pytest.mark.parametrize(
    ("missed", "afterwards"),
    [(2, (set_back_by_hand, left_down)), (3, (set_back_by_hand,)), (NEVER, (brought_up,))],
)
def test_whatever_it_finds_and_whatever_answer_it_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: int, afterwards: Sequence[Callable[[World], None]]
) -> None:
    faults, seen = [], 0
    for name, made in ways(tmp_path, afterwards):
        seen, runs_on = seen + 1, flaky(missed)
        for module in (arrival, worker, recovery, steps):
            monkeypatch.setattr(module, "runs_on", runs_on)
        calls, was_up, was_held = len(made.calls.made), made.daemon.up, made.path(hold.HOLD).exists()
        code = recovery.settle(made.context, stops=False)
        stopped = [call for call in made.calls.made[calls:] if call[0] == "stop"]
        held = not was_held and made.path(hold.HOLD).exists()
        if stopped or held or made.daemon.up < was_up or code in (ExitCode.HANDED_OVER, ExitCode.BROKEN):
            faults.append((name, code, stopped, held))
    assert faults == []
    assert seen > 40 * len(afterwards)


def test_what_is_not_done_is_said_with_the_command_that_does_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is to go back from the target, and whose answer is missed when that is asked."""
    assert cut_off(world, Phase.START, "rollback.recorded")
    safety_net(world)
    told: list[dict[str, str]] = []
    monkeypatch.setattr(log, "warning", lambda event, **facts: told.append({"event": event, **facts}))
    assert recovery.settle(world.context, stops=False) is None
    assert told[-1] == {
        "event": "unsettled",
        "run": world.move.run.number,
        "would": f"stop the engine where it runs, and start it on {DEFAULT_ROOT}",
        "command": "relocator rollback",
    }
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)


def test_a_move_of_a_command_holds_nothing_before_it_refuses_to_stop(world: World) -> None:
    still = replace(world.move, stops=False)
    for stop in (freeze.stop, freeze.bring_down):
        with pytest.raises(NeedsStop):
            stop(still)
    assert world.calls.made == []
    assert not world.path(hold.HOLD).exists()


def test_only_a_workers_move_stops_the_engine(world: World) -> None:
    assert not recovery.load(world.context, world.move.run).stops
    assert recovery.load(world.context, world.move.run, stops=True).stops

"""A run that is held, where others act meanwhile: what it does by itself, and what it says of why it does not."""

import signal
import time
from pathlib import Path

import pytest

from entrypoint.console.errors import EngineError, ExitCode, JournalError, MoveError, PreflightError
from entrypoint.engine.unit.service import SERVICE
from entrypoint.host.services.units import UnitState
from entrypoint.journal.record import Event, Outcome
from entrypoint.journal.said import said, say
from entrypoint.move import safety_net
from entrypoint.move.worker import hearing, hold
from tests.unit.move.worker.test_hold import against, asking, before_the_freeze, events, on_pass, saying
from tests.unit.support.world import World, make_held_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_held_world(tmp_path, monkeypatch)


def test_one_that_is_paused_does_not_go_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asking(world, monkeypatch, at=time.time() + 0.3)
    on_pass(world, 1, saying(world, pauses=True))
    monkeypatch.setattr(hold, "release", lambda *_: say(world.move.run, aborts=True))
    went = []

    def resume() -> None:
        went.append(Event.GOING in events(world) or said(world.move.run).aborts)
        say(world.move.run, pauses=False)

    waiting = hold.time.sleep  # type: ignore[attr-defined]
    until = time.monotonic() + 0.6

    def sleep(seconds: float) -> None:
        waiting(seconds)
        if not went and time.monotonic() > until:
            resume()

    monkeypatch.setattr(hold.time, "sleep", sleep)  # type: ignore[attr-defined]
    assert world.work() is ExitCode.INTERRUPTED
    assert went == [False]


def test_an_engine_that_was_stopped_by_hand_is_not_started_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask it would start it, by its socket."""
    asking(world, monkeypatch, at=hold.AT_ONCE)
    world.systemd.states[SERVICE] = UnitState.INACTIVE
    on_pass(world, 2, saying(world, aborts=True))
    assert world.work() is ExitCode.INTERRUPTED
    assert "does not run" in against(world)


@pytest.mark.parametrize("failure", [MoveError, EngineError, JournalError])
def test_whatever_speaks_against_a_go_has_undone_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, failure: type[MoveError]
) -> None:
    def fail(*_: object) -> None:
        raise failure("It was changed by somebody else.", resolution="Run the same command again.")

    monkeypatch.setattr(hold, "look_again", fail)
    with pytest.raises(PreflightError, match="changed by somebody") as refused:
        hold.release(world.context, world.move.run, frozenset())
    assert "abort --keep" in refused.value.resolution
    assert "Run the same command again" not in refused.value.resolution


@pytest.mark.parametrize("keeps", [False, True])
def test_an_abort_is_heard_in_the_middle_of_a_pass(world: World, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    monkeypatch.setattr(hearing, "LISTENING", 0.01)

    def endless() -> None:
        say(world.move.run, aborts=True, keeps=keeps)
        while True:  # the signal comes in between
            pass

    signal.signal(signal.SIGINT, signal.default_int_handler)
    on_pass(world, 2, endless)
    assert world.work() is ExitCode.INTERRUPTED
    assert world.outcome["outcome"] == Outcome.INTERRUPTED
    assert "relocator abort" in world.outcome["reason"]
    assert before_all(world) == ["onward", "onward"]


def before_all(world: World) -> list[str]:
    return [call[0] for call in world.calls.made]


def test_the_net_knows_what_to_start_once_it_goes_and_not_before(world: World) -> None:
    script = world.move.run.place / safety_net.GOING
    seen: list[bool] = []

    def go() -> None:
        seen.append(script.exists())
        say(world.move.run, goes=True)

    on_pass(world, 2, go)
    assert world.work() is ExitCode.DONE
    assert seen == [False]
    assert f"systemctl start {' '.join(world.move.plan.started)}" in script.read_text()
    assert before_the_freeze(world) == ["onward", "onward"]

"""What the operator says from elsewhere is answered at once, and refused where it means nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from entrypoint.commands import control, run
from entrypoint.console.errors import ExitCode, Interrupted, Left, PreflightError
from entrypoint.host.services.units import UnitState
from entrypoint.journal.record import Event, Outcome
from entrypoint.journal.said import said, say
from entrypoint.journal.unfinished import KEPT
from entrypoint.move.context import Context
from entrypoint.move.roots.old_roots import plan_of
from entrypoint.move.worker import handover, hearing, hold
from entrypoint.plan.outlook import Estimate
from entrypoint.plan.plan import Plan
from entrypoint.preflight.request import Request
from tests.unit.commands.test_run import Attempt
from tests.unit.move.dying.test_crash_points import Deadly, Killed
from tests.unit.support.world import TARGET, World, make_held_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A worker holds a run."""
    world = make_held_world(tmp_path, monkeypatch)
    world.move.run.append(Event.TOOK_OVER, pid=1)
    world.move.run.append(Event.HELD)
    world.systemd.states[handover.UNIT] = UnitState.ACTIVE
    monkeypatch.setattr(hold, "look_again", lambda *given: (given[3], Estimate(2.0, 12.0, "")))
    monkeypatch.setattr(control, "LISTENING", 0.01)
    return world


def end(world: World, outcome: Outcome, **facts: str) -> None:
    world.move.run.append(Event.OUTCOME, outcome=outcome, **facts)
    world.systemd.states[handover.UNIT] = UnitState.INACTIVE


def answering(world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """The worker acts as soon as it is spoken to."""
    speak = say

    def spoken(*given: object, **words: bool) -> None:
        speak(world.move.run, **words)
        act()

    monkeypatch.setattr(control, "say", spoken)


def test_go_is_said_once_and_a_second_one_hears_that_it_goes(world: World) -> None:
    assert control.go(world.context) is ExitCode.HANDED_OVER
    assert said(world.move.run).goes
    assert control.go(world.context) is ExitCode.HANDED_OVER
    world.move.run.append(Event.GOING)
    assert control.go(world.context) is ExitCode.HANDED_OVER


def test_go_writes_down_the_plan_as_the_host_is_now(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = replace(world.move.plan, dependents=("web.service",))
    monkeypatch.setattr(hold, "look_again", lambda *_: (now, Estimate(2.0, 12.0, "")))
    assert control.go(world.context) is ExitCode.HANDED_OVER
    assert plan_of(world.move.run) == now


def test_what_speaks_against_a_stop_keeps_it_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Plan:
        raise PreflightError("Something was changed on the host.")

    monkeypatch.setattr(hold, "look_again", refuse)
    with pytest.raises(PreflightError, match="Something was changed"):
        control.go(world.context)
    assert not said(world.move.run).goes


def test_who_dies_before_it_has_said_go_has_said_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Deadly(point="go.looked").install(patch, world)
        with pytest.raises(Killed):
            control.go(world.context)
    assert not said(world.move.run).goes
    assert control.go(world.context) is ExitCode.HANDED_OVER


def test_go_after_abort_is_refused(world: World) -> None:
    say(world.move.run, aborts=True)
    with pytest.raises(PreflightError, match="is being ended"):
        control.go(world.context)
    assert not said(world.move.run).goes


@pytest.mark.parametrize("verb", [control.go, lambda context: control.abort(context, keeps=False)])
def test_without_a_run_at_work_nothing_is_said(world: World, verb: Callable[..., ExitCode]) -> None:
    world.systemd.states[handover.UNIT] = UnitState.INACTIVE
    with pytest.raises(PreflightError, match="Nothing was done") as refused:
        verb(world.context)
    assert "relocator status" in refused.value.resolution
    end(world, Outcome.COMMITTED)
    with pytest.raises(PreflightError, match="Nothing was done") as refused:
        verb(world.context)
    assert "rollback" in refused.value.resolution


@pytest.mark.parametrize(("holds", "told"), [(True, "not ready yet"), (False, "goes by itself")])
def test_go_is_refused_where_nothing_waits_for_it(world: World, holds: bool, told: str) -> None:
    world.move.run.file.unlink()
    world.move.run.append(Event.BEGUN, source="/old", target="/new", **({"hold": True} if holds else {}))
    with pytest.raises(PreflightError, match=told):
        control.go(world.context)


@pytest.mark.parametrize("left", ["", KEPT])
def test_abort_tells_what_became_of_the_run(world: World, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    answering(world, monkeypatch, lambda: end(world, Outcome.INTERRUPTED, left=left))
    with capture_logs() as logs:
        assert control.abort(world.context, keeps=bool(left)) is ExitCode.DONE
    assert (said(world.move.run).aborts, said(world.move.run).keeps) == (True, bool(left))
    assert ("is kept" if left else "was removed") in logs[-1]["copy"]


def test_abort_of_one_that_was_led_back_ends_with_its_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(world, monkeypatch, lambda: end(world, Outcome.ROLLED_BACK))
    assert control.abort(world.context, keeps=False) is ExitCode.ROLLED_BACK


def test_abort_leaves_with_the_engine(world: World) -> None:
    world.move.run.append(Event.GOING)
    with pytest.raises(Left, match="The word is given"):
        control.abort(world.context, keeps=False)


@pytest.mark.parametrize("step", ["switch", "start"])
def test_abort_after_the_switch_is_refused_with_the_way_back(world: World, step: str) -> None:
    world.move.run.append(Event.GOING)
    world.move.run.append(Event.INTENT, step=step)
    with pytest.raises(PreflightError, match="past the switch") as refused:
        control.abort(world.context, keeps=False)
    assert "rollback" in refused.value.resolution
    assert not said(world.move.run).aborts


def test_abort_that_comes_too_late_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(world, monkeypatch, lambda: end(world, Outcome.COMMITTED))
    with pytest.raises(PreflightError, match="past the switch"):
        control.abort(world.context, keeps=False)


def test_the_same_command_finds_the_run_that_is_held(world: World) -> None:
    request = Request(world.host.resolve(TARGET), holds=True)
    assert control.is_for(world.context, request)
    assert not control.is_for(world.context, Request(request.target))
    assert not control.is_for(world.context, Request(request.target / "other", holds=True))
    world.move.run.append(Event.GOING)
    assert not control.is_for(world.context, request)


@pytest.mark.parametrize(
    "otherwise", [{"at": "03:00"}, {"checksum": True}, {"bwlimit": "5m"}, {"holds": False, "longest": "30s"}]
)
def test_the_same_target_with_other_options_is_refused(world: World, otherwise: dict[str, Any]) -> None:
    """It would be held, or go, otherwise than somebody thinks."""
    request = replace(Request(world.host.resolve(TARGET), holds=True), **otherwise)
    with pytest.raises(PreflightError, match="with other options") as refused:
        control.is_for(world.context, request)
    assert "--hold" in refused.value.details
    assert "abort --keep" in refused.value.resolution


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.INTERRUPTED, ExitCode.INTERRUPTED),
        (Outcome.ROLLED_BACK, ExitCode.ROLLED_BACK),
        (None, ExitCode.HANDED_OVER),
    ],
)
def test_who_waits_for_a_key_ends_as_the_run_has_ended(world: World, outcome: Outcome | None, code: ExitCode) -> None:
    if outcome:
        end(world, outcome, reason="The operator has ended it.")
    with capture_logs() as logs:
        assert control.watch(world.context) is code
    assert ("held.ended" in [one["event"] for one in logs]) is bool(outcome)


@pytest.mark.parametrize("keeps", [False, True])
def test_one_that_copies_obeys_as_by_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
    monkeypatch.setattr(hearing, "LISTENING", 0.01)
    attempt = Attempt(tmp_path)
    volume = attempt.host.path("/srv/default-root/volumes/one/_data")
    volume.mkdir(parents=True)
    volume.joinpath("file").write_text("content")

    def ending() -> Plan:
        say(attempt.run, aborts=True, keeps=keeps)
        while True:  # the signal comes in between
            pass

    context = Context(attempt.host, attempt.systemd, attempt.journal)
    with pytest.raises(Interrupted):
        run.attempt(context, attempt.run, attempt.plan, ending)
    assert (attempt.outcome["outcome"], attempt.outcome["left"]) == (Outcome.INTERRUPTED, KEPT if keeps else "")
    assert "relocator abort" in attempt.outcome["reason"]
    assert attempt.host.path(f"{TARGET}/volumes").exists() is keeps
    assert ("start_transient", handover.UNIT) not in attempt.calls.made


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"pauses": True}, "is paused"),
        ({"limit": "5m"}, "is limited to 5m a second"),
        ({"limit": ""}, "has no limit"),
        ({"pauses": False}, "goes on as it was begun"),
    ],
)
def test_the_pace_is_said_and_told(world: World, words: dict[str, object], told: str) -> None:
    with capture_logs() as logs:
        assert control.pace(world.context, **words) is ExitCode.DONE
    assert logs[-1]["pace"] == told


def test_where_nothing_is_copied_any_more_there_is_no_pace(world: World) -> None:
    world.move.run.append(Event.GOING)
    with pytest.raises(PreflightError, match="copies no more"):
        control.pace(world.context, pauses=True)
    assert not said(world.move.run).pauses

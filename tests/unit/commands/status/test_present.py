"""What is told is where the engine is now; what the last run has done is told as the past."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from entrypoint.commands import survey
from entrypoint.commands.status import present, status, text
from entrypoint.commands.status.present import Present
from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import Status
from entrypoint.console.errors import ExitCode
from entrypoint.console.events import log
from entrypoint.copy.copied import Copied
from entrypoint.engine.docker import Engine
from entrypoint.host.services.units import UnitState
from entrypoint.journal.record import Outcome
from entrypoint.move.recovery import save
from tests.unit.support.fakes import DEFAULT_ROOT, SERVICE, FakeEngine
from tests.unit.support.good_facts import GOOD, working_on
from tests.unit.support.world import TARGET, World, make_world


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A move that was committed; the engine runs where it was put."""
    world = make_world(tmp_path, monkeypatch)
    world.move.run.begun(source=DEFAULT_ROOT, target=TARGET)
    save(world.move.run, world.move.plan, [Copied(frozenset(), 0.0, 0.0, (0, 0))])
    world.move.run.append("outcome", outcome=Outcome.COMMITTED)  # type: ignore[arg-type]
    world.daemon.root = TARGET
    return world


def look(world: World) -> Present | None:
    return present.look(world.context, world.move.run)


def test_an_engine_that_is_where_it_was_put_is_told_as_it_was(moved: World) -> None:
    assert look(moved) is None


def edited(world: World, _monkeypatch: pytest.MonkeyPatch) -> None:
    world.daemon.root = "/srv/by-others"


def stopped(world: World, _monkeypatch: pytest.MonkeyPatch) -> None:
    world.systemd.states[SERVICE] = UnitState.INACTIVE


def dumb(world: World, _monkeypatch: pytest.MonkeyPatch) -> None:
    world.daemon.up = False


def another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    info = FakeEngine(world.daemon).info()
    monkeypatch.setattr(FakeEngine, "info", lambda _self: replace(info, engine_id="OTHER"))


CHANGES: dict[str, tuple[Callable[[World, pytest.MonkeyPatch], None], ExitCode, str]] = {
    "the data root was changed": (
        edited,
        ExitCode.AMISS,
        f"runs on /srv/by-others now. Run 000001 had left it on {TARGET};",
    ),
    "the engine was stopped": (stopped, ExitCode.BROKEN, "docker.service is inactive"),
    "the engine does not answer": (dumb, ExitCode.BROKEN, "does not answer"),
    "another root is there": (another, ExitCode.AMISS, "its id was ID, and is OTHER"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_others_have_changed_since_is_told_with_a_code(
    moved: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    change, code, said = CHANGES[name]
    change(moved, monkeypatch)
    found = look(moved)
    assert found is not None
    assert (found.code, said in found.what, bool(found.remedy)) == (code, True, True), found
    told = status.with_present(moved.context, Status(State.COMMITTED, run="000001"))
    assert told.exit_code is code
    assert told.to_json()["present"]["what"] == found.what
    assert text.text(told).splitlines()[:3] == [found.what, found.remedy, "What the last run had done:"]


def test_an_engine_that_is_down_is_not_asked(moved: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would start it."""

    def opened(*_arguments: Any) -> None:
        raise AssertionError

    stopped(moved, monkeypatch)
    monkeypatch.setattr(Engine, "opened", opened)
    assert look(moved) is not None


def test_after_a_failed_run_it_is_the_old_root_that_counts(moved: World) -> None:
    moved.move.run.append("outcome", outcome=Outcome.ROLLED_BACK)  # type: ignore[arg-type]
    assert look(moved) is not None
    moved.daemon.root = DEFAULT_ROOT
    assert look(moved) is None


def test_nothing_is_asked_while_a_run_is_at_work_or_has_no_end_that_is_known(moved: World) -> None:
    edited(moved, pytest.MonkeyPatch())
    for state in (State.WORKING, State.NONE):
        told = Status(state, run="000001" if state is State.WORKING else "")
        assert status.with_present(moved.context, told).present is None
    moved.move.run.append("outcome", outcome=Outcome.BROKEN)  # type: ignore[arg-type]
    assert look(moved) is None


def test_an_engine_that_is_on_the_target_already_may_be_another(moved: World) -> None:
    """Only the last move's own word counts, and only of the root where that has left it."""
    runs = moved.journal.runs()
    assert present.another(runs, TARGET, "ID") is None
    assert present.another(runs, "/srv/by-others", "OTHER") is None
    assert present.another((), TARGET, "OTHER") is None
    found = present.another(runs, TARGET, "OTHER")
    assert found is not None
    assert found.what == f"The engine on {TARGET} is another one now: its id was ID, and is OTHER."
    assert found.code is ExitCode.AMISS


def test_that_it_is_there_already_is_said_with_what_is_otherwise_now(
    moved: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda _event, what: said.append(what))
    for engine_id, code in (("ID", ExitCode.DONE), ("OTHER", ExitCode.AMISS)):
        facts = working_on(GOOD, PurePosixPath(TARGET))
        assert (
            survey.tell_there(moved.context, replace(facts, engine=replace(facts.engine, engine_id=engine_id))) is code
        )
    assert [one.partition(":")[0] for one in said] == [f"The engine on {TARGET} is another one now"]

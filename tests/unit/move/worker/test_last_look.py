"""What is asked once more when the copy is made, before the engine is stopped."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import MoveError, PreflightError
from entrypoint.move.worker import last_look
from entrypoint.plan.plan import Plan, as_it_runs
from entrypoint.preflight.request import Request
from tests.unit.support.fakes import CONFIG
from tests.unit.support.good_facts import GOOD, unit
from tests.unit.support.world import DROP_IN, RULES, TARGET, World, make_world, with_first


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(last_look, "gather", lambda *_: GOOD)
    made = make_world(tmp_path, monkeypatch)
    made.move = replace(made.move, plan=with_first(made.move.plan, source=str(GOOD.data_root)))
    return made


def look_again(world: World) -> Plan:
    request = Request(PurePosixPath(TARGET))
    return last_look.look_again(world.context, request, {}, world.move.plan, frozenset())[0]


def test_a_leftover_in_a_file_of_ours_and_a_rule_of_others_are_no_edit_of_the_engines_configuration(
    world: World,
) -> None:
    world.path(DROP_IN).parent.mkdir(parents=True)
    for place in (DROP_IN, RULES):
        world.path(place).write_bytes(b"what somebody has left there\n")
    assert look_again(world) == as_it_runs(world.move.plan, GOOD)


def test_an_engine_that_was_upgraded_meanwhile_is_the_one_that_has_left_the_old_root(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = replace(GOOD, engine=replace(GOOD.engine, version="28.5.1"))
    monkeypatch.setattr(last_look, "gather", lambda *_: newer)
    assert look_again(world).engine_version == "28.5.1"


def test_a_file_of_theirs_must_be_as_it_was_planned(world: World) -> None:
    world.path(CONFIG).write_bytes(b"{}")
    with pytest.raises(MoveError, match="changed by somebody else"):
        look_again(world)


def test_an_engine_that_runs_elsewhere_by_now_speaks_against_the_stop(world: World) -> None:
    world.move = replace(world.move, plan=with_first(world.move.plan, source="/srv/elsewhere"))
    with pytest.raises(PreflightError, match="Something was changed"):
        look_again(world)


def test_the_worker_that_holds_the_run_does_not_speak_against_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = replace(GOOD, worker=unit("relocator.service"))
    monkeypatch.setattr(last_look, "gather", lambda *_: at_work)
    assert look_again(world) == as_it_runs(world.move.plan, GOOD)

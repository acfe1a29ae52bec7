"""What is asked once more when the copy is made, before the engine is stopped."""

from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands import survey
from entrypoint.console.errors import MoveError
from entrypoint.plan.plan import Plan, as_it_runs
from entrypoint.preflight.request import Request
from tests.unit.support.fakes import CONFIG
from tests.unit.support.good_facts import GOOD
from tests.unit.support.world import DROP_IN, RULES, TARGET, World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(survey, "gather", lambda *_: GOOD)
    return make_world(tmp_path, monkeypatch)


def look_again(world: World) -> Plan:
    request = Request(PurePosixPath(TARGET))
    return survey.look_again(world.context, request, GOOD, world.move.plan)


def test_a_leftover_in_a_file_of_ours_and_a_rule_of_others_are_no_edit_of_the_engines_configuration(
    world: World,
) -> None:
    world.path(DROP_IN).parent.mkdir(parents=True)
    for place in (DROP_IN, RULES):
        world.path(place).write_bytes(b"what somebody has left there\n")
    assert look_again(world) == as_it_runs(world.move.plan, GOOD)


def test_a_file_of_theirs_must_be_as_it_was_planned(world: World) -> None:
    world.path(CONFIG).write_bytes(b"{}")
    with pytest.raises(MoveError, match="changed by somebody else"):
        look_again(world)

"""How a held run stands is told by its records, its last pass and what was foreseen; in the host's time."""

from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from entrypoint.commands.status.standing import Standing, standing
from entrypoint.host.disks.stored import to_json
from entrypoint.journal.record import Event
from entrypoint.move.worker import hold
from entrypoint.move.worker.hold import Held
from tests.unit.support.world import World, make_held_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_held_world(tmp_path, monkeypatch)
    world.move.run.append(Event.HELD)
    return world


def test_it_is_told_when_it_goes_and_what_is_left_and_why_it_did_not_go(world: World) -> None:
    run = world.move.run
    terms = replace(hold.terms_of(run), at=90_000.0)
    run.save_plan({**run.plan(), "hold": to_json(terms)})
    hold.tell(world.move, Held(86_400.0, 3, 2048, 7, 1.5, against="Something was changed."))
    found = standing(run, run.records())
    assert found == Standing(found.since, "1970-01-02T00:00:00+00:00", 3, 2048, 7, (3.5, 15.0),
                             "1970-01-02T01:00:00+00:00", "Something was changed.")  # fmt: skip
    there = found.told(timezone(timedelta(hours=3)))
    assert (there.looked, there.at) == ("1970-01-02T03:00:00+03:00", "1970-01-02T04:00:00+03:00")


def test_what_is_not_known_yet_is_not_told(world: World) -> None:
    run = world.move.run
    found = standing(run, run.records())
    assert (found.looked, found.at, found.against, found.downtime) == ("", "", "", (2.0, 12.0))
    (run.place / "plan.json").unlink()
    assert standing(run, run.records()).downtime is None

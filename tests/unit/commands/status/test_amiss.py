"""Code 6 in words: what does not stand, what was tried, and the ways from here with what each would lose."""

from pathlib import Path

import pytest

from entrypoint.commands.status.status import Status, of_run
from entrypoint.commands.status.text import TRIED, text
from entrypoint.console.events import Phase
from entrypoint.host.machine import locality
from entrypoint.journal.amiss import Amiss, Kind
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome
from entrypoint.plan.plan import Direction
from tests.unit.support.fakes import make_host

DOWN = Amiss(Kind.CONTAINER, "zigbee was running and is exited: no such device", "1")
UNIT = Amiss(Kind.UNIT, "metrics.service was active and is failed", "metrics.service")
BACK = "relocator rollback"


def moved(tmp_path: Path, *amiss: Amiss, direction: Direction = Direction.FORTH) -> Status:
    """A run that has ended so; the engine was started on the new root once."""
    journal = Journal(make_host(tmp_path))
    journal.prepare()
    run = journal.begin()
    run.append(Event.BEGUN, source="/old", target="/new", direction=direction)
    for event in (Event.INTENT, Event.DONE):
        run.append(event, step=Phase.START)
    run.note(amiss)
    run.append(Event.OUTCOME, outcome=Outcome.MOVED, root="/new")
    found = of_run(run, busy=False)
    assert found.since == locality.moment(run.records()[1]["at"])
    return found


def test_reasons_what_was_tried_and_the_ways_from_here(tmp_path: Path) -> None:
    status = moved(tmp_path, DOWN, UNIT, DOWN)
    said = text(status)
    assert f"  {DOWN.text}\n  {UNIT.text}\n" in said
    assert (
        "What was tried: to put each container as it stood, up to 5 times; to start each unit, up to 2 times.\n" in said
    )
    assert "To stay loses nothing." in said
    assert f"your choice: {BACK} --yes\nIt gives up what was written, made and removed since " in said
    assert f"since {status.since.replace('T', ' ')}; that stays in /new." in said
    assert said.endswith(f"nothing changed: {BACK}")


def test_what_was_not_tried_is_not_said_to_be(tmp_path: Path) -> None:
    said = text(moved(tmp_path, Amiss(Kind.CONTAINER, "app was running and is exited", "1", tried=False)))
    assert "What was tried: nothing" in said
    assert TRIED[Kind.CONTAINER] not in said


def test_after_a_way_back_there_is_none(tmp_path: Path) -> None:
    said = text(moved(tmp_path, DOWN, direction=Direction.BACK))
    assert BACK not in said
    assert "To see what is only there" in said


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_tried_in_some_way(kind: Kind) -> None:
    assert TRIED[kind].startswith("to ")

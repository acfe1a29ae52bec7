"""Whether a container has run on the new root is told also of one that has left nothing of itself."""

import os
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.console.events import Phase
from entrypoint.engine.docker import KEPT_EVENTS
from entrypoint.engine.inventory import OURS, TITLE
from entrypoint.journal.record import Event
from entrypoint.move.since import acts, served
from tests.unit.support.fakes import DEFAULT_ROOT, FakeEngine
from tests.unit.support.world import TARGET, World, make_world

DIRECTORY = f"{TARGET}/containers"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The engine misses an image on the target: that is a reason to go back as long as nothing has run there."""
    made = make_world(tmp_path, monkeypatch)
    made.path(f"{DEFAULT_ROOT}/containers").mkdir()
    made.path(DIRECTORY).mkdir()
    made.unproven()
    return made


def with_rm(world: World, name: str = "job") -> None:
    """It was made, has run and written, and is removed, all on the target."""
    world.path(f"{DIRECTORY}/{name}").mkdir()
    world.path(f"{DIRECTORY}/{name}").rmdir()


def tells(world: World, *labels: dict[str, str]) -> None:
    """The engine's own events of starts."""
    world.daemon.events += [
        {"Type": "container", "Action": "start", "Actor": {"ID": "x", "Attributes": one}} for one in labels
    ]


def after_the_start(world: World, labels: dict[str, str]) -> None:
    """On the target one has come and gone, and this is what the engine tells of its start."""
    start = world.daemon.start

    def start_and() -> None:
        start()
        if world.daemon.root == TARGET:
            with_rm(world)
            tells(world, labels)

    world.daemon.start = start_and  # type: ignore[method-assign]


def test_nothing_has_run(world: World) -> None:
    assert world.work() is ExitCode.ROLLED_BACK, world.outcome
    assert world.daemon.root == DEFAULT_ROOT


def test_one_with_rm_that_has_ended_has_written(world: World) -> None:
    after_the_start(world, {"name": "job"})
    assert world.work() is ExitCode.AMISS
    assert world.daemon.root == TARGET


def test_one_that_was_only_made_and_one_of_relocators_own_write_nothing(world: World) -> None:
    after_the_start(world, {"name": "status", TITLE: OURS})
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.daemon.root == DEFAULT_ROOT


def test_an_engine_that_has_forgotten_its_first_events_may_have_started_one(world: World) -> None:
    tells(world, *[{TITLE: OURS}] * (KEPT_EVENTS - 1))
    assert not acts.may_have_started(FakeEngine(world.daemon))
    tells(world, {TITLE: OURS})
    assert acts.may_have_started(FakeEngine(world.daemon))


def test_an_engine_that_is_not_the_first_one_on_the_root_knows_not_all(world: World) -> None:
    (world.move.run.place / "back").mkdir(exist_ok=True)
    served.note(world.move)
    with_rm(world)
    world.daemon.root = TARGET
    assert not acts.is_first_engine(world.move)
    assert served.has_served(world.move)


@pytest.mark.parametrize("seen", [True, False])
def test_the_first_engine_stays_the_first_for_a_second_worker(world: World, seen: bool) -> None:
    """If the first worker has seen it up: before that it may have been another one that came up."""
    for worker in (1, 2):
        world.move.run.append(Event.TOOK_OVER, pid=worker)
        if seen or worker > 1:
            world.move.run.append(Event.DONE, step=Phase.START)
    assert acts.is_first_engine(world.move) is seen


def test_the_time_of_the_directory_is_noted(world: World) -> None:
    (world.move.run.place / "back").mkdir(exist_ok=True)
    os.utime(world.path(DIRECTORY), ns=(0, 1_700_000_000_000_000_042))
    served.note(world.move)
    assert (world.move.run.place / "back/starts").read_text() == "containers 1700000000.000000042\n"
    assert not served.has_served(world.move)
    os.utime(world.path(DIRECTORY), ns=(0, 1_700_000_000_000_000_043))
    assert served.has_served(world.move)


def test_a_note_of_before_that_names_no_time_says_nothing(world: World) -> None:
    (world.move.run.place / "back").mkdir(exist_ok=True)
    (world.move.run.place / "back/starts").write_text("")
    with_rm(world)
    assert not served.has_served(world.move)

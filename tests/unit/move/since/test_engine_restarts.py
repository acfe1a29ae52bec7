"""An engine that crashes, or is restarted, while containers are put as they stood: what it stops is nobody's act."""

import json
from pathlib import Path

import pytest

from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import Inventory, Status
from entrypoint.move.proof import restart
from entrypoint.move.since.acts import Acts
from tests.unit.support.fakes import Box
from tests.unit.support.world import World, make_world

AWAY = (4.0, 6.0)  # seconds; when the engine was not up


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


def before(world: World) -> Inventory:
    with Engine.opened(socket_of(world.host)) as engine:
        return engine.inventory()


def end(world: World, name: str, code: int = 0, at: float = 5.0) -> Box:
    box = world.daemon.boxes[name]
    world.daemon.set_status(name, Status.EXITED)
    box.exit_code, box.ended_at = code, at
    return box


@pytest.mark.parametrize(("at", "stopped"), [(5.0, set()), (6.0, set()), (6.1, {"", "no"})])
@pytest.mark.parametrize("action", ["kill", "stop"])
def test_what_an_engine_stops_before_it_can_be_asked_is_not_stopped_by_others(
    world: World, action: str, at: float, stopped: set[str]
) -> None:
    """One that crashed leaves its containers running, and the next ends them first (moby daemon.go, restore)."""
    world.daemon.act("container", action, "no")
    world.daemon.events[-1]["timeNano"] = int(at * 1e9)
    with Engine.opened(socket_of(world.host)) as engine:
        done = Acts.of(engine, is_first=False, ready=AWAY[1])
    assert done.stopped == stopped
    assert (("container", "no") in done.done) is bool(stopped)


@pytest.mark.parametrize(("forgets", "stopped"), [(True, {"since", "unreadable", "told"}), (False, {"told"})])
def test_whom_others_have_stopped_is_read_from_the_files_where_the_engine_forgets(
    tmp_path: Path, forgets: bool, stopped: set[str]
) -> None:
    """Of each the flag on the root that was left, and on the new one."""
    flags = {"since": (False, True), "before": (True, True), "started-again": (True, False), "never": (False, False),
             "by-the-engine": (False, True), "unreadable": (False, True)}  # fmt: skip
    ends = {"since": "1970-01-01T00:00:03.999999999Z", "by-the-engine": "1970-01-01T00:00:05.123456789Z",
            "unreadable": 7}  # fmt: skip
    roots = (tmp_path / "source", tmp_path / "target")
    for name, both in flags.items():
        for root, flag in zip(roots, both, strict=True):
            place = root / f"containers/{name}/config.v2.json"
            place.parent.mkdir(parents=True)
            state = {"FinishedAt": ends.get(name, "1970-01-01T00:00:01Z")}
            place.write_text(json.dumps({"HasBeenManuallyStopped": flag, "State": state}))
    done = Acts(stopped=frozenset({"told"}), is_all=not forgets)
    assert done.and_by_files(*roots, AWAY).stopped == stopped


@pytest.mark.parametrize(
    ("code", "at", "told"),
    [(0, 5.0, ["no"]), (0, 4.0, ["no"]), (0, 3.9, []), (0, 6.1, []), (1, 7.0, ["no"]), (143, 5.0, ["no"])],
)
def test_what_ended_well_is_a_job_unless_the_engine_was_away(
    world: World, code: int, at: float, told: list[str]
) -> None:
    held = before(world)
    end(world, "no", code, at)
    with Engine.opened(socket_of(world.host)) as engine:
        assert [one.key for one in restart.misplaced(engine, held, AWAY)] == told


def test_what_a_restarted_engine_has_ended_is_started_again(world: World) -> None:
    """It had been put as it stood before, and has ended with code 0, as any good server does when it is told to."""
    held = before(world)
    times = [(0.0, 1.0)]

    def away() -> tuple[float, float]:
        if len(times) == 1:
            times.append(AWAY)
            end(world, "no")
            return times[0]
        return times[-1]

    with Engine.opened(socket_of(world.host)) as engine:
        assert restart.settle(engine, held, {}, (), away, world.move.patience) == []
    assert world.daemon.status("no") is Status.RUNNING


def test_a_job_that_has_ended_is_not_done_twice(world: World) -> None:
    held = before(world)
    end(world, "no", at=7.0)
    with Engine.opened(socket_of(world.host)) as engine:
        assert restart.settle(engine, held, {}, (), lambda: AWAY, world.move.patience) == []
    assert world.daemon.status("no") is Status.EXITED

"""A good move does the right things in the right order, and a step that is left out does not go unnoticed."""

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint import hold
from entrypoint.errors import ExitCode
from entrypoint.inventory import Status
from entrypoint.steps import STEPS
from tests.unit.fakes import CONFIG, DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.world import CONTENT, DROP_IN, TARGET, World, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


def test_the_steps_are_these_in_this_order() -> None:
    assert [str(step.name) for step in STEPS] == [
        "freeze", "final sync", "check the copy", "switch", "start", "verify",
    ]  # fmt: skip


def test_a_good_move_calls_in_this_order(world: World) -> None:
    assert world.work() is ExitCode.DONE
    assert world.calls.made == [
        ("reload",),  # the drop-ins of the hold come into force
        ("engine.inventory",),
        ("stop", SOCKET, SERVICE),
        ("final_sync", ()),
        ("reload",),  # the ordering drop-in comes into force
        ("reset_failed", SOCKET, SERVICE),
        ("start", SOCKET, SERVICE),
        ("engine.start", "no"),
        ("engine.inventory",),
        ("reload",),  # the hold is taken away
    ]


def test_a_good_move_ends_on_the_new_root_with_everything_running(world: World) -> None:
    world.work()
    assert world.daemon.root == TARGET
    assert {name: world.daemon.status(name) for name in world.daemon.boxes} == dict.fromkeys(
        ("no", "always", "unless-stopped"), Status.RUNNING
    )
    assert world.outcome["outcome"] == "committed"
    assert world.events("intent") == world.events("done") == [step.name for step in STEPS]


def test_a_good_move_leaves_the_old_root_and_two_edits_and_nothing_else(world: World) -> None:
    world.work()
    assert world.path(CONFIG).read_bytes() == b'{\n\t"debug": true,\n\t"data-root": "/srv/new/root"\n}\n'
    assert world.path(DROP_IN).read_bytes() == world.move.plan.ordering.after
    assert not world.path("/run/relocator").exists()
    assert list(world.path("/run/systemd/system").iterdir()) == []
    assert {place.name for place in world.path(DEFAULT_ROOT).iterdir()} == {"early", "late"}
    assert {place.name for place in world.path(TARGET).iterdir()} == {"early", "late"}


def test_the_engine_is_held_before_it_is_stopped(world: World) -> None:
    held: list[bool] = []
    world.calls.moments["stop"] = lambda: held.append(
        world.path(hold.HOLD).exists() and all(world.path(hold.drop_in(unit)).exists() for unit in (SOCKET, SERVICE))
    )
    world.work()
    assert held == [True]


def test_nothing_is_written_to_the_configuration_before_the_copy_is_complete(world: World) -> None:
    seen: list[bytes | bool] = []
    world.calls.moments["final_sync"] = lambda: seen.extend(
        [world.path(CONFIG).read_bytes(), world.path(DROP_IN).exists(), world.daemon.up]
    )
    world.work()
    assert seen == [CONTENT, False, False]


def test_both_files_are_written_before_the_engine_starts(world: World) -> None:
    seen: list[bytes] = []
    world.calls.moments["start"] = lambda: seen.extend(
        [world.path(CONFIG).read_bytes(), world.path(DROP_IN).read_bytes()]
    )
    world.work()
    assert seen == [world.move.plan.switch.after, world.move.plan.ordering.after]


def test_the_hold_is_taken_away_only_after_the_engine_is_proven(world: World) -> None:
    seen: list[bool] = []
    world.calls.moments["engine.start"] = lambda: seen.append(world.path(hold.drop_in(SERVICE)).exists())
    world.work()
    assert seen == [True]


def test_a_missing_configuration_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, monkeypatch, content=None)
    assert world.work() is ExitCode.DONE
    assert world.path(CONFIG).read_bytes() == b'{\n    "data-root": "/srv/new/root"\n}\n'


def test_each_container_stands_as_it_stood(world: World) -> None:
    add = world.daemon.add
    add("paused-no", Status.PAUSED)
    add("paused-always", Status.PAUSED, "always")
    add("failing", policy="on-failure", code_at_stop=143)
    add("well-behaved", policy="on-failure", code_at_stop=0)
    add("stopped-always", Status.EXITED, "always", stopped_by_hand=True)
    add("stopped-unless", Status.EXITED, "unless-stopped", stopped_by_hand=True)
    add("done", Status.EXITED)
    add("new", Status.CREATED, "always")
    expected = {name: box.container.status for name, box in world.daemon.boxes.items()}
    assert world.work() is ExitCode.DONE
    assert {name: box.container.status for name, box in world.daemon.boxes.items()} == expected


def test_a_container_that_is_removed_at_any_restart_is_not_missed(world: World) -> None:
    world.daemon.add("ephemeral", auto_remove=True)
    assert world.work() is ExitCode.DONE
    assert "ephemeral" not in world.daemon.boxes


def test_the_anonymous_volume_of_a_removed_container_is_not_missed(world: World) -> None:
    world.daemon.add("ephemeral", auto_remove=True, anonymous_volume="0123456789abcdef" * 4)
    assert world.work() is ExitCode.DONE
    assert world.daemon.volumes == {"data": "local"}


def test_a_host_without_a_socket_unit_is_moved_too(world: World) -> None:
    world = with_units(world, (SERVICE,))
    assert world.work() is ExitCode.DONE
    assert ("stop", SERVICE) in world.calls.made
    assert ("start", SERVICE) in world.calls.made


def with_units(world: World, units: tuple[str, ...]) -> World:
    plan = replace(world.move.plan, units=units, started=units)
    return replace(world, move=replace(world.move, plan=plan))


# --- what would happen if a step were not there -------------------------------------------------------------------


def test_a_late_file_arrives_or_the_check_refuses(world: World) -> None:
    without = [step for step in STEPS if step.name != "final sync"]
    assert world.work(without) is ExitCode.ROLLED_BACK
    assert "late is missing" in world.outcome["reason"]
    world.require_untouched()


def test_a_container_without_a_policy_is_started_by_us_alone(world: World) -> None:
    without = [step for step in STEPS if step.name != "verify"]
    world.work(without)
    assert world.daemon.status("no") is Status.EXITED


def test_an_engine_that_lost_an_image_is_noticed(world: World) -> None:
    world.daemon.forgets_images_on = TARGET
    world.calls.moments["stop"] = lambda: world.calls.moments.update(
        {"stop": lambda: world.daemon.images.update({"sha256:1": "app:1"})}
    )
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["reason"] == (
        "The engine does not hold what it held before.\nimage sha256:1 (app:1) is missing"
    )
    world.require_untouched()


def test_an_engine_that_stays_on_the_old_root_is_noticed(world: World) -> None:
    world.daemon.stays_on = DEFAULT_ROOT
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["reason"] == f"The engine runs on {DEFAULT_ROOT}, not on {TARGET}."
    world.require_untouched()


def test_a_container_that_does_not_come_back_is_noticed(world: World) -> None:
    box = world.daemon.add("broken", starts=False, code_at_stop=1)
    world.calls.moments["reset_failed"] = lambda: world.calls.moments.update(
        {"reset_failed": lambda: setattr(box, "starts", True)}
    )
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["reason"] == "Containers do not stand as they stood.\nbroken was running and is exited"
    world.require_untouched()
    assert world.daemon.status("broken") is Status.RUNNING

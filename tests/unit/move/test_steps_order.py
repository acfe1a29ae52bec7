"""A good move does the right things in the right order, and a step that is left out does not go unnoticed."""

from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.engine.inventory import Status
from entrypoint.host.services import hold
from entrypoint.journal import finished
from entrypoint.move import freeze
from entrypoint.move.context import Move
from entrypoint.move.steps import STEPS, CheckCopy
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world

STARTED = ("start", SOCKET, SERVICE)


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
        ("engine.inventory",),
        ("engine.start", "no"),
        ("reload",),  # the hold is taken away
        ("reload",),  # and the guard
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
    assert {place.name for place in world.path(TARGET).iterdir()} == {"early", "late", finished.NAME}


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
    assert seen == [world.move.plan.first.switch.after, world.move.plan.ordering.after]


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


def test_what_an_engine_has_left_running_is_ended_by_the_next_on_the_same_root(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, it leaves its containers and their mounts; the next start there ends them."""
    left = f"{DEFAULT_ROOT}/overlay2/x/merged"
    monkeypatch.setattr(freeze, "leftovers", lambda _plan: () if world.calls.made.count(STARTED) else (left,))
    assert world.work() is ExitCode.DONE
    names = [call[0] for call in world.calls.made]
    assert names[2:5] == ["stop", "reset_failed", "start"]
    assert "engine.stop" in names[5 : names.index("stop", 5)]  # each for itself, before the engine is stopped again
    assert names[names.index("stop", 5) + 1] == "final_sync"
    assert world.daemon.root == TARGET


def test_what_stays_mounted_all_the_same_is_not_copied(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "leftovers", lambda _plan: (f"{DEFAULT_ROOT}/volumes/x/_data",))
    assert world.work() is ExitCode.ROLLED_BACK
    assert "volumes/x/_data" in world.outcome["reason"]
    assert not [call for call in world.calls.made if call[0] == "final_sync"]


def test_a_container_that_is_just_being_started_again_is_paused_later(world: World) -> None:
    world.daemon.add("busy", Status.PAUSED, "always", is_busy=2)
    assert world.work() is ExitCode.DONE
    assert world.daemon.status("busy") is Status.PAUSED


def test_a_container_whose_last_task_is_not_gone_yet_is_started_later(world: World) -> None:
    world.daemon.add("slow", tasks_left=2)
    assert world.work() is ExitCode.DONE
    assert world.daemon.status("slow") is Status.RUNNING
    assert world.calls.made.count(("engine.start", "slow")) == 3


def test_with_live_restore_containers_are_ended_before_the_engine_and_started_after(world: World) -> None:
    """The engine would leave them running, on the old root."""
    world.daemon.live_restore = True
    world.daemon.add("paused", Status.PAUSED, "unless-stopped")
    world.daemon.add("done", Status.EXITED)
    seen: list[bool] = []
    world.calls.moments["final_sync"] = lambda: seen.append(runs(world))
    assert world.work() is ExitCode.DONE
    assert seen == [False]
    names = [call[0] for call in world.calls.made]
    assert names.count("engine.stop") == 4
    assert max(number for number, name in enumerate(names) if name == "engine.stop") < names.index("stop")
    statuses = {name: world.daemon.status(name) for name in world.daemon.boxes}
    assert statuses == {
        "no": Status.RUNNING, "always": Status.RUNNING, "unless-stopped": Status.RUNNING, "paused": Status.PAUSED,
        "done": Status.EXITED,
    }  # fmt: skip


def test_with_live_restore_a_move_that_fails_brings_back_what_ran(world: World) -> None:
    world.daemon.live_restore = True
    world.unproven()
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.daemon.root == DEFAULT_ROOT
    assert {world.daemon.status(name) for name in world.daemon.boxes} == {Status.RUNNING}


def test_an_engine_that_cannot_end_its_containers_is_stopped_and_what_it_leaves_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.daemon.live_restore = True
    left = f"{DEFAULT_ROOT}/overlay2/x/merged"
    monkeypatch.setattr(freeze, "leftovers", lambda _plan: (left,) if runs(world) else ())
    world.calls.failures.add(2)  # the first container's stop
    assert world.work() is ExitCode.DONE
    assert [call[0] for call in world.calls.made].count("stop") == 2


@pytest.mark.parametrize(
    ("here", "there", "ends"),
    [
        (["overlay2"], ["overlay2"], ExitCode.DONE),
        (["overlay2", "aufs"], ["overlay2", "aufs"], ExitCode.DONE),
        (["overlay2"], [], ExitCode.ROLLED_BACK),
        (["overlay2"], ["overlay2", "btrfs"], ExitCode.ROLLED_BACK),
        ([], [], ExitCode.ROLLED_BACK),
    ],
)
def test_the_root_is_switched_only_if_the_engine_will_choose_the_same_driver(
    world: World, here: list[str], there: list[str], ends: ExitCode
) -> None:
    """Nothing names it, so that what is in the root decides: without its layers an engine starts, and holds nothing."""
    unnamed = replace(world, move=replace(world.move, plan=replace(world.move.plan, driver_named="")))

    def appear() -> None:
        for root, names in ((TARGET, there), (DEFAULT_ROOT, here)):
            for name in names:
                world.path(f"{root}/{name}/l").mkdir(parents=True, exist_ok=True)

    class Copied(CheckCopy):
        """The copy is as the test says, and was called good."""

        def apply(self, _move: Move) -> None:
            appear()

    steps = [Copied() if step.name == "check the copy" else step for step in STEPS]
    assert unnamed.work(steps) is ends
    assert ("would not choose overlay2" in world.outcome.get("reason", "")) is (ends is ExitCode.ROLLED_BACK)
    if ends is ExitCode.ROLLED_BACK:
        assert world.outcome["failed_in"] == "switch"
        assert world.daemon.root == DEFAULT_ROOT


@pytest.mark.parametrize(("named", "ends"), [("vfs", ExitCode.DONE), ("", ExitCode.ROLLED_BACK)])
def test_what_vfs_has_left_leads_no_engine_to_it(world: World, named: str, ends: ExitCode) -> None:
    world.daemon.driver = "vfs"
    plan = replace(world.move.plan, driver="vfs", driver_named=named)

    class Copied(CheckCopy):
        def apply(self, _move: Move) -> None:
            for root in (TARGET, DEFAULT_ROOT):
                world.path(f"{root}/vfs/dir").mkdir(parents=True)

    steps = [Copied() if step.name == "check the copy" else step for step in STEPS]
    assert replace(world, move=replace(world.move, plan=plan)).work(steps) is ends


def test_an_engine_that_has_chosen_another_driver_is_taken_back(world: World) -> None:
    """Its proof comes after the start, whatever was thought of the root before."""

    def choose(driver: str) -> None:
        world.daemon.driver = driver

    world.serving_nobody().calls.moments["final_sync"] = lambda: choose("overlayfs")
    assert world.work() is ExitCode.BROKEN  # for this engine has no way back: it stays with its new choice
    assert "the storage driver was 'overlay2' and is 'overlayfs'" in world.outcome["reason"]
    assert world.daemon.root == DEFAULT_ROOT


def runs(world: World) -> bool:
    return any(box.container.status is not Status.EXITED for box in world.daemon.boxes.values())


def with_health(world: World, name: str, health: str) -> None:
    box = world.daemon.boxes[name]
    box.container = replace(box.container, health=health)


def test_what_was_healthy_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.waiting(recovering=10.0)
    with_health(world, "no", "healthy")
    world.calls.moments["final_sync"] = lambda: with_health(world, "no", "starting")
    world.calls.moments["engine.start"] = lambda: Timer(0.3, with_health, [world, "no", "healthy"]).start()
    assert world.work() is ExitCode.DONE
    assert world.daemon.boxes["no"].container.health == "healthy"


@pytest.mark.parametrize(
    ("health", "ends"), [("unhealthy", ExitCode.AMISS), ("starting", ExitCode.DONE), ("", ExitCode.DONE)]
)
def test_only_what_its_own_check_calls_unhealthy_is_named(world: World, health: str, ends: ExitCode) -> None:
    with_health(world, "always", "healthy")
    world.calls.moments["final_sync"] = lambda: with_health(world, "always", health)
    assert world.work() is ends
    told = [one.text for one in world.move.run.amiss()]
    assert told == (["always was healthy and is unhealthy"] if ends is ExitCode.AMISS else [])
    assert world.daemon.root == TARGET


def test_what_was_unhealthy_may_stay_so(world: World) -> None:
    with_health(world, "always", "unhealthy")
    assert world.work() is ExitCode.DONE


def test_what_the_engine_does_not_start_is_started_in_the_order_of_before(world: World) -> None:
    """The engine leaves out zeros at the end of a fraction: `.1Z` was before `.12Z`, and `Z` before both."""
    for name, fraction in (("third", ".12"), ("second", ".1"), ("first", "")):
        box = world.daemon.add(name)
        box.container = replace(box.container, started_at=f"2024-01-01T01:00:00{fraction}Z")
    assert world.work() is ExitCode.DONE
    started = [call[1] for call in world.calls.made if call[0] == "engine.start"]
    assert started == ["no", "first", "second", "third"]


def test_a_container_whose_removal_was_agreed_to_is_not_missed(world: World) -> None:
    world.daemon.add("ephemeral", auto_remove=True)
    assert removing(world).work() is ExitCode.DONE
    assert "ephemeral" not in world.daemon.boxes


def removing(world: World) -> World:
    return replace(world, move=replace(world.move, plan=replace(world.move.plan, remove_ephemeral=True)))


def test_a_container_that_would_be_removed_and_does_not_end_stops_the_move_before_the_engine(world: World) -> None:
    """It was started during the copy, when the preflight was over."""
    world.daemon.add("ephemeral", auto_remove=True)
    assert world.work() is ExitCode.ROLLED_BACK
    assert "--rm" in world.outcome["reason"]
    assert "ephemeral" in world.outcome["reason"]
    assert world.daemon.status("ephemeral") is Status.RUNNING
    assert not [call for call in world.calls.made if call[0] == "stop"]


def test_a_job_with_rm_that_ends_meanwhile_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.waiting(ephemeral=10.0)
    world.daemon.add("job", auto_remove=True)
    Timer(0.3, world.daemon.remove, ["job"]).start()
    assert world.work() is ExitCode.DONE


def test_another_relocator_is_not_waited_for(world: World) -> None:
    box = world.daemon.add("status", auto_remove=True)
    box.container = replace(box.container, is_relocator=True)
    assert world.work() is ExitCode.DONE


def test_the_anonymous_volume_of_a_removed_container_is_not_missed(world: World) -> None:
    world.daemon.add("ephemeral", auto_remove=True, anonymous_volume="0123456789abcdef" * 4)
    assert removing(world).work() is ExitCode.DONE
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
    world.unproven()
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


def test_a_container_that_does_not_come_back_is_named_and_keeps_no_other_from_it(world: World) -> None:
    world.daemon.add("broken", starts=False, code_at_stop=1)
    world.daemon.add("later")
    assert world.work() is ExitCode.AMISS
    assert [one.text for one in world.move.run.amiss()] == ["broken was running and is exited (exit code 1)"]
    assert world.daemon.root == TARGET
    assert {name for name in world.daemon.boxes if world.daemon.status(name) is Status.RUNNING} == {
        "no", "always", "unless-stopped", "later",
    }  # fmt: skip

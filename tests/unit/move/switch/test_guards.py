"""What is asked again before each step that can do harm, and what a step that goes back must not leave behind."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.copy.copier import identity
from entrypoint.host.services import dependents
from entrypoint.host.services.ordering import ordering_drop_in
from entrypoint.host.services.units import UnitState
from entrypoint.move.steps import STEPS
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world

FOREIGN = b'{"debug": false}\n'


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


# --- before the engine is stopped -----------------------------------------------------------------------------------


def test_an_engine_on_another_root_than_planned_is_not_stopped(world: World) -> None:
    world.daemon.root = "/srv/others"
    assert world.work() in (ExitCode.ROLLED_BACK, ExitCode.BROKEN)
    assert world.outcome["reason"] == f"The engine runs on /srv/others by now, not on {DEFAULT_ROOT}."
    assert not any(call[0] == "stop" for call in world.calls.made)
    assert world.path(CONFIG).read_bytes() == CONTENT
    assert world.daemon.up


@pytest.mark.parametrize("edit", [lambda place: place.write_bytes(FOREIGN), lambda place: place.unlink()])
def test_a_configuration_that_was_edited_meanwhile_ends_the_move_before_the_stop(
    world: World, edit: Callable[[Path], object]
) -> None:
    edit(world.path(CONFIG))
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "freeze"
    assert world.outcome["reason"].startswith(f"{CONFIG} was changed by somebody else during the move.")
    assert not any(call[0] == "stop" for call in world.calls.made)


# --- the target is where the copy is --------------------------------------------------------------------------------


def unmount(world: World) -> None:
    """An empty directory where the copy was, as when its disk goes."""
    world.path(TARGET).rename(world.path(TARGET).parent / "gone")
    world.path(TARGET).mkdir()


def test_a_target_that_went_before_the_final_sync_is_not_written_to(world: World) -> None:
    world.calls.moments["stop"] = lambda: unmount(world)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "final sync"
    assert world.outcome["reason"].startswith("The target is not the directory that was copied to.")
    assert not any(call[0] == "final_sync" for call in world.calls.made)
    assert world.daemon.root == DEFAULT_ROOT


def test_a_target_that_went_before_the_check_does_not_pass_it(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: unmount(world)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "check the copy"
    assert world.path(CONFIG).read_bytes() == CONTENT


def test_a_target_that_went_before_the_switch_is_not_switched_to(world: World) -> None:
    elsewhere = world.path("/srv/elsewhere")
    shutil.copytree(world.path(TARGET), elsewhere)
    world.move = replace(world.move, copied=(replace(world.move.copied[0], target=identity(elsewhere)),))
    without = [step for step in STEPS if step.name not in ("final sync", "check the copy")]
    assert world.work(without) is ExitCode.ROLLED_BACK
    assert world.outcome["failed_in"] == "switch"
    assert (world.path(CONFIG).read_bytes(), world.path(DROP_IN).exists()) == (CONTENT, False)


# --- the drop-in is ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [b"", b"[Unit]\nAssertDirectoryNotEmpty=/mnt/gone\n"])
def test_a_drop_in_that_was_left_there_is_written_over_and_does_not_come_back(world: World, left: bytes) -> None:
    world.path(DROP_IN).parent.mkdir(parents=True)
    world.path(DROP_IN).write_bytes(left)
    seen: list[bytes] = []
    world.calls.moments["start"] = lambda: seen.append(world.path(DROP_IN).read_bytes())
    world.unproven()
    assert world.work() is ExitCode.ROLLED_BACK
    assert seen == [world.move.plan.ordering.after]
    assert not world.path(DROP_IN).exists()


def test_the_drop_in_for_the_source_comes_back(world: World) -> None:
    before = ordering_drop_in(PurePosixPath(DEFAULT_ROOT))
    ordering = replace(world.move.plan.ordering, before=before, created=())
    world.move = replace(world.move, plan=replace(world.move.plan, ordering=ordering))
    world.path(DROP_IN).parent.mkdir(parents=True)
    world.path(DROP_IN).write_bytes(before)
    world.unproven()
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.path(DROP_IN).read_bytes() == before


def test_no_drop_in_is_written_beside_a_configuration_that_others_have_edited(world: World) -> None:
    seen: list[bool] = []
    world.calls.moments["final_sync"] = lambda: world.path(CONFIG).write_bytes(FOREIGN)
    world.calls.moments["reset_failed"] = lambda: seen.append(world.path(DROP_IN).parent.exists())
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["failed_in"], seen) == ("switch", [False])
    assert world.path(CONFIG).read_bytes() == FOREIGN


# --- going back without a stop, or with a file that cannot be put back ----------------------------------------------


def test_an_engine_that_cannot_be_stopped_keeps_the_configuration_it_runs_with(world: World) -> None:
    world.unproven()
    world.calls.failures.add(8)  # the stop
    assert world.work() is ExitCode.BROKEN
    assert world.daemon.root == TARGET
    assert world.path(CONFIG).read_bytes() == world.move.plan.first.switch.after
    assert world.path(DROP_IN).read_bytes() == world.move.plan.ordering.after
    assert any(
        problem.startswith(f"switch: The engine could not be stopped and runs on {TARGET}.")
        for problem in world.outcome["problems"]
    )
    assert world.path(f"{TARGET}/late").exists()


def test_a_configuration_that_goes_on_naming_the_target_keeps_its_drop_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_edit: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("entrypoint.settings.edits.restore", refuse)
    world.unproven()
    assert world.work() is ExitCode.BROKEN
    assert world.path(CONFIG).read_bytes() == world.move.plan.first.switch.after
    assert world.path(DROP_IN).read_bytes() == world.move.plan.ordering.after


def test_files_that_are_right_already_are_not_written_when_going_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(place: Path, *_content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("entrypoint.settings.edits.atomic_write", full)
    assert world.work() is ExitCode.ROLLED_BACK
    assert (world.outcome["failed_in"], world.outcome["problems"]) == ("switch", [])
    world.require_untouched()


# --- what stops along, and what only tidies -------------------------------------------------------------------------

ALONG = ("app.service", "web.service")


@pytest.fixture
def accompanied(world: World) -> World:
    world.systemd.dependents = {SERVICE: ALONG[:1], ALONG[0]: (*ALONG[1:], SERVICE, "idle.service")}
    world.systemd.states |= dict.fromkeys(ALONG, UnitState.ACTIVE)
    plan = replace(world.move.plan, dependents=dependents.active(world.systemd, (SOCKET, SERVICE)))
    return replace(world, move=replace(world.move, plan=plan))


def test_what_runs_and_stops_along_is_found_through_however_many_units(accompanied: World) -> None:
    assert accompanied.move.plan.dependents == ALONG


def test_what_waits_to_be_started_is_found_and_nobody_waits_for_it(accompanied: World) -> None:
    """It may wait for what called us; systemd is told at the very end, and does it when it can (safety_net.py)."""
    systemd = accompanied.systemd
    systemd.states |= {"app.service": UnitState.ACTIVATING, "web.service": UnitState.INACTIVE}
    systemd.queued = {"web.service", "idle.service"}
    found = dependents.awaited(systemd, (SOCKET, SERVICE))
    assert (sorted(found), dependents.active(systemd, (SOCKET, SERVICE))) == (
        ["app.service", "idle.service", "web.service"],
        (),
    )
    plan = replace(accompanied.move.plan, dependents=(), awaited=found)
    world = replace(accompanied, move=replace(accompanied.move, plan=plan))
    assert world.work() is ExitCode.DONE
    assert not {one for call in world.calls.made if call[0] == "start" for one in call[1:]} & set(found)


@pytest.mark.parametrize(("failing", "code"), [(False, ExitCode.DONE), (True, ExitCode.ROLLED_BACK)])
def test_what_stopped_along_runs_again(accompanied: World, failing: bool, code: ExitCode) -> None:
    stopped: list[UnitState] = []
    accompanied.calls.moments["final_sync"] = lambda: stopped.extend(accompanied.systemd.states[one] for one in ALONG)
    if failing:
        accompanied.unproven()
    assert accompanied.work() is code
    assert stopped == [UnitState.INACTIVE, UnitState.INACTIVE]
    assert [accompanied.systemd.states[one] for one in ALONG] == [UnitState.ACTIVE, UnitState.ACTIVE]


def test_a_unit_that_does_not_start_again_is_named_and_keeps_no_other_down(accompanied: World) -> None:
    accompanied.systemd.unwilling = {ALONG[0]}
    assert accompanied.work() is ExitCode.AMISS
    assert [one.text for one in accompanied.move.run.amiss()] == [f"{ALONG[0]} was active and is inactive"]
    assert [accompanied.systemd.states[one] for one in ALONG] == [UnitState.INACTIVE, UnitState.ACTIVE]


def test_a_reload_that_fails_after_the_proof_takes_nothing_back(world: World) -> None:
    world.calls.failures.add(9)
    assert world.work() is ExitCode.DONE
    assert world.calls.made[-1] == ("reload",)
    assert (world.outcome["outcome"], world.daemon.root) == ("committed", TARGET)

"""What a verdict says stays true: what was not proven is not forgotten, and what others did is left to them."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.commands.status.status import of_run
from entrypoint.console.errors import EngineError, ExitCode
from entrypoint.engine.holdings import whole
from entrypoint.engine.inventory import Inventory, Status
from entrypoint.host.services.units import UnitState
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Run
from entrypoint.move import recovery
from entrypoint.move.proof import restart, verify
from tests.unit.move.test_settle import cut_off_at, settle, world
from tests.unit.support.world import TARGET, World, make_world

__all__ = ["world"]  # the fixture


def test_a_container_that_somebody_has_started_meanwhile_is_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, monkeypatch)
    world.daemon.add("job", Status.EXITED, policy="no")
    start = world.daemon.start

    def start_and_be_used() -> None:
        start()
        world.daemon.set_status("job", Status.RUNNING)
        world.daemon.act("container", "start", "job")

    world.daemon.start = start_and_be_used  # type: ignore[method-assign]
    assert world.work() is ExitCode.DONE
    assert world.daemon.status("job") is Status.RUNNING


def test_what_could_not_be_proven_is_proven_by_the_next_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(engine: object, before: object, patience: object) -> None:
        raise EngineError("The Docker engine did not answer as expected.", details="Read timed out.")

    with monkeypatch.context() as patch:
        patch.setattr(restart, "await_node", fails)
        assert world.work() is ExitCode.AMISS
        settle(world)
        assert of_run(world.move.run, busy=False).exit_code is ExitCode.AMISS
    settle(world)
    assert of_run(world.move.run, busy=False).exit_code is ExitCode.DONE
    assert world.daemon.status("no") is Status.RUNNING


def test_another_driver_is_not_forgotten_by_a_status(world: World) -> None:
    start = world.daemon.start

    def start_with_another() -> None:
        start()
        world.daemon.driver = "vfs"

    world.daemon.start = start_with_another  # type: ignore[method-assign]
    assert world.work() is ExitCode.AMISS
    settle(world)
    assert of_run(world.move.run, busy=False).exit_code is ExitCode.AMISS


def test_what_does_not_run_long_after_a_power_cut_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off_at(world, "start.done")
    world.daemon.set_status("no", Status.EXITED)
    world.daemon.boxes["no"].exit_code = 137
    monkeypatch.setattr(recovery, "LONG_AGO", -1)
    settle(world)
    assert any("no was running" in one for one in of_run(world.move.run, busy=False).amiss)


def test_a_part_that_is_a_link_of_an_administrators_is_not_called_incomplete(tmp_path: Path) -> None:
    """dockerd follows it on the host; from here it leads elsewhere."""
    root = tmp_path / "var/lib/docker"
    root.mkdir(parents=True)
    (root / "volumes").symlink_to("/bigdisk/volumes")
    held = Inventory("ID", "overlay2", "graphdriver", (), {}, {"data": "local"}, {}, {})
    assert whole.missing(held, whole.Roots(root)) == ()
    (root / "volumes").unlink()
    assert [one.name for one in whole.missing(held, whole.Roots(root))] == ["data"]


def fill_the_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the start of the engine on no record can be written; what is returned makes room again."""
    full, append = [False], Run._append

    def refusing(run: Run, line: bytes) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(run, line)

    monkeypatch.setattr(Run, "_append", refusing)
    world.calls.moments["start"] = lambda: full.__setitem__(0, True)
    return lambda: full.__setitem__(0, False)


def another(world: World) -> World:
    """As another process sees it, which knows what is written, and nothing else."""
    journal = Journal(world.host)
    return replace(world, journal=journal, move=replace(world.move, run=journal.run(world.move.run.number)))


def test_what_does_not_stand_is_told_by_the_code_though_no_record_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = world.daemon.add("broken", starts=False, code_at_stop=1)
    empty_again = fill_the_disk(world, monkeypatch)
    assert world.work() is ExitCode.AMISS
    assert [one.text for one in world.move.run.amiss()] == ["broken was running and is exited (exit code 1)"]
    for process in (another(world), another(world)):
        assert process.move.run.amiss() == ()
        assert recovery.settle(process.context, stops=False) is ExitCode.AMISS
        assert of_run(process.move.run, busy=False).exit_code is ExitCode.AMISS
    empty_again()
    box.starts = True
    assert recovery.settle(another(world).context, stops=False) is ExitCode.DONE
    assert of_run(another(world).move.run, busy=False).exit_code is ExitCode.DONE


def test_a_good_move_is_told_as_good_though_no_record_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_disk(world, monkeypatch)
    assert world.work() is ExitCode.DONE
    process = another(world)
    assert recovery.settle(process.context, stops=False) is ExitCode.DONE
    assert of_run(process.move.run, busy=False).exit_code is ExitCode.DONE
    assert world.daemon.root == TARGET


def test_what_could_not_be_written_is_brought_along_by_the_next_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last record would say that the move was good."""
    world.daemon.add("broken", starts=False, code_at_stop=1)
    refused: list[bytes] = []
    append = Run._append

    def once(run: Run, line: bytes) -> None:
        if b'"amiss"' in line and not refused:
            refused.append(line)
            raise OSError(errno.ENOSPC, "No space left on device")
        append(run, line)

    monkeypatch.setattr(Run, "_append", once)
    assert world.work() is ExitCode.AMISS
    assert of_run(another(world).move.run, busy=False).exit_code is ExitCode.AMISS
    assert len(refused) == 1


def test_what_was_noted_counts_though_the_last_record_is_missing(world: World) -> None:
    world.daemon.add("broken", starts=False, code_at_stop=1)
    cut_off_at(world, "verify.recorded")
    assert of_run(world.move.run, busy=False).exit_code is ExitCode.AMISS


@pytest.mark.parametrize(
    ("state", "has_process", "is_waited_for"),
    [
        (UnitState.ACTIVE, True, True),  # `docker run`, which makes it anew when it ends
        (UnitState.ACTIVATING, False, True),  # between two starts
        (UnitState.ACTIVE, False, False),  # it has brought its containers up, and is done
        (UnitState.FAILED, False, False),
    ],
)
def test_a_container_is_left_to_a_unit_that_will_start_it(
    world: World, state: UnitState, has_process: bool, is_waited_for: bool
) -> None:
    world.systemd.states["own.service"] = state
    if has_process:
        world.systemd.properties["own.service"] = {}
    move = replace(world.move, plan=replace(world.move.plan, owners={"no": "own.service"}))
    assert verify.is_its_owners(move, "no") is is_waited_for
    assert not verify.is_its_owners(move, "always")

"""A clock that was set hides what changes: everything is copied again before the engine is stopped, and only then."""

import ctypes
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.pace import timer
from entrypoint.host.disks.stored import to_json
from entrypoint.journal.record import Event
from entrypoint.move import recovery
from entrypoint.move.worker import handover
from tests.unit.support.world import World, make_world, make_world_of_two

Set = Callable[[], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Set:
    """What the kernel does to the timer when somebody sets the clock, twice: back, and forward again."""
    handles: list[int] = []
    pending: set[int] = set()

    def armed(real: Callable[[], int] = timer.armed) -> int:
        handles.append(real())
        return handles[-1]

    def read(handle: int, length: int, real: Callable[[int, int], bytes] = os.read) -> bytes:
        if handle in pending:
            pending.discard(handle)  # the kernel tells it each once, however often it was
            raise OSError(errno.ECANCELED, "Operation canceled")
        return real(handle, length)

    monkeypatch.setattr(timer, "armed", armed)
    monkeypatch.setattr(os, "read", read)
    return lambda: pending.update(handles)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_clock: Set) -> World:
    return make_world(tmp_path, monkeypatch)


def order(world: World) -> list[str]:
    """Copies and the engine's stop, in their order."""
    return [call[0] for call in world.calls.made if call[0] in ("again", "stop", "final_sync")]


def test_the_kernel_is_asked_for_a_timer_that_is_cancelled_when_the_clock_is_set() -> None:
    handle = timer.armed()
    told = Path(f"/proc/self/fdinfo/{handle}").read_text()
    with pytest.raises(BlockingIOError):  # armed, and neither over nor cancelled
        os.read(handle, timer.EXPIRATIONS)
    assert not os.get_inheritable(handle)
    os.close(handle)
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    assert lines["clockid"].strip() == "0"  # CLOCK_REALTIME
    assert int(lines["settime flags"], 8) == timer.ABSOLUTE | timer.CANCEL_ON_SET
    assert int(lines["it_value"].strip(" ()").split(",")[0]) > 10**8


def test_a_kernel_without_such_timers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def timerfd_create(self, *_: object) -> int:
            ctypes.set_errno(errno.ENOSYS)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_options: Old())
    with pytest.raises(OSError, match="implemented"):
        timer.armed()


def test_each_setting_is_counted_once_and_remembered(set_clock: Set) -> None:
    watch = timer.Watch()
    assert watch.count() == 0
    set_clock()
    assert [watch.count(), watch.count()] == [1, 1]


def test_after_a_setting_no_time_is_trusted(set_clock: Set) -> None:
    copied = Copied(frozenset(), 0.0, 0.0).begin_again()
    assert copied.racy_since() > 0
    set_clock()
    assert copied.clock_was_set
    assert copied.racy_since() == 0.0
    again = copied.begin_again()
    assert not again.clock_was_set
    assert again.racy_since() > 0


def test_with_the_engine_down_a_setting_hides_nothing_any_more(set_clock: Set) -> None:
    copied = Copied(frozenset(), 0.0, 0.0).begin_again()
    settled = copied.settle()
    set_clock()
    assert settled.racy_since() == settled.settled
    assert copied.settle().racy_since() == 0.0


def test_a_clock_that_nobody_sets_costs_nothing(world: World) -> None:
    assert world.work() is ExitCode.DONE
    assert order(world) == ["stop", "final_sync"]


def test_a_clock_that_is_set_before_the_freeze_has_everything_copied_with_the_engine_up(
    world: World, set_clock: Set
) -> None:
    set_clock()
    assert world.work() is ExitCode.DONE
    assert order(world) == ["again", "stop", "final_sync"]


@pytest.mark.parametrize("told", [{"clock_set": True}, {}])
def test_the_front_tells_of_a_clock_that_was_set_before_the_worker_listened(
    world: World, told: dict[str, bool]
) -> None:
    """Or says nothing of it, as an older one would."""
    world.move.run.append(Event.HANDED_OVER, unit=handover.UNIT, **told)
    assert world.work() is ExitCode.DONE
    assert order(world)[0] == "again"


def test_a_front_that_did_not_live_to_tell_is_taken_for_one_that_saw_it(world: World) -> None:
    world.move.run.file.unlink()
    world.move.run.begun(source="/a", target="/b")
    assert world.work() is ExitCode.DONE
    assert order(world)[0] == "again"


def test_the_worker_listens_before_it_says_that_it_is_there(
    world: World, monkeypatch: pytest.MonkeyPatch, set_clock: Set
) -> None:
    """From what it has read on, not from what the front has counted."""
    stored = to_json([replace(world.move.copied[0], sets=7)])
    world.move.run.save_plan({"plan": to_json(world.move.plan), "copied": stored, "ours": []})
    monkeypatch.setattr(recovery, "our_containers", frozenset)
    loaded = recovery.load(world.context, world.move.run)
    set_clock()
    assert loaded.copied[0].clock_was_set
    assert not recovery.load(world.context, world.move.run).copied[0].clock_was_set


def test_both_roots_are_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_clock: Set) -> None:
    world = make_world_of_two(tmp_path, monkeypatch)
    set_clock()
    assert world.work() is ExitCode.DONE
    assert order(world)[:2] == ["again", "again"]


def test_a_clock_that_is_set_during_each_copy_ends_the_move_with_the_engine_up(
    world: World, set_clock: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(_copier: Copier, copied: Copied) -> Copied:
        set_clock()
        return copied

    monkeypatch.setattr(type(world.move.copier(world.move.plan.first)), "again", again)
    set_clock()
    assert world.work() is ExitCode.ROLLED_BACK
    assert "set again and again" in world.outcome["reason"]
    assert "stop" not in order(world)
    world.require_untouched()

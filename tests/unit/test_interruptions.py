"""No signal, no bug in an undo and no full journal keeps a move from going back whole, or takes back a good one."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrypoint import migration, status
from entrypoint.errors import CopyError, ExitCode, JournalError
from entrypoint.journal import Event, Run
from entrypoint.log import Phase
from entrypoint.status import State
from entrypoint.steps import STEPS, Move, Step
from entrypoint.systemd import Systemd, Unit
from tests.unit.world import TARGET, World, make_world

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


@pytest.fixture
def received() -> Iterator[list[int]]:
    """The signals that came through to this process's own handlers, which are put back afterwards."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: seen.append(number)) for number in SIGNALS}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass
class Last(Step):
    """A last step that fails, and whose undo does something else besides."""

    failure: BaseException | None = None
    numbers: tuple[int, ...] = ()
    name: Phase = Phase.VERIFY

    def apply(self, move: Move) -> None:
        raise CopyError("injected")

    def undo(self, move: Move) -> None:
        for number in self.numbers:
            os.kill(os.getpid(), number)
        if self.failure:
            raise self.failure


# --- signals --------------------------------------------------------------------------------------------------------


def test_no_signal_comes_through_while_a_move_goes_back(world: World, received: list[int]) -> None:
    assert world.work([*STEPS[:-1], Last(numbers=SIGNALS)]) is ExitCode.ROLLED_BACK
    assert received == []
    world.require_untouched()


def test_signals_come_through_again_afterwards(world: World, received: list[int]) -> None:
    world.work([*STEPS[:-1], Last()])
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert received == list(SIGNALS)


@pytest.mark.parametrize("failure", [None, KeyboardInterrupt(), ValueError("a bug")], ids=repr)
def test_the_handlers_of_before_are_put_back_however_the_block_ends(
    received: list[int], failure: BaseException | None
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    try:
        with migration.ignored_signals():
            assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_IGN] * 3
            if failure:
                raise failure
    except BaseException as raised:
        assert raised is failure
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert received == []


# --- an undo that ends in any way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), SystemExit(1), ValueError("a bug"), OSError(28, "No space")], ids=repr
)
def test_whatever_an_undo_raises_the_others_are_undone(world: World, failure: BaseException) -> None:
    assert world.work([*STEPS[:-1], Last(failure)]) is ExitCode.BROKEN
    assert world.outcome["problems"] == [f"verify: {type(failure).__name__}: {failure}"]
    assert world.events("undone") == [step.name for step in reversed(STEPS[:-1])]
    world.require_untouched()


# --- a journal that is full -----------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Event) -> None:
    append = Run.append

    def full(run: Run, event: Event, **facts: Any) -> None:
        if event == refused:
            raise JournalError("The journal cannot be written.")
        append(run, event, **facts)

    monkeypatch.setattr(Run, "append", full)


def test_a_committed_move_stays_committed_without_its_last_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, Event.OUTCOME)
    assert world.work() is ExitCode.DONE
    assert world.daemon.root == TARGET
    found = status.of_run(world.move.run, busy=False)
    assert (found.state, found.exit_code) == (State.COMMITTED, ExitCode.DONE)


def test_a_move_goes_back_without_its_last_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, Event.OUTCOME)
    world.calls.failures.add(3)
    assert world.work() is ExitCode.ROLLED_BACK
    assert status.of_run(world.move.run, busy=False).state is State.CUT_OFF
    assert world.daemon.up


def test_a_worker_that_cannot_say_it_is_there_ends_in_good_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, Event.TOOK_OVER)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.calls.made == []
    assert (world.outcome["outcome"], world.outcome["failed_in"]) == ("rolled-back", "hand-over")
    world.require_untouched()


@pytest.mark.parametrize("refused", [Event.INTENT, Event.DONE])
def test_a_step_that_cannot_be_recorded_is_not_gone_on_from(
    world: World, monkeypatch: pytest.MonkeyPatch, refused: Event
) -> None:
    refuse(monkeypatch, refused)
    assert world.work() is ExitCode.ROLLED_BACK
    assert world.outcome["reason"] == "The journal cannot be written."
    world.require_untouched()


# --- systemd --------------------------------------------------------------------------------------------------------


class Endless(Systemd):
    """Asked for a unit, it waits for an answer that never comes, and is interrupted while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    async def _unit(self, name: str) -> Unit:
        if self.told:
            await asyncio.sleep(0)  # whatever is pending has its turn
            return Unit(name, "loaded", "active", "success", 0, "", ())  # type: ignore[arg-type]
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.told.append("ended")
        raise AssertionError("it went on")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_call_that_was_interrupted_does_not_go_on_behind_the_next() -> None:
    with closing(Endless()) as systemd:
        with pytest.raises(KeyboardInterrupt):
            systemd.unit("a.service")
        assert systemd.told == ["ended"]
        assert systemd.unit("b.service").name == "b.service"
        assert systemd.told == ["ended"]

"""No signal, no bug in an undo and no full journal keeps a move from going back whole, or takes back a good one."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from entrypoint.commands.status import status
from entrypoint.commands.status.state import State
from entrypoint.console.errors import CopyError, ExitCode, HostCommandError, JournalError, SystemdError
from entrypoint.console.events import Phase
from entrypoint.engine.inventory import Status
from entrypoint.host.children import Result
from entrypoint.host.host import Host
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.systemd import Systemd
from entrypoint.host.services.units import Unit
from entrypoint.host.signals import Signals
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Run
from entrypoint.move.context import Move, copier_of
from entrypoint.move.steps import STEPS, Step
from entrypoint.move.worker import arrival, worker
from tests.unit.move.dying.test_crash_points import Deadly, Killed, safety_net
from tests.unit.support.fakes import make_host
from tests.unit.support.world import TARGET, World, make_plan, make_world

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch).serving_nobody()


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
    raised: BaseException = field(default_factory=lambda: CopyError("injected"))

    def apply(self, move: Move) -> None:
        raise self.raised

    def undo(self, move: Move) -> None:
        for number in self.numbers:
            os.kill(os.getpid(), number)
        if self.failure:
            raise self.failure


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ignored", [True, False])
@pytest.mark.usefixtures("received")
def test_a_hangup_that_is_ignored_already_stays_so(ignored: bool) -> None:
    """As with nohup: who has it so wants the work to outlive the session."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    signals = Signals()
    signals.install()
    assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signals.interrupt)
    assert signal.getsignal(signal.SIGTERM) == signals.interrupt


def test_no_signal_comes_through_while_a_move_goes_back(world: World, received: list[int]) -> None:
    assert world.work([*STEPS[:-1], Last(numbers=SIGNALS)]) is ExitCode.ROLLED_BACK
    assert received == []
    world.require_untouched()


@pytest.mark.parametrize("point", ["switch.written", "start.recorded"])
def test_a_signal_to_the_worker_that_took_over_takes_everything_back(world: World, point: str) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Deadly(point=point).install(patch, world)
        world.work()
    safety_net(world)
    assert world.work([*STEPS[:-1], Last(raised=KeyboardInterrupt())]) is ExitCode.ROLLED_BACK
    world.require_untouched()


def test_a_worker_that_took_over_and_cannot_begin_takes_everything_back(world: World) -> None:
    """The command that handed over again does not go; the engine is on the copy already."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Deadly(point="start.recorded").install(patch, world)
        world.work()
    safety_net(world)
    assert world.work(front=Process.own()) is ExitCode.ROLLED_BACK
    world.require_untouched()


def test_a_signal_after_the_commit_takes_nothing_back(
    world: World, received: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trace(point: str) -> None:
        if point == "commit.recorded":
            for number in SIGNALS:
                os.kill(os.getpid(), number)

    world.traced(monkeypatch, trace)
    assert world.work() is ExitCode.DONE
    assert received == []


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
        with worker.ignored_signals():
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
    assert world.outcome["problems"] == [f"verify: {arrival.told(failure)}"]
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
    assert status.of_run(world.move.run, busy=False).state is State.ROLLED_BACK  # as the worker itself still knows
    assert status.of_run(Journal(world.host).run(world.move.run.number), busy=False).state is State.CUT_OFF
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


def test_a_signal_ends_the_programs_of_every_copy(tmp_path: Path) -> None:
    """Whoever is interrupted must know of all that run."""
    host, plan = make_host(tmp_path), make_plan()
    assert copier_of(host, Run(tmp_path / "run"), plan, plan.first).programs.signals is host.signals


# --- systemd --------------------------------------------------------------------------------------------------------


class Endless(Systemd):
    """Asked for a unit, it waits for an answer that never comes, and is interrupted while it waits."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
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


def test_a_call_that_was_interrupted_does_not_go_on_behind_the_next(tmp_path: Path) -> None:
    with closing(Endless(Host(tmp_path))) as systemd:
        with pytest.raises(KeyboardInterrupt):
            systemd.unit("a.service")
        assert systemd.told == ["ended"]
        assert systemd.unit("b.service").name == "b.service"
        assert systemd.told == ["ended"]


# --- a host that goes down ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instant", ["freeze.stopped", "switch.written", "verify.proven"])
def test_a_host_that_goes_down_is_left_to_its_next_boot(world: World, instant: str) -> None:
    """systemd would refuse to start the engine, and a rollback would fail for that alone."""

    def going_down(point: str) -> None:
        if point == instant:
            world.systemd.stopping = True
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        world.traced(patch, going_down)
        assert world.work() is ExitCode.INTERRUPTED
    assert world.outcome == {}
    assert world.events("undone") == []


@pytest.mark.parametrize(
    ("bus", "state", "code"),
    [
        ("up", "", ExitCode.INTERRUPTED),
        ("down", "stopping", ExitCode.INTERRUPTED),
        ("down", "running", ExitCode.BROKEN),
        ("down", "no answer", ExitCode.BROKEN),
    ],
)
def test_a_host_that_goes_down_during_a_rollback_is_left_to_its_next_boot(
    world: World, bus: str, state: str, code: ExitCode
) -> None:
    """Its bus goes down before systemd does."""

    def refuse(*_: object) -> NoReturn:
        world.systemd.stopping = True
        raise SystemdError("Connection terminated")

    def ask(_host: Host, argv: Sequence[str], **_: object) -> Result:
        if state == "no answer":
            raise HostCommandError("injected")
        return Result(tuple(argv), 1, f"{state}\n", "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.systemd, "start", refuse)
        if bus == "down":
            patch.setattr(world.systemd, "is_stopping", lambda: refuse() if world.systemd.stopping else False)
            patch.setattr(Host, "run", ask)
        assert world.work() is code
    assert (world.outcome == {}) is (code is ExitCode.INTERRUPTED)


def test_containers_are_put_right_again_if_the_engine_crashes_before_the_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts what has `always`, and what was stopped by hand among it."""
    world.daemon.add("stopped-always", Status.EXITED, "always")
    crashes = ["verify.restored"]

    def crash(point: str) -> None:
        if point in crashes:
            crashes.remove(point)
            world.daemon.stop()
            world.daemon.start()

    world.traced(monkeypatch, crash)
    world.waiting(settling=0.1)
    assert world.work() is ExitCode.DONE
    assert world.daemon.status("stopped-always") is Status.EXITED

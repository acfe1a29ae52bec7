"""Who waits for the outcome in a container leaves before its engine is stopped, and the worker lets it."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint import __main__ as composition
from entrypoint.commands import verbs
from entrypoint.commands.status import status, text
from entrypoint.console.errors import ExitCode
from entrypoint.console.events import Phase
from entrypoint.engine.inventory import Container, Status
from entrypoint.host import signals
from entrypoint.host.services.units import UnitState
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.move.context import Context
from entrypoint.move.worker import departure, handover
from tests.unit.support.fakes import Calls, FakeSystemd, make_host

OTHER = Container("id", "other", "image", Status.RUNNING, "no", False, "", is_relocator=True)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(make_host(tmp_path))


@pytest.fixture
def run(journal: Journal) -> Run:
    journal.prepare()
    run = journal.begin()
    run.append(Event.BEGUN, source="/old", target="/new")
    return run


@pytest.fixture
def busy(tmp_path: Path) -> FakeSystemd:
    systemd = FakeSystemd(make_host(tmp_path / "other"), Calls())
    systemd.states[handover.UNIT] = UnitState.ACTIVE
    return systemd


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_engine_goes_from_the_hand_over_to_its_start(journal: Journal, run: Run) -> None:
    assert not departure.is_engine_going(journal)
    for event, step, going in (
        (Event.HANDED_OVER, "", True),
        (Event.TOOK_OVER, "", True),
        (Event.INTENT, Phase.FREEZE, True),
        (Event.DONE, Phase.SWITCH, True),
        (Event.INTENT, Phase.START, False),
        (Event.DONE, Phase.VERIFY, False),
    ):
        run.append(event, step=step)
        assert departure.is_engine_going(journal) is going, (event, step)
        assert departure.is_handed_over(journal)
    run.append(Event.OUTCOME, outcome=Outcome.COMMITTED)
    assert not departure.is_handed_over(journal)


def test_nobody_has_left_a_host_without_a_run(journal: Journal) -> None:
    assert not departure.is_handed_over(journal)
    assert not departure.is_engine_going(journal)


def test_one_who_waits_leaves_with_the_code_and_the_line_to_go_on_with(
    journal: Journal, run: Run, busy: FakeSystemd
) -> None:
    run.append(Event.TOOK_OVER, pid=1)
    found = status.wait(journal, busy)
    assert found.exit_code is ExitCode.HANDED_OVER
    assert handover.outcome_line() in text.text(found)


def test_one_who_looks_during_the_copy_is_told_to_wait(run: Run) -> None:
    found = status.of_run(run, busy=True)
    assert "relocator status --wait" in text.text(found)
    assert "until" not in text.text(found)


@pytest.mark.parametrize(
    ("number", "handed_over", "code", "told"),
    [
        (signal.SIGTERM, True, ExitCode.HANDED_OVER, "until systemctl"),
        (signal.SIGINT, True, ExitCode.INTERRUPTED, "until systemctl"),
        (signal.SIGTERM, False, ExitCode.INTERRUPTED, "Nothing was changed."),
        (signal.SIGINT, False, ExitCode.INTERRUPTED, "Nothing was changed."),
    ],
)
def test_the_engines_stop_is_no_interrupt_by_a_person(
    journal: Journal,
    run: Run,
    busy: FakeSystemd,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    handed_over: bool,
    code: ExitCode,
    told: str,
) -> None:
    if handed_over:
        run.append(Event.HANDED_OVER)

    def waiting(*_: object) -> None:
        os.kill(os.getpid(), number)
        signal.pause()

    monkeypatch.setattr(status, "wait", waiting)
    monkeypatch.setattr(composition, "dispatch", lambda host, _: verbs.await_outcome(Context(host, busy, journal)))
    assert composition.main(["status", "--wait"]) == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("container", "stays"),
    [
        (OTHER, True),
        (replace(OTHER, status=Status.EXITED), False),
        (replace(OTHER, status=Status.EXITED, auto_remove=True), True),
        (replace(OTHER, status=Status.CREATED, auto_remove=True), False),
        (replace(OTHER, is_relocator=False), False),
        (replace(OTHER, id="ours"), False),
    ],
)
def test_the_worker_waits_for_others_of_its_image(container: Container, stays: bool) -> None:
    assert bool(list(departure.staying([container], frozenset({"ours"})))) is stays

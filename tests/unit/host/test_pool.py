"""However a block of threads ends, none is left, and no program that one of them was about to start."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.host.signals import SIGNALS, Signals

LONG = ["sleep", "60"]


@pytest.fixture(autouse=True)
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    made = Signals()
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt_ourselves() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_that_comes_while_a_thread_is_started_leaves_no_program(
    signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor does not know of that thread yet, and would not wait for it."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        interrupt_ourselves()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), signals.pool(2) as threads:
        for _ in range(4):
            threads.submit(signals.children.run, LONG, timeout=None)
    assert time.monotonic() - began < 30
    assert signals.children.named("sleep") == []
    assert threading.active_count() == 1


def test_a_program_that_is_started_after_the_others_were_ended_is_ended_too(signals: Signals) -> None:
    go, gone = threading.Event(), threading.Event()

    def late() -> None:
        gone.set()
        go.wait()
        signals.children.run(LONG, timeout=None)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), signals.pool(2) as threads:
        threads.submit(late)
        gone.wait()
        interrupt_ourselves()  # which is ignored from here on, by what is started too
        threading.Timer(0.3, go.set).start()
        raise CopyError("injected")
    assert time.monotonic() - began < 30
    assert signals.children.named("sleep") == []


def test_a_failure_ends_what_else_runs(signals: Signals) -> None:
    began = time.monotonic()
    with pytest.raises(CopyError, match="injected"), signals.pool(2) as threads:
        threads.submit(signals.children.run, LONG, timeout=None)
        raise CopyError("injected")
    assert time.monotonic() - began < 30


def test_an_interrupt_outlives_the_failure_it_causes(signals: Signals) -> None:
    """A cp that is ended by the signal fails, and that must not be told as a failed copy."""
    with pytest.raises(KeyboardInterrupt), signals.pool(1) as threads:
        future = threads.submit(signals.children.run, LONG, timeout=None)
        while not signals.children.named("sleep"):
            time.sleep(0.01)
        interrupt_ourselves()
        future.result()


def test_a_held_interrupt_is_raised_where_it_may_be(signals: Signals) -> None:
    passed = []
    with pytest.raises(KeyboardInterrupt), signals.held(), signals.held():
        interrupt_ourselves()
        passed.append("here")
        signals.check()
        passed.append("there")
    assert passed == ["here"]
    signals.check()  # it is over with


def test_without_a_block_an_interrupt_is_raised_at_once(signals: Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt_ourselves()
        time.sleep(1)
    signals.check()


def test_what_the_threads_return_comes_back(signals: Signals) -> None:
    with signals.pool(2) as threads:
        futures = [threads.submit(pow, number, 2) for number in range(10)]
    assert [future.result() for future in futures] == [number**2 for number in range(10)]

"""However a block of threads ends, none is left, and no program that one of them was about to start."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.host import host, signals
from entrypoint.host.signals import SIGNALS, check, held, pool

LONG = ["sleep", "60"]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signals.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt_ourselves() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_that_comes_while_a_thread_is_started_leaves_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor does not know of that thread yet, and would not wait for it."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        interrupt_ourselves()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), pool(2) as threads:
        for _ in range(4):
            threads.submit(host.run, LONG, timeout=None)
    assert time.monotonic() - began < 30
    assert host.children("sleep") == []
    assert threading.active_count() == 1


def test_a_program_that_is_started_after_the_others_were_ended_is_ended_too() -> None:
    go, gone = threading.Event(), threading.Event()

    def late() -> None:
        gone.set()
        go.wait()
        host.run(LONG, timeout=None)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), pool(2) as threads:
        threads.submit(late)
        gone.wait()
        interrupt_ourselves()  # which is ignored from here on, by what is started too
        threading.Timer(0.3, go.set).start()
        raise CopyError("injected")
    assert time.monotonic() - began < 30
    assert host.children("sleep") == []


def test_a_failure_ends_what_else_runs() -> None:
    began = time.monotonic()
    with pytest.raises(CopyError, match="injected"), pool(2) as threads:
        threads.submit(host.run, LONG, timeout=None)
        raise CopyError("injected")
    assert time.monotonic() - began < 30


def test_an_interrupt_outlives_the_failure_it_causes() -> None:
    """A cp that is ended by the signal fails, and that must not be told as a failed copy."""
    with pytest.raises(KeyboardInterrupt), pool(1) as threads:
        future = threads.submit(host.run, LONG, timeout=None)
        while not host.children("sleep"):
            time.sleep(0.01)
        interrupt_ourselves()
        future.result()


def test_a_held_interrupt_is_raised_where_it_may_be() -> None:
    passed = []
    with pytest.raises(KeyboardInterrupt), held(), held():
        interrupt_ourselves()
        passed.append("here")
        check()
        passed.append("there")
    assert passed == ["here"]
    check()  # it is over with


def test_without_a_block_an_interrupt_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt_ourselves()
        time.sleep(1)
    check()


def test_what_the_threads_return_comes_back() -> None:
    with pool(2) as threads:
        futures = [threads.submit(pow, number, 2) for number in range(10)]
    assert [future.result() for future in futures] == [number**2 for number in range(10)]

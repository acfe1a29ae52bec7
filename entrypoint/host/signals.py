"""What a signal does to us: the first ends the programs that run for us, and then the work, in good order.

KeyboardInterrupt comes between any two instructions. Where threads are at work it can come while one is being started:
nobody would wait for that one then, and its cp would go on writing into a target that is being removed. There a signal
is held until a place where it does no harm.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from entrypoint.host.host import end_children

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")
GRACE = 0.1  # seconds between two attempts to end what still runs


@dataclass
class State:
    """How many blocks hold signals, whether one has come meanwhile, and which came first."""

    held: int = 0
    came: bool = False
    number: int = 0


_state = State()


def install() -> None:
    for number in SIGNALS:
        signal.signal(number, interrupt)


def interrupt(received: int, _frame: FrameType | None) -> None:
    """A second signal while the first is being followed is ignored."""
    _state.number = received
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_children()
    if not _state.held:
        raise KeyboardInterrupt
    _state.came = True


def is_ended_from_outside() -> bool:
    """Whether what came is what an engine sends to a container that it stops; a person's keyboard sends another."""
    return _state.number == signal.SIGTERM


@contextmanager
def held() -> Iterator[None]:
    """Raise no interrupt in the block but by `check`; one that came is raised at its end, whatever failed by it."""
    _state.held += 1
    try:
        yield
    except BaseException as failure:
        if _released():
            raise KeyboardInterrupt from failure
        raise
    if _released():
        raise KeyboardInterrupt


def check() -> None:
    """Raise the interrupt that was held, if one was."""
    if _state.came:
        raise KeyboardInterrupt


def _released() -> bool:
    """Whether a signal came while any block held it, now that the last does not any more."""
    _state.held -= 1
    came = _state.came and not _state.held
    if came:
        _state.came = False
    return came


@dataclass
class Pool:
    """Threads for programs that copy or compare."""

    threads: ThreadPoolExecutor
    _open: "set[Future[Any]]" = field(default_factory=set)

    def submit(self, job: Callable[..., T], *arguments: object, **named: object) -> "Future[T]":
        check()
        future = self.threads.submit(job, *arguments, **named)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def end(self) -> None:
        """Begin nothing more, and end what runs: a program of hours would be waited for otherwise."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        while wait(list(self._open), GRACE).not_done:
            # Again and again: one that was just being started has not heard the last. And with a signal that none can
            # ignore: what was started after an interrupt has inherited that the others are.
            end_children(signal.SIGKILL)


@contextmanager
def pool(workers: int | None = None) -> Iterator[Pool]:
    """Threads of which none is left after the block. If the block fails, what they run is ended."""
    with held(), ThreadPoolExecutor(workers) as threads:
        one = Pool(threads)
        try:
            yield one
        except BaseException:
            one.end()
            raise

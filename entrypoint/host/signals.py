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

from entrypoint.host.children import Children

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")
GRACE = 0.1  # seconds between two attempts to end what still runs


@dataclass
class Signals:
    """What a signal does to one work: how many blocks hold it, whether one has come meanwhile, and which came first.

    `children` are the programs that it ends, in whichever thread.
    """

    children: Children = field(default_factory=Children)
    _held: int = 0
    _came: bool = False
    _number: int = 0

    def install(self) -> None:
        """From here on the signals of this process are these; a hangup that is ignored, as by nohup(1), stays so."""
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.interrupt)

    def interrupt(self, received: int, _frame: FrameType | None) -> None:
        """A second signal while the first is being followed is ignored."""
        self._number = received
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self.children.end()
        if not self._held:
            raise KeyboardInterrupt
        self._came = True

    def is_ended_from_outside(self) -> bool:
        """Whether what came is what an engine sends to a container that it stops; a person's keyboard sends another."""
        return self._number == signal.SIGTERM

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise no interrupt in the block but by `check`; one that came is raised at its end, whatever failed by it."""
        self._held += 1
        try:
            yield
        except BaseException as failure:
            if self._released():
                raise KeyboardInterrupt from failure
            raise
        if self._released():
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise the interrupt that was held, if one was."""
        if self._came:
            raise KeyboardInterrupt

    def _released(self) -> bool:
        """Whether a signal came while any block held it, now that the last does not any more."""
        self._held -= 1
        came = self._came and not self._held
        if came:
            self._came = False
        return came

    @contextmanager
    def pool(self, workers: int | None = None) -> Iterator["Pool"]:
        """Threads of which none is left after the block. If the block fails, what they run is ended."""
        with self.held(), ThreadPoolExecutor(workers) as threads:
            one = Pool(self, threads)
            try:
                yield one
            except BaseException:
                one.end()
                raise


@dataclass
class Pool:
    """Threads for programs that copy or compare."""

    signals: Signals
    threads: ThreadPoolExecutor
    _open: "set[Future[Any]]" = field(default_factory=set)

    def submit(self, job: Callable[..., T], *arguments: object, **named: object) -> "Future[T]":
        self.signals.check()
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
            self.signals.children.end(signal.SIGKILL)

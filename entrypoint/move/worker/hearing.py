"""Who does the work hears the operator also in the middle of a copy, which may take hours: as if it was Ctrl-C."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from entrypoint.console.errors import Aborted, JournalError
from entrypoint.journal.record import Run
from entrypoint.journal.said import Said, said

LISTENING = 0.2  # seconds between two looks at what was said


def heard(run: Run) -> Said:
    """Raises Aborted."""
    word = said(run)
    if word.aborts:
        raise aborted(keeps=word.keeps)
    return word


def aborted(*, keeps: bool) -> Aborted:
    error = Aborted("The operator has ended it (relocator abort).")
    error.keeps = keeps
    return error


@contextmanager
def obeying(run: Run) -> Iterator[None]:
    """In the block what somebody says elsewhere is as if it was said here, by Ctrl-C. Only for the main thread."""
    over = threading.Event()

    def listen() -> None:
        while not over.wait(LISTENING):
            with suppress(JournalError):
                if said(run).aborts:
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def ending(run: Run) -> Iterator[None]:
    """The same, and raises Aborted for it."""
    try:
        with obeying(run):
            yield
    except KeyboardInterrupt:
        heard(run)
        raise

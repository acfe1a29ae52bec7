"""Events: a constant name and facts as keys; one JSON object a line in a pipe, sentences on a terminal.

The sentences are in `wording.py`; the code only states facts. Where events go is chosen once, in `configure`.
"""

import os
import shutil
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from entrypoint.console import command, wording
from entrypoint.console.discretion import discreet, told
from entrypoint.console.names import Names, known

log: FilteringBoundLogger = structlog.get_logger()

INFO, DEBUG = 20, 10
QUIET = "quiet"


class Phase(StrEnum):
    """The phases of a move, in order, in the operator's words."""

    PREFLIGHT = "preflight"
    PLAN = "plan"
    PRE_COPY = "pre-copy"
    HAND_OVER = "hand-over"
    HOLD = "hold"
    FREEZE = "freeze"
    FINAL_SYNC = "final sync"
    CHECK = "check the copy"
    SWITCH = "switch"
    START = "start"
    VERIFY = "verify"
    ROLLBACK = "rollback"
    UNDO = "undo"  # of a way back that failed


WIDE = 90  # columns, from which there is room for a bar
CLEAR = "\r\x1b[K"  # to the beginning of the line, and erase to its end


def say(text: str, stream: IO[str], end: str = "\n") -> None:
    """Write at once; one who does not listen any more, or a full disk, changes no outcome and no exit code."""
    with suppress(OSError, ValueError):
        print(told(text), file=stream, end=end, flush=True)


@contextmanager
def as_written(stream: IO[str]) -> Iterator[None]:
    """While a document is written: a terminal passes it on as it is. That of `docker run -t` may end in a pipe, whose
    reader wants no carriage returns."""
    try:
        before = termios.tcgetattr(stream.fileno())
    except (termios.error, OSError, ValueError):  # it is none
        yield
        return
    raw = [*before[:1], before[1] & ~termios.OPOST, *before[2:]]
    termios.tcsetattr(stream.fileno(), termios.TCSADRAIN, raw)
    try:
        yield
    finally:
        termios.tcsetattr(stream.fileno(), termios.TCSADRAIN, before)


def is_one_terminal() -> bool:
    """Whether output and errors end on the same terminal, so that nobody can tell them apart."""
    with suppress(OSError, ValueError):
        one, other = sys.stdout.fileno(), sys.stderr.fileno()
        return os.isatty(one) and os.isatty(other) and os.fstat(one).st_rdev == os.fstat(other).st_rdev
    return False


def fitted(line: str) -> str:
    """As much of a line as does not wrap: a wrapped one could not be taken back."""
    return line[: max(1, shutil.get_terminal_size().columns - 1)]


def can_redraw() -> bool:
    """Whether the terminal knows how to erase; one without a name is taken for one that does not."""
    return os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


class Sink:
    """Writes each line to every stream it was given, at once: a reader that follows must not wait for a full buffer."""

    def __init__(self, *streams: IO[str]) -> None:
        self._streams = streams
        self._drafted = False

    def draft(self, line: str) -> None:
        """A line that the next one takes the place of."""
        for stream in self._streams:
            say(f"{CLEAR}{fitted(line)}", stream, end="")
        self._drafted = True

    def msg(self, line: str) -> None:
        """A reader that has gone, or a full disk under a log, is no reason to leave a move half done."""
        start = CLEAR if self._drafted else ""
        self._drafted = False
        for stream in self._streams:
            say(f"{start}{line}", stream)

    def end_draft(self) -> None:
        """What was drafted stays; what comes has a line of its own."""
        if self._drafted:
            self._drafted = False
            for stream in self._streams:
                say("", stream)

    debug = info = warning = error = critical = msg


@dataclass(frozen=True)
class Console:
    """How this process speaks: where to, whether people look on there, and which names it knows.

    structlog has one configuration a process, and this is what makes its loggers: what is told anywhere is told by it.
    """

    sink: Sink
    redraws: bool
    names: Names

    def __call__(self, *_: object) -> Sink:
        return self.sink


def terminal() -> Sink | None:
    """Where people look on, if they do."""
    console = structlog.get_config()["logger_factory"]
    return console.sink if isinstance(console, Console) and console.redraws else None


def draft(event: str, **facts: object) -> None:
    """Show an event on a terminal until the next one; in a pipe it would only be noise."""
    if (sink := terminal()) is not None:
        line = wording.sentence({"event": event, **facts})
        if isinstance(share := facts.get("percent"), int) and shutil.get_terminal_size().columns >= WIDE:
            line = f"  {wording.bar(share)}{line}"
        sink.draft(line)


def end_draft() -> None:
    """Before something is written past the log."""
    if (sink := terminal()) is not None:
        sink.end_draft()


def configure(*streams: IO[str], human: bool = False, debug: bool = False) -> None:
    """Send events to `streams` (standard output if none), as sentences or as JSON."""
    console = Console(Sink(*(streams or (sys.stdout,))), human and can_redraw(), known())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _loud,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _discreet,
            _told,
            _sentence if human else structlog.processors.JSONRenderer(ensure_ascii=True, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(DEBUG if debug else INFO),
        logger_factory=console,
        cache_logger_on_first_use=False,
    )


@contextmanager
def quietly() -> Iterator[None]:
    """What is done again and again, for days, is not told each time; only what is wrong is."""
    with structlog.contextvars.bound_contextvars(**{QUIET: True}):
        yield


def _loud(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if event.pop(QUIET, False) and method == "info":
        raise structlog.DropEvent
    return event


def _discreet(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: discreet(value) for key, value in event.items()}


def _told(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    told: EventDict = command.told_all(event)
    return told


def _sentence(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    if wording.is_told_later(event):
        raise structlog.DropEvent
    sentence = wording.sentence(dict(event))
    return sentence if command.CONTENT in event else command.told(sentence)


def open_log(path: Path) -> IO[str]:
    """A log file that is appended to, line by line; root's alone from its first instant."""
    opener = partial(os.open, mode=0o600)
    return open(path, "a", buffering=1, encoding="utf-8", errors="backslashreplace", opener=opener)


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """Announce a phase and say how long it took; a phase that fails says so by its missing end."""
    began = time.monotonic()
    log.info("phase.started", phase=name)
    with structlog.contextvars.bound_contextvars(phase=name):
        yield
    log.info("phase.finished", phase=name, seconds=round(time.monotonic() - began, 3))

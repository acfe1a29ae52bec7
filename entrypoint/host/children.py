"""The programs of this image that run for us: the one place where programs are started.

Each ends with the block that has started it. In a thread, or where a signal is held, nothing tells that block of an
interrupt; there the `Children` are ended from outside, all of one work together (signals.py).
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from entrypoint.console.errors import HostCommandError
from entrypoint.console.events import log

QUICK = 30.0  # seconds, for programs that only ask
GRACE = 5.0  # seconds, for a program that was asked to end
CHUNK = 1 << 18
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",  # messages are parsed or shown, never translated
}


def polite_command(argv: Sequence[str]) -> list[str]:
    """The argv that runs `argv` behind everything else on the machine, for work while containers run."""
    return ["ionice", "-c", "3", "nice", "-n", "19", *argv]


@dataclass(frozen=True)
class Result:
    """How a program ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


@dataclass
class Children:
    """Programs that are started, and those of them that are running now, in whichever thread; `are_ended`: somebody has
    ended them all, and nothing more is to be begun."""

    are_ended: bool = False
    _running: "set[subprocess.Popen[bytes]]" = field(default_factory=set)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None,
        check: bool = True,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        handles: tuple[int, ...] = (),
    ) -> Result:
        """Run a program of this image; its output is kept, its input closed unless given. It inherits the `handles`.

        Raises HostCommandError when it cannot be started, runs out of time, or (with `check`) ends with a code but 0.
        """
        log.debug("command.started", argv=shlex.join(argv))
        with self.started(argv, stdin is not None, cwd, handles=handles) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout)
            except subprocess.TimeoutExpired as late:
                raise HostCommandError(f"`{shlex.join(argv)}` did not end within {timeout:g} s.") from late
        result = Result(tuple(argv), process.returncode, _text(out), _text(err))
        if check and result.code:
            raise command_failed(result)
        return result

    def stream(
        self, argv: Sequence[str], *, check: bool = True, cwd: Path | None = None, handles: tuple[int, ...] = ()
    ) -> Iterator[bytes]:
        """The records that a program of this image writes, each ended by a zero byte, as they come.

        What it says of errors is kept in memory: a worker whose container is gone has no place for files.
        Raises HostCommandError as `run` does, when the program has ended; for one that was killed in any case.
        """
        with (
            os.fdopen(os.memfd_create("said"), "w+b") as said,
            self.started(argv, wants_stdin=False, cwd=cwd, stderr=said, handles=handles) as process,
        ):
            assert process.stdout is not None
            begun: list[bytes] = []  # pieces of a record: one can be of megabytes, and a pipe holds little
            while piece := os.read(process.stdout.fileno(), CHUNK):
                first, *records = piece.split(b"\0")
                begun.append(first)
                if records:
                    yield b"".join(begun)
                    yield from records[:-1]
                    begun = records[-1:]
            code = process.wait()
            said.seek(0)
            if code < 0 or (check and code):  # one that was killed has not told all
                raise command_failed(Result(tuple(argv), code, "", _text(said.read())))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End every one that is running; its own group has not heard the signal."""
        self.are_ended = True
        for process in list(self._running):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # one that is stopped hears nothing else

    def named(self, program: str) -> list[int]:
        """Those of a name that are running, by process id."""
        return [process.pid for process in list(self._running) if program in list(process.args)]  # type: ignore[arg-type]

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal one that is running; one that has ended meanwhile hears nothing."""
        for process in list(self._running):
            if process.pid == pid:
                process.send_signal(number)

    @contextmanager
    def started(
        self,
        argv: Sequence[str],
        wants_stdin: bool,
        cwd: Path | None = None,
        stderr: int | IO[bytes] = subprocess.PIPE,
        handles: tuple[int, ...] = (),
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A running child that never outlives the block."""
        stdin: int | IO[bytes] = subprocess.PIPE if wants_stdin else subprocess.DEVNULL
        try:
            process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=ENVIRONMENT,
                                       cwd=cwd, pass_fds=handles)  # fmt: skip
        except OSError as error:
            raise HostCommandError(f"`{argv[0]}` cannot be started: {error.strerror}.") from error
        self._running.add(process)
        with process:
            try:
                yield process
            finally:
                self._running.discard(process)
                if process.poll() is None:
                    _end(process)


def run(
    argv: Sequence[str],
    *,
    timeout: float | None,
    check: bool = True,
) -> Result:
    """Run a program where an interrupt is heard at once, and ends it: in the first thread, and where none is held."""
    return Children().run(argv, timeout=timeout, check=check)


class Server:
    """A program of this image that answers one request after the other; an answer ends with a zero byte."""

    def __init__(self, children: Children, argv: Sequence[str], handles: tuple[int, ...] = ()) -> None:
        log.debug("command.started", argv=shlex.join(argv))
        self._argv, self._stack = tuple(argv), ExitStack()
        self._process = self._stack.enter_context(children.started(argv, wants_stdin=True, handles=handles))

    def ask(self, request: bytes) -> Result:
        """What it answers; of one that has ended, with which code, and what it said of errors."""
        asked, answers, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert asked is not None
        assert answers is not None
        assert errors is not None
        with suppress(BrokenPipeError):
            asked.write(request)
            asked.flush()
        answer = b""
        while not answer.endswith(b"\0"):
            if not (piece := os.read(answers.fileno(), CHUNK)):
                said = errors.read()
                return Result(self._argv, self._process.wait() or 1, "", _text(said))
            answer += piece
        return Result(self._argv, 0, _text(answer[:-1]), "")

    def end(self) -> None:
        """One that waits for the next request has nothing to lose, and may have been stopped."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._stack.close()


def command_failed(result: Result) -> HostCommandError:
    """The same four facts for every program that failed."""
    said = result.stderr.strip()[-2000:] or result.stdout.strip()[-2000:]
    return HostCommandError(
        f"`{result.argv[0]}` failed with code {result.code}.",
        details=f"Command: {shlex.join(result.argv)[:1000]}\nIt said: {said or '(nothing)'}",
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.send_signal(signal.SIGCONT)  # one that is stopped hears nothing else
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

"""The one door to the host: its files below one directory, its programs through nsenter.

The container sees the host's files through `/proc/1/root`, the magic link of the host's first process. Unlike a bind
mount of `/` it follows every mount and unmount on the host, and it is still there when the container's engine is gone.

An absolute symlink met below that link would be resolved against the *container's* root by the kernel. So every path
that comes from the operator or the engine goes through `Host.resolve` once, which resolves symlinks as the host would.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from entrypoint.console.errors import HostCommandError
from entrypoint.console.events import log

HOST_PID = 1
HOST_ROOT = Path(f"/proc/{HOST_PID}/root")
MAX_SYMLINKS = 40  # as the kernel: path_resolution(7)
QUICK = 30.0  # seconds, for programs that only ask
GRACE = 5.0  # seconds, for a program that was asked to end
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",  # messages are parsed or shown, never translated
}


def nsenter_command(argv: Sequence[str], pid: int = HOST_PID) -> list[str]:
    """The argv that runs `argv` in the mount, UTS, IPC and network namespaces of process `pid`."""
    spaces = ["--mount", "--uts", "--ipc", "--net"]
    return ["nsenter", "--target", str(pid), *spaces, "--wd=/", "--", *argv]


def polite_command(argv: Sequence[str]) -> list[str]:
    """The argv that runs `argv` behind everything else on the machine, for work while containers run."""
    return ["ionice", "-c", "3", "nice", "-n", "19", *argv]


@dataclass(frozen=True)
class Host:
    """The host as seen from where this program runs."""

    root: Path = HOST_ROOT

    def path(self, resolved: PurePosixPath | str) -> Path:
        """Where a host path, already free of symlinks, is found from here."""
        return self.root / str(resolved).lstrip("/")

    def resolve(self, path: PurePosixPath | str) -> PurePosixPath:
        """The host path with every symlink followed as the host follows it; what does not exist stays as named."""
        todo = list(reversed(PurePosixPath(path).parts[1:]))
        done, hops = PurePosixPath("/"), 0
        while todo:
            part = todo.pop()
            step = done.parent if part == ".." else done / part
            link = self._readlink(step)
            if link is None:
                done = step
                continue
            if (hops := hops + 1) > MAX_SYMLINKS:
                raise HostCommandError(f"Too many symbolic links in {path}.")
            if link.is_absolute():
                done = PurePosixPath("/")
            todo.extend(reversed(link.parts[1:] if link.is_absolute() else link.parts))
        return done

    def _readlink(self, step: PurePosixPath) -> PurePosixPath | None:
        try:
            return PurePosixPath(os.readlink(self.path(step)))
        except (OSError, ValueError):
            return None

    def run(self, argv: Sequence[str], *, timeout: float = QUICK, check: bool = True) -> "Result":
        """Run one of the host's own programs, in the host's namespaces."""
        return run(nsenter_command(argv), timeout=timeout, check=check)

    def program(self, name: str) -> str | None:
        """Where the host keeps one of its programs, or nothing; systemd wants absolute paths."""
        for folder in (*ENVIRONMENT["PATH"].split(":"), "/run/current-system/sw/bin"):
            place = self.resolve(f"{folder}/{name}")
            if os.access(self.path(place), os.X_OK):
                return f"{folder}/{name}"
        return None


@dataclass(frozen=True)
class Result:
    """How a program ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


def run(
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
    with _started(argv, stdin is not None, cwd, handles=handles) as process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise HostCommandError(f"`{shlex.join(argv)}` did not end within {timeout:g} s.") from late
    result = Result(tuple(argv), process.returncode, _text(out), _text(err))
    if check and result.code:
        raise command_failed(result)
    return result


def stream(
    argv: Sequence[str], *, check: bool = True, cwd: Path | None = None, handles: tuple[int, ...] = ()
) -> Iterator[bytes]:
    """The records that a program of this image writes, each ended by a zero byte, as they come.

    What it says of errors is kept in memory: a worker whose container is gone has no place for files.
    Raises HostCommandError as `run` does, when the program has ended; for one that was killed in any case.
    """
    with (
        os.fdopen(os.memfd_create("said"), "w+b") as said,
        _started(argv, wants_stdin=False, cwd=cwd, stderr=said, handles=handles) as process,
    ):
        assert process.stdout is not None
        rest = b""
        while piece := os.read(process.stdout.fileno(), CHUNK):
            *records, rest = (rest + piece).split(b"\0")
            yield from records
        code = process.wait()
        said.seek(0)
        if code < 0 or (check and code):  # one that was killed has not told all
            raise command_failed(Result(tuple(argv), code, "", _text(said.read())))


class Server:
    """A program of this image that answers one request after the other; an answer ends with a zero byte."""

    def __init__(self, argv: Sequence[str], handles: tuple[int, ...] = ()) -> None:
        log.debug("command.started", argv=shlex.join(argv))
        self._argv, self._stack = tuple(argv), ExitStack()
        self._process = self._stack.enter_context(_started(argv, wants_stdin=True, handles=handles))

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


CHUNK = 1 << 18
_children: "set[subprocess.Popen[bytes]]" = set()


def end_children(number: signal.Signals = signal.SIGTERM) -> None:
    """End every program that is running for us, in whichever thread; its own group has not heard the signal."""
    for process in list(_children):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # one that is stopped hears nothing else


def children(program: str) -> list[int]:
    """The programs of a name that are running for us, by process id."""
    return [process.pid for process in list(_children) if program in list(process.args)]  # type: ignore[arg-type]


def signal_child(pid: int, number: signal.Signals) -> None:
    """Signal a program that is running for us; one that has ended meanwhile hears nothing."""
    for process in list(_children):
        if process.pid == pid:
            process.send_signal(number)


@contextmanager
def _started(
    argv: Sequence[str],
    wants_stdin: bool,
    cwd: Path | None = None,
    stderr: int | IO[bytes] = subprocess.PIPE,
    handles: tuple[int, ...] = (),
) -> Iterator["subprocess.Popen[bytes]"]:
    """A running child that never outlives the block."""
    stdin: int | IO[bytes] = subprocess.PIPE if wants_stdin else subprocess.DEVNULL
    try:
        process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=ENVIRONMENT, cwd=cwd,
                                   pass_fds=handles)  # fmt: skip
    except OSError as error:
        raise HostCommandError(f"`{argv[0]}` cannot be started: {error.strerror}.") from error
    _children.add(process)
    with process:
        try:
            yield process
        finally:
            _children.discard(process)
            if process.poll() is None:
                _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")

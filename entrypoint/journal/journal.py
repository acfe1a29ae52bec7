"""The host's journal: the list of its runs, the next one's number and room, and the lock of whoever is at work."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tenacity

from entrypoint.console.errors import PreflightError
from entrypoint.host.disks.filesystem import atomic_write, fsync_directory
from entrypoint.host.host import Host
from entrypoint.journal.record import PLACE, Record, Run

NUMBER = re.compile(r"\d{6,}")
# What must be free when a run begins, and is kept for its records.
ROOM = 4 * 1024 * 1024


class Journal:
    """The host's journal of runs. A command has one: it knows of each run what could not be written down."""

    def __init__(self, host: Host, place: str = PLACE) -> None:
        self.place = host.path(host.resolve(place))
        self._unwritten: dict[str, list[Record]] = {}

    def exists(self) -> bool:
        return self.place.is_dir()

    def runs(self) -> list[Run]:
        """Every run, the oldest first."""
        folder = self.place / "runs"
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return [self.run(entry.name) for entry in entries if NUMBER.fullmatch(entry.name)]

    def run(self, number: str) -> Run:
        return Run(self.place / "runs" / number, self._unwritten.setdefault(number, []))

    def begin(self) -> Run:
        """A new run's directory, durable, on a disk that has room for its records; the lock is held."""
        runs = self.runs()
        number = int(runs[-1].number) + 1 if runs else 1
        run = self.run(f"{number:06}")
        with _writing():
            run.place.parent.mkdir(mode=0o700, exist_ok=True)
            run.place.mkdir(mode=0o700)
            try:
                atomic_write(run.room, os.urandom(ROOM), mode=0o600)  # what a file system cannot compress
            except OSError:
                run.place.rmdir()
                raise
            for directory in (run.place.parent, self.place, self.place.parent):
                fsync_directory(directory)
        return run

    def prepare(self) -> None:
        """Create the journal's own directory."""
        with _writing():
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.place.chmod(0o700)

    def is_locked(self) -> bool:
        """Whether a relocator is at work now."""
        if not (self.place / "lock").exists():
            return False
        try:
            with self.locked(attempts=1):
                return False
        except PreflightError:
            return True

    @contextmanager
    def locked(self, *, wait: bool = False, attempts: int = 5) -> Iterator[None]:
        """Hold the lock for the block; wait for it, or refuse because another relocator holds it.

        Several attempts, because a `status` takes it for an instant.
        """
        with _writing():
            handle = os.open(self.place / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if wait:
                fcntl.flock(handle, fcntl.LOCK_EX)
            else:
                _lock(handle, attempts)
            yield
        finally:
            os.close(handle)


@contextmanager
def _writing() -> Iterator[None]:
    """Whatever cannot be written here refuses the move, before anything was changed."""
    try:
        yield
    except OSError as error:
        raise PreflightError(
            f"The journal in {PLACE} cannot be written.",
            details=f"{error}. Nothing was changed.",
            resolution="Free a few MiB there (journalctl --vacuum-size=50M, apt-get clean), then run again.",
        ) from error


def _lock(handle: int, attempts: int) -> None:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BlockingIOError),
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    try:
        retrying(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy() from error


def busy() -> PreflightError:
    return PreflightError(
        "Another relocator is at work on this host.",
        resolution="See `relocator status`; wait for it with `relocator status --wait`.",
    )

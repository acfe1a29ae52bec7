"""The lock belongs to one relocator at a time, dies with it, and is patient with who only looks."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrypoint.console.errors import PreflightError
from entrypoint.host.host import Host
from entrypoint.journal.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "var/lib").mkdir(parents=True)
    made = Journal(Host(tmp_path))
    made.prepare()
    return made


def test_the_lock_excludes_a_second_holder(journal: Journal) -> None:
    with journal.locked():
        assert journal.is_locked()
        with pytest.raises(PreflightError, match="Another relocator"), journal.locked():
            pass
    assert not journal.is_locked()


class Flock:
    """The kernel's flock, held by somebody else for so many attempts; it keeps the naps between them."""

    def __init__(self, busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy, self.naps, self.attempts = busy, list[float](), 0
        monkeypatch.setattr(fcntl, "flock", self)
        monkeypatch.setattr(time, "sleep", self.naps.append)

    def __call__(self, _handle: int, _how: int) -> None:
        self.attempts += 1
        if self.attempts <= self.busy:
            raise BlockingIOError


def test_a_lock_that_somebody_looks_at_for_an_instant_is_had(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = Flock(4, monkeypatch)
    with journal.locked():
        assert flock.naps == [0.1] * 4


def test_a_lock_that_stays_busy_is_given_up(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = Flock(1000, monkeypatch)
    with pytest.raises(PreflightError, match="Another relocator"), journal.locked():
        pass
    assert flock.attempts == 5


def test_who_only_asks_does_not_try_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    with journal.locked():
        pass
    flock = Flock(1000, monkeypatch)
    assert journal.is_locked()
    assert (flock.attempts, flock.naps) == (1, [])


def test_a_failure_of_the_work_is_not_taken_for_a_busy_lock(journal: Journal) -> None:
    with pytest.raises(BlockingIOError), journal.locked():
        raise BlockingIOError


def test_the_lock_excludes_another_process(journal: Journal) -> None:
    command = ["flock", "--nonblock", "--conflict-exit-code", "9", str(journal.place / "lock"), "true"]
    with journal.locked():
        assert subprocess.run(command, check=False).returncode == 9
    assert subprocess.run(command, check=False).returncode == 0


HOLDER = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"


def test_the_lock_dies_with_its_holder(journal: Journal) -> None:
    with journal.locked():
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(journal.place / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert journal.is_locked()
        holder.kill()
        with journal.locked(wait=True):
            pass


def test_the_lock_is_given_back_after_a_failure(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.locked():
        raise ZeroDivisionError
    assert not journal.is_locked()


def test_the_lock_is_not_inherited_by_programs(journal: Journal) -> None:
    with journal.locked():
        handles = [int(name) for name in os.listdir("/proc/self/fd")]
        ours = [number for number in handles if points_to(number, journal.place / "lock")]
        assert [fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for number in ours] == [fcntl.FD_CLOEXEC]


def points_to(handle: int, place: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{handle}") == str(place)
    except OSError:
        return False

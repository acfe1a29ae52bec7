"""What a limit means, and that what copies keeps to it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoint.console.errors import UsageError
from entrypoint.copy.cp import Programs
from entrypoint.copy.pace.throttle import COPIER, Pace, Throttle, bytes_a_second, throttled
from entrypoint.host.machine.processes import look
from entrypoint.host.signals import Signals

MIB = 1 << 20


@pytest.mark.parametrize(
    ("limit", "bytes_"),
    [("50m", 50 * MIB), ("50M", 50 * MIB), ("1.5g", 1536 * MIB), ("7k", 7168), ("4MiB", 4 * MIB)],
)
def test_a_limit_is_read(limit: str, bytes_: float) -> None:
    assert bytes_a_second(limit) == bytes_


@pytest.mark.parametrize("limit", ["0", "0m", "-5m", "fast", "5x", "m", " 5m", "100", "50b"])
def test_what_is_no_limit_is_refused(limit: str) -> None:
    with pytest.raises(UsageError, match="is no limit"):
        bytes_a_second(limit)


def test_a_copy_keeps_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    names = [f"{number}".encode() for number in range(12)]
    for name in names:
        (tmp_path / "source" / os.fsdecode(name)).write_bytes(os.urandom(2 * MIB))
    signals, began = Signals(), time.monotonic()
    with throttled(lambda: Pace.of("16m"), signals.children) as throttle:
        for name in names:
            programs = Programs(signals, throttle=throttle)
            programs.copy("names", tmp_path / "source", tmp_path / "target", [name])
            programs.end()
    assert time.monotonic() - began > 0.6  # 24 MiB less a burst; without a limit it takes a tenth of that
    assert len(list((tmp_path / "target").iterdir())) == 12


def filled(source: Path, count: int) -> list[bytes]:
    names = [f"{number}".encode() for number in range(count)]
    for name in names:
        (source / os.fsdecode(name)).write_bytes(os.urandom(2 * MIB))
    return names


def test_what_is_paused_copies_nothing_until_it_goes_on(tmp_path: Path) -> None:
    """The program that runs is stopped, and no other is begun; each is let go on."""
    source, target = tmp_path / "source", tmp_path / "target"
    for place in (source, target):
        place.mkdir()
    names, signals, said = filled(source, 4), Signals(), [Pace(paused=True)]
    with throttled(lambda: said[0], signals.children) as throttle, ThreadPoolExecutor() as threads:
        programs = Programs(signals, throttle=throttle)
        copying = threads.submit(programs.copy, "names", source, target, names)
        with pytest.raises(TimeoutError):
            copying.result(0.5)
        assert list(target.iterdir()) == []
        said[0] = Pace()
        assert copying.result(30) == ""
        programs.end()
    assert len(list(target.iterdir())) == 4


def test_a_program_that_runs_is_stopped_and_goes_on(tmp_path: Path) -> None:
    signals, said = Signals(), [Pace()]
    with (
        throttled(lambda: said[0], signals.children),
        signals.children.started(["sh", "-c", "read line", COPIER], wants_stdin=True) as process,
    ):
        for pace, state in ((Pace(paused=True), "T"), (Pace(), "S"), (Pace(paused=True), "T")):
            said[0] = pace
            deadline = time.monotonic() + 10
            while look(process.pid).state != state:
                assert time.monotonic() < deadline, state
                time.sleep(0.01)


def test_nobody_waits_for_the_turn_of_a_copy_that_is_ended() -> None:
    signals = Signals()
    throttle = Throttle(lambda: Pace(paused=True), signals.children)
    signals.children.end()
    throttle.await_turn()


def test_a_limit_that_is_changed_counts_from_then_on() -> None:
    signals, said = Signals(), [Pace(rate=1.0)]
    throttle = Throttle(lambda: said[0], signals.children)
    throttle._before -= 10 * MIB  # as if that was written
    throttle._pace = said[0]
    assert throttle.is_used_up()
    said[0] = Pace(rate=2.0)
    assert not throttle.is_used_up()
    said[0] = Pace()
    assert not throttle.is_used_up()

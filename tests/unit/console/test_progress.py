"""What is told of a copy while it goes on: on a terminal line by line, in a pipe once, and never backwards."""

import io
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from entrypoint.console import events, progress
from entrypoint.console.progress import Progress

MIB = 1 << 20


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the target's file system holds: the last of a list."""
    held = [50 * MIB]
    monkeypatch.setattr(progress, "used", lambda _: held[-1])
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return held


def shown(stream: io.StringIO) -> list[int]:
    return [int(found) for found in re.findall(r"(\d+) %", stream.getvalue())]


def test_it_never_goes_back_and_never_beyond_the_end(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    told = Progress(Path(), 100 * MIB, 1000)
    for held in (60, 90, 70, 100, 500):
        disk.append(held * MIB)
        told.tell()
    assert shown(stream) == [10, 40, 40, 50, 99]


def test_entries_count_where_nothing_is_written(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    told = Progress(Path(), 100 * MIB, 1000)
    for count in (100, 400, 700):
        told.done(count)
        told.tell()
    assert shown(stream) == [10, 50, 99]


def test_on_a_terminal_a_line_takes_the_place_of_the_one_before(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    with progress.progress(Path(), 100 * MIB, 10) as told:
        told.tell()
        told.tell()
    events.log.info("check.passed", target="/x")
    assert stream.getvalue().count("\n") == 2
    assert stream.getvalue().count(events.CLEAR) == 3


def test_what_comes_after_the_last_byte_is_named_and_no_time_is_promised(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    told = Progress(Path(), 100 * MIB, 1000)
    disk.append(100 * MIB)
    told.tell()
    assert "left" in stream.getvalue()
    assert "0 files" not in stream.getvalue()
    disk.append(200 * MIB)
    told.tell()
    last = stream.getvalue().split(events.CLEAR)[-1]
    assert progress.REST in last
    assert "left" not in last


def test_what_has_no_measure_is_shown_on_a_terminal_alone(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    progress.doing("flushing")
    assert stream.getvalue() == f"{events.CLEAR}  flushing …"
    events.configure(stream := io.StringIO())
    progress.doing("flushing")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns", [1, 20, 60, 89, 90, 200])
def test_a_line_that_is_taken_back_never_wraps(disk: list[int], monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    events.configure(stream := io.StringIO(), human=True)
    disk.append(100 * MIB)
    Progress(Path(), 100 * MIB, 1000).tell()
    told = Progress(Path(), 100 * MIB, 1000)
    disk.append(150 * MIB)
    told.tell()
    lines = stream.getvalue().split(events.CLEAR)[1:]
    assert all(len(line) <= max(1, columns - 1) for line in lines)
    assert ("█" * 10 + "░" * 10 in lines[-1]) is (columns >= 90)


@pytest.mark.parametrize("term", ["", "dumb", None])
def test_a_terminal_that_cannot_erase_is_told_once(
    disk: list[int], monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    monkeypatch.setenv("TERM", term) if term is not None else monkeypatch.delenv("TERM")
    events.configure(stream := io.StringIO(), human=True)
    with progress.progress(Path(), 100 * MIB, 10) as told:
        told.tell()
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_in_a_pipe_there_is_one_line(disk: list[int]) -> None:
    events.configure(stream := io.StringIO())
    with progress.progress(Path(), 100 * MIB, 10) as told:
        disk.append(75 * MIB)
        told.tell()
        told.tell()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["percent"] == 100


def test_the_end_is_100_percent_whatever_was_measured_and_no_failure_is(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    with progress.progress(Path(), 100 * MIB, 1000) as told:
        for held in (60, 900):
            disk.append(held * MIB)
            told.tell()
        told.done(1000)
        told.tell()
    assert shown(stream) == [10, 99, 99, 100]
    events.configure(stream := io.StringIO(), human=True)
    with suppress(KeyboardInterrupt), progress.progress(Path(), 100 * MIB, 1000) as told:
        raise KeyboardInterrupt
    assert shown(stream) == []


def test_a_copy_that_goes_on_begins_where_it_is(disk: list[int]) -> None:
    events.configure(stream := io.StringIO(), human=True)
    with progress.progress(Path(), 25 * MIB, 100, 75 * MIB, 300) as told:
        told.tell()
        disk.append(disk[0] + 5 * MIB)
        told.tell()
        assert "80.0 MiB of 100.0 MiB, 300 files" in stream.getvalue()
    assert shown(stream) == [75, 80, 100]
    assert "100.0 MiB of 100.0 MiB, 400 files" in stream.getvalue()


def test_nothing_to_do_is_no_error(disk: list[int]) -> None:
    events.configure(io.StringIO(), human=True)
    with progress.progress(Path(), 0, 0) as told:
        told.tell()

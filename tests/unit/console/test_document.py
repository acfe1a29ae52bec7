"""A document for programs, where a terminal was asked for: no byte is added to it, and nothing said beside it."""

import os
import pty
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from entrypoint.console import events


@pytest.fixture
def terminal() -> Iterator[tuple[int, IO[str]]]:
    """Its outer side, and its inner as a stream."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as stream:
        yield outer, stream
    os.close(outer)


def test_a_terminal_passes_it_on_as_it_is_and_other_lines_as_before(terminal: tuple[int, IO[str]]) -> None:
    outer, stream = terminal
    with events.as_written(stream):
        events.say("{}", stream)
    assert os.read(outer, 100) == b"{}\n"
    events.say("said", stream)
    assert os.read(outer, 100) == b"said\r\n"


def test_what_is_no_terminal_is_written_to_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with events.as_written(sys.stdout):
        events.say("{}", sys.stdout)
    assert capsys.readouterr().out == "{}\n"


def test_whether_both_streams_end_in_one_is_seen(
    terminal: tuple[int, IO[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _outer, stream = terminal
    other, inner = pty.openpty()
    with os.fdopen(inner, "w") as second, open(os.devnull, "w") as nowhere:
        for output, errors, is_one in ((stream, stream, True), (stream, second, False), (nowhere, nowhere, False)):
            monkeypatch.setattr(sys, "stdout", output)
            monkeypatch.setattr(sys, "stderr", errors)
            assert events.is_one_terminal() is is_one
    os.close(other)

"""Whatever the streams and the terminal are, there is no traceback, and the exit code is the right one."""

import os
import shlex
import subprocess
import sys

import pytest

PROGRAM = f"{shlex.quote(sys.executable)} -P -m entrypoint"
# Here it can only say what it would need; that is code 2.
WORDS = {"--help": 0, "--version": 0, "/new": 2}
STREAMS = (">&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full", "| true")
TERMINALS: tuple[dict[str, str], ...] = (
    {},
    {"TERM": ""},
    {"TERM": "dumb", "COLUMNS": "20"},
    {"TERM": "xterm", "COLUMNS": "nonsense", "LANG": "x"},
)


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize(("words", "code"), WORDS.items())
def test_no_stream_is_a_reason_to_fall_over(words: str, code: int, streams: str) -> None:
    number = (len(words) + STREAMS.index(streams)) % len(TERMINALS)
    script = f"{PROGRAM} {words} {streams}; exit ${{PIPESTATUS[0]}}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "."), **TERMINALS[number]}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr

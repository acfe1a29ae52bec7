"""Starting the copier as a program beside us, and what it answers."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("copier_program.py")
DEADLINE = 120.0  # seconds for a step that takes one or two when nobody is in its way


class Harm(AssertionError):
    """An attack has succeeded."""


@dataclass(frozen=True)
class Run:
    """A copier that answers with one line a step, and then waits."""

    process: "subprocess.Popen[str]"
    deadline: float = DEADLINE

    def answer(self) -> dict[str, Any]:
        """What it says at its next stop; raises Harm if it does not come to one."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], self.deadline)[0]:
            raise Harm(f"the copier hangs:\n{self._programs()}")
        line = self.process.stdout.readline()
        if not line:
            raise Harm(f"the copier died: {self.process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def _programs(self) -> str:
        words = ["ps", "-o", "pid,stat,wchan:24,args", "-g", str(self.process.pid)]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@contextmanager
def copier(
    source: Path, target: Path, *options: str, package: Path = CHECKOUT, deadline: float = DEADLINE
) -> Iterator[Run]:
    """Of a package that may have been changed; it and its programs are gone when the block is left."""
    words = [sys.executable, "-P", str(PROGRAM), str(source), str(target), *options]
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Run(process, deadline)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

"""Programs of the outer machine: run one, and say what went wrong with it."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

# A package installation over a slow line is the longest thing that is run.
LONGEST = 1800.0
SHOWN = 6000


class HostError(RuntimeError):
    """Something of a test host did not do what the test needs."""


class CommandError(HostError):
    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        self.argv = tuple(argv)
        self.code = code
        self.output = output
        super().__init__(f"exit {code}: {shlex.join(argv)}\n{output[-SHOWN:]}")


def run(argv: Sequence[str | Path], timeout: float = LONGEST) -> str:
    words = [str(word) for word in argv]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise CommandError(words, done.returncode, output + done.stderr.decode(errors="replace"))
    return output


def remove_tree(path: Path) -> None:
    # A mount that is still there must not have its content deleted with the directory.
    run(["rm", "-rf", "--one-file-system", "--", path])


def copy_content(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    run(["cp", "-a", "--reflink=auto", "--", f"{source}/.", f"{target}/"])

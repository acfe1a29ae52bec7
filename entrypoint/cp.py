"""cp: its arguments, built purely, and what its words mean to us.

`-a` carries everything a layer or a volume can hold: owners, modes, times to the nanosecond, ACLs and all extended
attributes, `trusted.*` among them, holes, device nodes, symbolic links and, within one call, hard links. Files are made
anew (`--remove-destination`), because an interrupted copy may have left half a file, or one that is linked elsewhere.

While the engine runs, files may vanish or be replaced under cp's eyes; a later pass mends that. With the engine down
nothing but success is good.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from entrypoint.errors import CopyError
from entrypoint.host import HOST_ROOT, polite_command, run
from entrypoint.throttle import await_turn

FIDELITY = ("cp", "-a", "--one-file-system", "--remove-destination")
TOLD = 10  # lines
NO_SPACE_HINTS = ("No space left on device", "Disk quota exceeded")
# What cp says of a file that went, or became another, after its name was read.
VANISHED = re.compile(r"No such file or directory$|Not a directory$|as it was replaced while being copied$|^\s*$")


def tree_command(source: Path, target: Path, *, link: bool = False) -> list[str]:
    """The argv that copies one directory, or hard-links its files on the same file system."""
    how = ["--link"] if link else ["--reflink=auto"]
    return [*FIDELITY, *how, "-T", "--", str(source), str(target)]


def names_command(target: Path, names: Iterable[bytes]) -> list[str]:
    """The argv that copies entries, named from the source, where it runs; directories with all they hold."""
    words = [os.fsdecode(name) for name in names]
    return [*FIDELITY, "--reflink=auto", "--parents", f"--target-directory={target}", "--", *words]


def copy(argv: Sequence[str], *, live: bool, cwd: Path | None = None) -> str:
    """Run cp, behind everybody else's work while the engine runs, with the engine down at full speed.

    Returns what it said of files that it could not copy while the engine runs, but for those that went. Raises
    CopyError.
    """
    if live:
        await_turn()
    result = run(polite_command(argv) if live else argv, timeout=None, check=False, cwd=cwd)
    if result.code == 0:
        return ""
    if result.code != 1 or not live or is_full(result.stderr):
        raise failed("Files cannot be copied.", result.stderr or f"cp ended with code {result.code}.")
    return "".join(f"{line}\n" for line in result.stderr.splitlines() if not VANISHED.search(line))


def is_full(said: str) -> bool:
    return any(hint in said for hint in NO_SPACE_HINTS)


def failed(brief: str, said: str) -> CopyError:
    """The error of a copy; a full disk is told apart, for that the operator can mend."""
    lines = in_host_paths(said).strip().splitlines()
    if is_full(said):  # each cp says it of each file: one is enough
        return CopyError(
            "The target's file system is full.",
            details=next(line for line in lines if is_full(line)),
            resolution="Free space there or choose a larger target, then run the same command again.",
        )
    return CopyError(brief, details="\n".join(lines[-TOLD:]))


def in_host_paths(said: str) -> str:
    """What a program of ours says of the host's files, as the host names them."""
    return said.replace(f"{HOST_ROOT}/", "/")

"""The programs that copy, as argvs built purely, and what their words mean to us.

Image layers, which never change, are copied by cp: `-a` carries everything that a layer can hold. What tenants can
write is copied by a program of our own (tree_copier.py), which also links layers on the same file system. Both know the
roots as open directories or inside the namespace where nothing else is (confinement.py).

While the engine runs, files may vanish or be replaced under their eyes; a later pass mends that. With the engine down
nothing but success is good.
"""

import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.console.errors import CopyError, FullError
from entrypoint.copy.pace.throttle import COPIER, await_turn
from entrypoint.host.confined.confinement import place, space_of
from entrypoint.host.confined.tree import Tree
from entrypoint.host.host import HOST_ROOT, Result, Server, polite_command, run

TOLD = 10  # lines
NO_SPACE_HINTS = ("No space left on device", "Disk quota exceeded")
# How the roots look from our programs, which is nothing that the operator could find.
INSIDE = re.compile(r"/mnt/(?:source|target)/|/proc/\d+/fd/\d+/")
# Where this program's own modules are; neither the environment nor the working directory is a place to take them from.
HOME = Path(__file__).parents[2]
IMPORT = f"import sys; sys.path.insert(0, {str(HOME)!r}); from entrypoint.copy.tree_copier import main"
BEGIN = f"{IMPORT}; sys.exit(main(sys.argv[2:]))"
PYTHON = (sys.executable, "-I", "-S", "-B", "-c", BEGIN, COPIER)


def layer_command(target: Path) -> list[str]:
    """The argv that copies the working directory."""
    fidelity = ["-a", "--one-file-system", "--remove-destination", "--reflink=auto"]
    return ["cp", *fidelity, "-T", "--", ".", os.fspath(target)]


def copier_command(*handles: int) -> list[str]:
    """The argv that copies what it reads from its input: `trees`, `names` or, without content, `links`."""
    return [*PYTHON, *map(str, handles)]


def copy_layer(source: Path, target: Path, layer: str) -> None:
    """Copy a layer's content with cp; the directory is there. Raises CopyError."""
    await_turn()
    space = space_of(target)
    command = polite_command(layer_command((space.name if space else target) / layer))
    with place(source, os.fsencode(layer)) as start:
        result = run([*start.prefix, *command], timeout=None, check=False, cwd=start.cwd, handles=start.handles)
    if result.code:
        raise failed(f"Layer {layer} cannot be copied.", result.stderr or f"cp ended with code {result.code}.")


@dataclass
class Copiers:
    """The copiers of a block; one that has answered waits for the next names below the same roots."""

    _idle: dict[tuple[Path, Path], list[Server]] = field(default_factory=dict)
    _all: list[Server] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, source: Path, target: Path, request: bytes) -> Result:
        with self._lock:
            idle = self._idle.setdefault((source, target), [])
            server = idle.pop() if idle else None
        if server is None:
            server = start(source, target)
            with self._lock:
                self._all.append(server)
        result = server.ask(request)
        if not result.code:
            with self._lock:
                idle.append(server)
        return result

    def end(self) -> None:
        for server in self._all:
            server.end()


# Those of the block that is at work.
_copiers: list[Copiers] = []


@contextmanager
def copiers() -> Iterator[None]:
    """Copiers that are started in the block stay until its end."""
    _copiers.append(Copiers())
    try:
        yield
    finally:
        _copiers.pop().end()


def start(source: Path, target: Path) -> Server:
    trees, space = (Tree(source), Tree(target)), space_of(target)
    handles = (*(tree.root for tree in trees), *([space.namespace] if space else []))
    return Server(polite_command(copier_command(*handles)), handles)


def copy(what: str, source: Path, target: Path, names: Iterable[bytes]) -> str:
    """Copy with the engine up, behind everybody else's work; what could not be copied, a line each.

    Raises CopyError.
    """
    await_turn()
    request = b"\0".join((what.encode(), *names, b"", b""))
    if _copiers:
        return outcome(_copiers[-1].ask(source, target, request))
    alone = Copiers()
    try:
        return outcome(alone.ask(source, target, request))
    finally:
        alone.end()


def outcome(result: Result) -> str:
    if result.code:
        raise failed("Files cannot be copied.", result.stderr or f"The copier ended with code {result.code}.")
    return result.stdout


def is_full(said: str) -> bool:
    return any(hint in said for hint in NO_SPACE_HINTS)


def failed(brief: str, said: str) -> CopyError:
    """The error of a copy; a full disk is told apart, for that the operator can mend."""
    lines = in_host_paths(said).strip().splitlines()
    if is_full(said):  # each program says it of each file: one is enough
        return FullError(
            "The target's file system is full.",
            details=next(line for line in lines if is_full(line)),
            resolution="Free space there or choose a larger target, then run the same command again.",
        )
    return CopyError(brief, details="\n".join(lines[-TOLD:]))


def in_host_paths(said: str) -> str:
    """What a program of ours says of the host's files, as the host names them."""
    return INSIDE.sub("", said).replace(f"{HOST_ROOT}/", "/")

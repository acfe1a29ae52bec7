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
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.console.errors import CopyError, FullError
from entrypoint.copy.pace.throttle import COPIER, Throttle
from entrypoint.host.children import Result, Server, polite_command
from entrypoint.host.confined.confinement import TARGET, Roots, place
from entrypoint.host.confined.tree import Tree
from entrypoint.host.host import HOST_ROOT
from entrypoint.host.signals import Signals

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


@dataclass
class Programs:
    """The programs of one copy: whom a signal ends, in which namespace they run, and what holds them back.

    A copier that has answered waits for the next names below the same roots, until the `end`.
    """

    signals: Signals = field(default_factory=Signals)
    namespace: int | None = None
    throttle: Throttle | None = None
    _idle: dict[Roots, list[Server]] = field(default_factory=dict)
    _all: list[Server] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def copy_layer(self, source: Path, target: Path, layer: str) -> None:
        """Copy a layer's content with cp; the directory is there. Raises CopyError."""
        self._await_turn()
        there = target if self.namespace is None else TARGET
        command = polite_command(layer_command(there / layer))
        with place(source, os.fsencode(layer), self.namespace) as start:
            result = self.signals.children.run([*start.prefix, *command], timeout=None, check=False, cwd=start.cwd,
                                               handles=start.handles)  # fmt: skip
        if result.code:
            raise failed(f"Layer {layer} cannot be copied.", result.stderr or f"cp ended with code {result.code}.")

    def copy(self, what: str, source: Path, target: Path, names: Iterable[bytes]) -> str:
        """Copy with the engine up, behind everybody else's work; what could not be copied, a line each.

        Raises CopyError.
        """
        return self._told(what, Roots(source, target, self.namespace), names)

    def link(self, roots: Roots, names: Iterable[bytes]) -> str:
        """The same of what never changes, by links: the roots are those of a mount that has both, so not confined."""
        return self._told("links", roots, names)

    def _told(self, what: str, roots: Roots, names: Iterable[bytes]) -> str:
        self._await_turn()
        result = self._ask(roots, b"\0".join((what.encode(), *names, b"", b"")))
        if result.code:
            raise failed("Files cannot be copied.", result.stderr or f"The copier ended with code {result.code}.")
        return result.stdout

    def _await_turn(self) -> None:
        if self.throttle is not None:
            self.throttle.await_turn()

    def _ask(self, roots: Roots, request: bytes) -> Result:
        with self._lock:
            idle = self._idle.setdefault(roots, [])
            server = idle.pop() if idle else None
        if server is None:
            server = self._start(roots)
            with self._lock:
                self._all.append(server)
        result = server.ask(request)
        if not result.code:
            with self._lock:
                idle.append(server)
        return result

    def _start(self, roots: Roots) -> Server:
        trees = (Tree(roots.source), Tree(roots.target))
        handles = (*(tree.root for tree in trees), *([] if roots.namespace is None else [roots.namespace]))
        return Server(self.signals.children, polite_command(copier_command(*handles)), handles)

    def end(self) -> None:
        for server in self._all:
            server.end()


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

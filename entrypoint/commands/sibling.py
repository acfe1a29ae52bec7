"""Given only the engine's socket, start a container of the same image that is given everything, and speak for it."""

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from entrypoint.commands.line.options import VARIABLES
from entrypoint.console.command import CALLED, IMAGE
from entrypoint.console.errors import ContainerError, EngineError, PreflightError
from entrypoint.engine import products
from entrypoint.engine.docker import Engine
from entrypoint.engine.unit import absence
from entrypoint.host.machine.standing import CALLED_ON, ENGINE_SOCKETS, PARENT, own_container

PASSED_ON = (IMAGE, CALLED, CALLED_ON, *VARIABLES)


def run_sibling(arguments: Sequence[str]) -> int:
    """Run the same command in a fully equipped sibling; its output is ours, and its exit code is returned."""
    place = next(place for place in ENGINE_SOCKETS if place.is_socket())
    require_engine(place)
    me = own_container()
    if me is None:
        raise ContainerError("This container cannot find out its own id.", resolution="Run it with --pid=host.")
    with Engine.opened(place) as engine:
        sibling = engine.sibling_of(me, arguments, privileges(me))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: sibling.kill(received))  # it is meant for the work
        for written in sibling.start():
            pass_on(written)
        return sibling.end()


def require_engine(place: Path) -> None:
    """Raises PreflightError where the socket that was given leads to no engine."""
    if absence.IN_PODMAN.exists():
        raise products.refused(products.PODMAN)
    try:
        with Engine.opened(place) as engine:
            engine.info()
    except EngineError as failure:
        raise PreflightError(
            "The Docker engine does not answer on the socket that this container was given.",
            f"{failure.details}\nNothing was changed.",
            "See on the host: systemctl status docker.service",
        ) from failure


def privileges(me: str) -> dict[str, Any]:
    """What the sibling is given, and why."""
    return {
        "privileged": True,  # to enter the host's namespaces and copy files of every owner
        "pid_mode": "host",  # to see the host's first process, and through it systemd and all files
        "network_mode": "none",  # nothing is fetched, nothing is sent
        "tty": sys.stdout.isatty(),
        "environment": {PARENT: me} | {name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def pass_on(written: Iterable[bytes | None]) -> None:
    """What the sibling has written is written by us, each to its stream."""
    for chunk, stream in zip(written, (sys.stdout.buffer, sys.stderr.buffer), strict=True):
        stream.write(chunk or b"")
        stream.flush()

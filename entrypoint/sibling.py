"""Given only the engine's socket, start a container of the same image that is given everything, and speak for it."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from docker.errors import APIError, NotFound

from entrypoint import absence, products
from entrypoint.command import CALLED, IMAGE
from entrypoint.engine import Engine
from entrypoint.errors import ContainerError, EngineError, PreflightError
from entrypoint.products import Product
from entrypoint.standing import CALLED_ON, ENGINE_SOCKETS, PARENT, own_container

PASSED_ON = (IMAGE, CALLED, CALLED_ON)


def run_sibling(arguments: Sequence[str]) -> int:
    """Run the same command in a fully equipped sibling; its output is ours, and its exit code is returned."""
    place = next(place for place in ENGINE_SOCKETS if place.is_socket())
    require_engine(place)
    me = own_container()
    if me is None:
        raise ContainerError("This container cannot find out its own id.", resolution="Run it with --pid=host.")
    with Engine.opened(place) as engine:
        image = engine.inspect(me)["Image"]
        sibling = engine.client().containers.create(image, list(arguments), **privileges(me))
        output = sibling.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: pass_on(sibling, received, _frame))
        sibling.start()
        return follow(sibling, output)


def require_engine(place: Path) -> None:
    """Raises PreflightError where the socket that was given leads to no engine."""
    if absence.IN_PODMAN.exists():
        raise products.refused(Product.PODMAN)
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


def follow(sibling: Any, output: Any) -> int:
    """Copy the sibling's output and errors until it ends; it is removed then."""
    for written in output:
        for chunk, stream in zip(written, (sys.stdout.buffer, sys.stderr.buffer), strict=True):
            stream.write(chunk or b"")
            stream.flush()
    code = int(sibling.wait()["StatusCode"])
    with suppress(NotFound):
        sibling.remove()
    return code


def pass_on(sibling: Any, number: int, _frame: FrameType | None) -> None:
    """A signal to us is meant for the work."""
    with suppress(APIError, NotFound):
        sibling.kill(number)

"""An engine that does not answer, in words of ours: what there is in its place, and how it is started."""

from pathlib import Path

from entrypoint.console.errors import EngineError, PreflightError
from entrypoint.engine import products
from entrypoint.engine.docker import SOCKET, Engine
from entrypoint.engine.unit.service import SERVICE
from entrypoint.host.host import Host
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.units import RUNNING

IN_PODMAN = Path("/run/.containerenv")  # podman-run(1) makes it in every container
NOTHING = "Nothing was changed."


def of_engine(host: Host, systemd: ServiceManager, failure: EngineError) -> PreflightError:
    """Why no engine has answered where one was looked for, as far as it can be seen."""
    if is_podmans(host):
        return products.refused(products.PODMAN)
    unit = systemd.unit(SERVICE)
    if not unit.exists:
        return PreflightError(
            "There is no Docker engine on this host.",
            f"systemd knows no {SERVICE}, and nothing answers on {SOCKET}. {NOTHING}",
            "An engine that was started by hand, or listens elsewhere, is moved by its own means.",
        )
    if unit.active_state not in RUNNING:
        return PreflightError(
            "The Docker engine does not run.",
            f"{SERVICE} is {unit.active_state}. {NOTHING}",
            f"Start it, and run this again: systemctl start {SERVICE}    "
            f"(if it does not start: journalctl -u {SERVICE} -n 50)",
        )
    if not host.path(host.resolve(SOCKET)).exists():
        return PreflightError(
            f"The Docker engine does not listen on {SOCKET}.",
            f"{SERVICE} is {unit.active_state}, with its socket in another place or none. {NOTHING}",
            f"Let it listen there too (-H unix://{SOCKET}, or `hosts` in daemon.json), restart it, and run this again.",
        )
    return PreflightError(
        f"The Docker engine does not answer on {SOCKET}.",
        f"{SERVICE} is {unit.active_state}. {failure.details}\n{NOTHING}",
        f"See why: journalctl -u {SERVICE} -n 50",
    )


def is_podmans(host: Host) -> bool:
    """Whether Podman stands where Docker would: it has started this container, or has its socket there."""
    return IN_PODMAN.exists() or "podman" in host.resolve(SOCKET).parts


def require_engine(host: Host, systemd: ServiceManager, engine_socket: Path) -> None:
    """Raises PreflightError where no engine answers, or something else does."""
    try:
        with Engine.opened(engine_socket) as engine:
            engine.info()
    except EngineError as failure:
        raise of_engine(host, systemd, failure) from failure

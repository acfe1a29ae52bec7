"""Handing the work to the host's systemd, because this container dies with its engine.

A transient unit starts `nsenter --mount=/proc/<pid>/ns/mnt … python`: a process of the host's systemd that lives in the
root file system of this container. It outlives the container, even one started with `--rm`, and it can start the
image's programs to the end; only the upper layer is gone, so it writes nothing but the host's files.

The unit's type is `notify`, so that its start job is done when the worker itself says that it is there. Its
`ExecStopPost=` lines run the host's own programs however the worker ended: they lift the hold and start the engine.
"""

import os
import socket
import sys
from typing import Any

from entrypoint import hold
from entrypoint.errors import ContainerError
from entrypoint.host import Host
from entrypoint.journal import Run
from entrypoint.plan import Plan
from entrypoint.systemd import Command, Systemd

UNIT = "relocator.service"
KEPT_ENVIRONMENT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "RELOCATOR_IMAGE")
SECOND = 1_000_000  # systemd counts microseconds on D-Bus
STARTING = 60 * SECOND
# An interrupted worker rolls back, which stops and starts an engine; a TERM must not be followed by a KILL before that.
STOPPING = 1800 * SECOND


def hand_over(host: Host, systemd: Systemd, run: Run, plan: Plan) -> None:
    """Start the worker and return when it says that it is there."""
    systemd.reset_failed([UNIT])
    systemd.start_transient(UNIT, unit_properties(worker_command(host, run), safety_net(host, plan)))


def worker_command(host: Host, run: Run) -> Command:
    """nsenter from the host, python from the image. `-P`: the working directory is the host's and no place for code."""
    python = (sys.executable, "-P", "-m", "entrypoint", "worker", run.number)
    return Command((program(host, "nsenter"), f"--mount=/proc/{os.getpid()}/ns/mnt", "--wd=/", "--", *python))


def safety_net(host: Host, plan: Plan) -> tuple[Command, ...]:
    """What brings the engine back when the worker is gone, whatever became of it; harmless after a good end."""
    rm, systemctl = program(host, "rm"), program(host, "systemctl")
    files = (hold.HOLD, *(hold.drop_in(unit) for unit in plan.units))
    lines = [
        (rm, "-f", *files),
        (systemctl, "reset-failed", *plan.units),
        *([(systemctl, "start", *plan.started)] if plan.started else []),
        *([(systemctl, "start", "--no-block", *plan.dependents)] if plan.dependents else []),
        (systemctl, "daemon-reload"),  # last: nothing above depends on it
    ]
    return tuple(Command(line, ignore_failure=True) for line in lines)


def program(host: Host, name: str) -> str:
    place = host.program(name)
    if place is None:
        raise ContainerError(f"The host has no `{name}`.", details="It is part of every system with systemd.")
    return place


def unit_properties(worker: Command, net: tuple[Command, ...]) -> dict[str, tuple[str, Any]]:
    """The unit as D-Bus wants it (org.freedesktop.systemd1(5)): name → (signature, value)."""
    environment = [f"{name}={os.environ[name]}" for name in KEPT_ENVIRONMENT if name in os.environ]
    return {
        "Description": ("s", "Moves the Docker engine's data root (relocator)"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [worker.to_dbus()]),
        "ExecStopPost": ("a(sasb)", [command.to_dbus() for command in net]),
        "Environment": ("as", [*environment, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1"]),
        "KillMode": ("s", "mixed"),  # TERM to the worker alone: its rsync must not be shot under it
        "TimeoutStartUSec": ("t", STARTING),
        "TimeoutStopUSec": ("t", STOPPING),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }


def say_ready(host: Host) -> None:
    """Tell systemd that the worker is there (sd_notify(3)); the socket is in the host's directory."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    place = "\0" + address[1:] if address.startswith("@") else str(host.path(host.resolve(address)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"READY=1", place)

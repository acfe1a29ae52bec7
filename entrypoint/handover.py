"""Handing the work to the host's systemd, because this container dies with its engine.

A transient unit starts `nsenter --mount=/proc/<pid>/ns/mnt … python`: a process of the host's systemd that lives in the
root file system of this container. It outlives the container, even one started with `--rm`, and it can start the
image's programs to the end; only the upper layer is gone, so it writes nothing but the host's files.

The unit's type is `notify`, so that its start job is done when the worker itself says that it is there. Its
`ExecStopPost=` lines run the host's own programs however the worker ended: they lift the hold and start the engine.
After that, systemd starts a worker that died once more; a keeper (`keeper.py`) has kept its root file system.
"""

import os
import sys
from typing import Any

from entrypoint import hold
from entrypoint.errors import ContainerError, ExitCode, SystemdError
from entrypoint.host import Host
from entrypoint.journal import Run
from entrypoint.plan import Plan
from entrypoint.systemd import Command, Systemd

UNIT = "relocator.service"
KEEPER = "relocator-keeper.service"
KEPT_ENVIRONMENT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "RELOCATOR_IMAGE")
SECOND = 1_000_000  # systemd counts microseconds on D-Bus
STARTING = 60 * SECOND
# An interrupted worker rolls back, which stops and starts an engine; a TERM must not be followed by a KILL before that.
STOPPING = 1800 * SECOND

Properties = dict[str, tuple[str, Any]]


def hand_over(host: Host, systemd: Systemd, run: Run, plan: Plan) -> None:
    """Start the keeper and the worker, and return when the worker says that it is there."""
    dismiss(systemd)
    systemd.reset_failed([UNIT, KEEPER])
    nsenter, net = program(host, "nsenter"), safety_net(host, plan)
    systemd.start_transient(KEEPER, keeper_properties(inside(nsenter, os.getpid(), "entrypoint.keeper")))
    keeper = systemd.unit(KEEPER).main_pid
    if not keeper:
        raise SystemdError(f"{KEEPER} ended at once.", details=f"Why: journalctl -u {KEEPER}")
    worker = inside(nsenter, keeper, "entrypoint", "worker", run.number)
    systemd.start_transient(UNIT, worker_properties(worker, net))


def dismiss(systemd: Systemd) -> None:
    """End the keeper, if there is one: the worker that has said its last word needs it no more."""
    if systemd.unit(KEEPER).exists:
        systemd.stop([KEEPER])


def inside(nsenter: str, pid: int, *module: str) -> Command:
    """nsenter from the host, python from the image, in the mount namespace of a process.

    `-P`: the working directory is the host's and no place for code.
    """
    return Command((nsenter, f"--mount=/proc/{pid}/ns/mnt", "--wd=/", "--", sys.executable, "-P", "-m", *module))


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


def environment() -> list[str]:
    kept = [f"{name}={os.environ[name]}" for name in KEPT_ENVIRONMENT if name in os.environ]
    return [*kept, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1"]


def keeper_properties(keeper: Command) -> Properties:
    """The unit that keeps the image's root file system at hand, until the worker dismisses it."""
    return {
        "Description": ("s", "Keeps the image of relocator at hand"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [keeper.to_dbus()]),
        "Environment": ("as", environment()),
        "TimeoutStartUSec": ("t", STARTING),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }


def worker_properties(worker: Command, net: tuple[Command, ...]) -> Properties:
    """The worker's unit as D-Bus wants it (org.freedesktop.systemd1(5)): name → (signature, value).

    A worker that dies is started again, to finish or to undo what its journal says; one that ends with a code of ours
    has said its last word.
    """
    return {
        "Description": ("s", "Moves the Docker engine's data root (relocator)"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [worker.to_dbus()]),
        "ExecStopPost": ("a(sasb)", [command.to_dbus() for command in net]),
        "Environment": ("as", environment()),
        "KillMode": ("s", "mixed"),  # TERM to the worker alone: its rsync must not be shot under it
        "TimeoutStartUSec": ("t", STARTING),
        "TimeoutStopUSec": ("t", STOPPING),
        "Restart": ("s", "on-failure"),
        "RestartUSec": ("t", SECOND // 2),
        "RestartPreventExitStatus": ("(aiai)", ([int(code) for code in ExitCode if code], [])),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }

"""Handing the work to the host's systemd, because this container dies with its engine.

A transient unit starts `nsenter --mount=/proc/<pid>/ns/mnt … python`: a process of the host's systemd that lives in the
root file system of this container. It outlives the container, even one started with `--rm`, and it can start the
image's programs to the end; only the upper layer is gone, so it writes nothing but the host's files.

The unit's type is `notify`, so that its start job is done when the worker itself says that it is there. Its
`ExecStopPost=` lines are the safety net (`net.py`), which brings the engine back however the worker ended. After that,
systemd starts a worker that died once more; a keeper (`keeper.py`) has kept its root file system.
"""

import os
import sys
from typing import Any

from entrypoint import memory, net
from entrypoint.errors import ExitCode, SystemdError
from entrypoint.host import Host
from entrypoint.plan import Plan
from entrypoint.record import Run
from entrypoint.systemd import Command, Systemd

UNIT = "relocator.service"
KEEPER = "relocator-keeper.service"
KEPT_ENVIRONMENT = ("RELOCATOR_IMAGE",)
PYTHON = (sys.executable, "-I", "-u", "-B", "-X", "utf8", "-m")  # as the image starts it (Dockerfile)
SECOND = 1_000_000  # systemd counts microseconds on D-Bus
STARTING = 60 * SECOND
# An interrupted worker rolls back, which stops and starts an engine; a TERM must not be followed by a KILL before that.
STOPPING = 1800 * SECOND
# By default a service comes after sockets.target, and is stopped before docker.socket: a worker that waits for the
# socket to stop, on a host that goes down, would wait for itself. Its disks and its bus are to outlive it.
ORDER = {
    "DefaultDependencies": ("b", False),
    "After": ("as", ["local-fs.target", "dbus.service"]),
    "Before": ("as", ["shutdown.target"]),
    "Conflicts": ("as", ["shutdown.target"]),
}

Properties = dict[str, tuple[str, Any]]


def hand_over(host: Host, systemd: Systemd, run: Run, plan: Plan) -> None:
    """Start the keeper and the worker, and return when the worker says that it is there."""
    memory.move_into()
    dismiss(systemd)
    systemd.reset_failed([UNIT, KEEPER])
    nsenter = net.program(host, "nsenter")
    net.spread(run, plan)
    systemd.start_transient(KEEPER, keeper_properties(inside(nsenter, os.getpid(), "entrypoint.keeper")))
    keeper = systemd.unit(KEEPER).main_pid
    if not keeper:
        raise SystemdError(f"{KEEPER} ended at once.", details=f"Why: journalctl -u {KEEPER}")
    worker = inside(nsenter, keeper, "entrypoint", "worker", run.number)
    systemd.start_transient(UNIT, worker_properties(worker, net.lines(host, run, plan)))


def dismiss(systemd: Systemd) -> None:
    """End the keeper, if there is one: the worker that has said its last word needs it no more."""
    if systemd.unit(KEEPER).exists:
        systemd.stop([KEEPER])


def inside(nsenter: str, pid: int, *module: str) -> Command:
    """nsenter from the host, python from the image, in the mount namespace of a process.

    `-I`: the working directory is the host's and no place for code.
    """
    return Command((nsenter, f"--mount=/proc/{pid}/ns/mnt", "--wd=/", "--", *PYTHON, *module))


def environment() -> list[str]:
    kept = [f"{name}={os.environ[name]}" for name in KEPT_ENVIRONMENT if name in os.environ]
    return [*kept, "LC_ALL=C.UTF-8"]


def keeper_properties(keeper: Command) -> Properties:
    """The unit that keeps the image's root file system at hand, until the worker dismisses it."""
    return {
        **ORDER,
        "Description": ("s", "Keeps the image of relocator at hand"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [keeper.to_dbus()]),
        "Environment": ("as", environment()),
        "TimeoutStartUSec": ("t", STARTING),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }


def worker_properties(worker: Command, after: tuple[Command, ...]) -> Properties:
    """The worker's unit as D-Bus wants it (org.freedesktop.systemd1(5)): name → (signature, value).

    A worker that dies is started again, to finish or to undo what its journal says; one that ends with a code of ours
    has said its last word.
    """
    return {
        **ORDER,
        "Description": ("s", "Moves the Docker engine's data root (relocator)"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [worker.to_dbus()]),
        "ExecStopPost": ("a(sasb)", [command.to_dbus() for command in after]),
        "Environment": ("as", environment()),
        "KillMode": ("s", "mixed"),  # TERM to the worker alone: its cp must not be shot under it
        "TimeoutStartUSec": ("t", STARTING),
        "TimeoutStopUSec": ("t", STOPPING),
        "Restart": ("s", "on-failure"),
        "RestartUSec": ("t", SECOND // 2),
        "RestartPreventExitStatus": ("(aiai)", ([int(code) for code in ExitCode if code], [])),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }

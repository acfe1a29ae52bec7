"""Handing the work to the host's systemd, because this container dies with its engine.

A transient unit starts `nsenter --mount=<that of a process here> … python`: a process of the host's systemd that lives
in the root file system of this container. It outlives the container, even one started with `--rm`, and it can start the
image's programs to the end; only the upper layer is gone, so it writes nothing but the host's files.

The unit's type is `notify`, so that its start job is done when the worker itself says that it is there. Its
`ExecStopPost=` lines are the safety net (`safety_net.py`), which brings the engine back however the worker ended.
After that, systemd starts a worker that died once more; a keeper (`keeper.py`) has kept its root file system.

The line of a unit is fixed when it is made, and the process it names may have ended when it is run again, and its
number been given to another, of a container of anybody: python would be that one's, as root on the host. So the line
takes hold of the namespace first, and goes on if the process is still the one that began when it did.
"""

import os
import sys
from contextlib import suppress
from typing import Any

from entrypoint.console.command import CALLED, IMAGE
from entrypoint.console.errors import ExitCode, SystemdError
from entrypoint.host.disks.filesystem import atomic_write
from entrypoint.host.host import HOST_PID, Host
from entrypoint.host.machine.processes import Process, look
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.units import Command
from entrypoint.journal.record import PLACE, Run
from entrypoint.move import safety_net
from entrypoint.move.worker import memory
from entrypoint.plan.plan import Plan

UNIT = "relocator.service"
KEEPER = "relocator-keeper.service"
KEPT_ENVIRONMENT = (IMAGE, CALLED)
PYTHON = (sys.executable, "-I", "-u", "-B", "-X", "utf8", "-m")  # as the image starts it (Dockerfile)
KEEPER_GONE = 69  # EX_UNAVAILABLE: none of ours, and the program was not even started
ENTER = "enter.sh"
# In a file: systemd since 257 or so reads a `$$` in a line otherwise when it has read its units again. Words: number,
# beginning, program … . What is open is of the process that is asked for its beginning afterwards, or that one has
# ended. The name in `stat` may hold anything; the words behind it hold no bracket.
SCRIPT = f"""\
pid=$1 began=$2
shift 2
is_it() {{
    read -r line <"/proc/$pid/stat" || return 1
    set -f -- ${{line##*) }}
    [ "${{20}}" = "$began" ]
}}
{{ is_it && exec "$@"; }} 3<"/proc/$pid/ns/mnt"
echo "The process that keeps the image of relocator at hand has ended; its number was $pid." >&2
exit {KEEPER_GONE}
"""
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


def hand_over(host: Host, systemd: ServiceManager, run: Run, plan: Plan) -> None:
    """Start the keeper and the worker, and return when the worker says that it is there."""
    memory.move_into(always=plan.holds)
    dismiss(systemd)
    systemd.reset_failed([UNIT, KEEPER])
    first = inside(host, run, Process.own(), "entrypoint.move.worker.keeper")
    safety_net.spread(run, plan)
    atomic_write(run.place / ENTER, SCRIPT.encode(), mode=0o600)
    systemd.start_transient(KEEPER, keeper_properties(first))
    worker = inside(host, run, keeper(systemd), "entrypoint", "worker", run.number)
    systemd.start_transient(UNIT, worker_properties(worker, safety_net.lines(host, run, plan)))


def keeper(systemd: ServiceManager) -> Process:
    """The keeper's process. Raises SystemdError if there is none.

    systemd is asked again when it has been looked at: the number of a process that systemd has not seen end is free
    for no other.
    """
    pid = systemd.unit(KEEPER).main_pid
    with suppress(OSError, IndexError, ValueError):
        found = Process(pid, look(pid).began)
        if pid and systemd.unit(KEEPER).main_pid == pid:
            return found
    raise SystemdError(f"{KEEPER} ended at once.", details=f"Why: journalctl -u {KEEPER}")


def outcome_line() -> str:
    """What waits on the host until the worker has ended, and tells how. It asks the unit, not the engine, which may
    answer for a moment yet, and may never again."""
    return f"until systemctl is-active {UNIT} | grep -q inactive; do sleep 1; done; relocator status --wait"


def dismiss(systemd: ServiceManager) -> None:
    """End the keeper, if there is one: the worker that has said its last word needs it no more."""
    if systemd.unit(KEEPER).exists:
        systemd.stop([KEEPER])


def inside(host: Host, run: Run, process: Process, *module: str) -> Command:
    """nsenter from the host, python from the image, in the mount namespace of a process.

    The first program is nsenter too: by its label SELinux's policy tells the domain, and a shell has another.
    `-I`: the working directory is the host's and no place for code.
    """
    nsenter, shell = safety_net.program(host, "nsenter"), safety_net.program(host, "sh")
    python = (nsenter, "--mount=/proc/self/fd/3", "--wd=/", "--", *PYTHON, *module)
    return Command((
        nsenter, f"--mount=/proc/{HOST_PID}/ns/mnt", "--", shell, f"{PLACE}/runs/{run.number}/{ENTER}",
        str(process.pid), str(process.began), *python,
    ))  # fmt: skip


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
    has said its last word, and without the keeper there is nothing to start.
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
        "RestartPreventExitStatus": ("(aiai)", ([*(int(code) for code in ExitCode if code), KEEPER_GONE], [])),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }

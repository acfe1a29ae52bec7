"""Others that run containers with the engine's containerd: Kubernetes, nerdctl, a builder, `ctr`.

Their tasks are seen by the directories that each has in containerd's state, a namespace above it. What others keep
without running it, images and stopped containers, moves along in the root and is not seen here; nor is a program that
is connected and has no task at this instant.

containerd does not end tasks when it stops: they would go on writing to the root that is left. So they are ended before
it, if the operator has agreed to that. It is for those who started them to start them again.
"""

import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from entrypoint.console.errors import EngineError
from entrypoint.console.events import log
from entrypoint.engine.info import NAMESPACES
from entrypoint.engine.unit import service
from entrypoint.host.disks.filesystem import mounts
from entrypoint.host.host import Host
from entrypoint.host.machine import processes
from entrypoint.host.machine.persistence import until
from entrypoint.settings import flags

TASKS = "io.containerd.runtime.v2.task"  # in the state, a directory a namespace, in it one a task
SHIM = "containerd-shim"  # the parent of a task's first process
NAMESPACE_FLAGS = ("-namespace", "--namespace")
GRACE, DYING = 10.0, 10.0  # seconds, for a task that was told to end, and for one that was killed


@dataclass(frozen=True)
class Task:
    """A task by its name; `pid` is its first process, 0 if that has ended."""

    namespace: str
    name: str
    pid: int


def tasks(host: Host, state: str, own: Collection[str] = NAMESPACES) -> tuple[Task, ...]:
    """Those of others than the engine, whose namespaces are its `own`."""
    found = _tasks(host.path(host.resolve(f"{state}/{TASKS}")))
    return tuple(sorted((one for one in found if one.namespace not in own), key=lambda one: (one.namespace, one.name)))


def _tasks(place: Path) -> Iterator[Task]:
    for bundle in place.glob("*/*"):
        yield Task(bundle.parent.name, bundle.name, _first_process(bundle))


def _first_process(bundle: Path) -> int:
    with suppress(OSError, ValueError):
        pid = int((bundle / "init.pid").read_text())
        return pid if _is_task(pid, bundle.parent.name) else 0
    return 0


def _is_task(pid: int, namespace: str) -> bool:
    """Whether a process runs, and below a shim of a namespace: its number may be another's by now, even a container's
    of the engine. A shim that does not tell its namespace is believed."""
    with suppress(OSError, IndexError, ValueError):
        seen = processes.look(pid)
        shim = processes.PROCESSES / str(seen.parent)
        if seen.state in processes.ENDED or not (shim / "comm").read_text().startswith(SHIM):
            return False
        told = flags.last(service.arguments(seen.parent)[1:], NAMESPACE_FLAGS)
        return told is None or told.value == namespace
    return False


def end(host: Host, state: str, own: Collection[str] = NAMESPACES) -> None:
    """End their tasks. Raises EngineError if one cannot be ended."""
    found = [one for one in tasks(host, state, own) if one.pid]
    if found:
        log.warning("tenants.ended", tasks=[f"{one.namespace}/{one.name}" for one in found])
    _signal(found, signal.SIGTERM)
    with suppress(EngineError):
        _await_end(found, GRACE)
    left = [one for one in found if _is_task(one.pid, one.namespace)]
    _signal(left, signal.SIGKILL)
    _await_end(left, DYING)


def _signal(found: Iterable[Task], number: signal.Signals) -> None:
    for one in found:
        processes.send(one.pid, number, partial(_is_task, one.pid, one.namespace))


def _await_end(found: Iterable[Task], seconds: float) -> None:
    until(lambda: not [one for one in found if _is_task(one.pid, one.namespace)], waiting_for="others' tasks to end",
          seconds=seconds, late=())  # fmt: skip


def unmount(host: Host, state: str, root: str) -> None:
    """Unmount the files of ended tasks, with containerd down: whoever starts them again has them mounted anew."""
    for mount in mounts():
        inside = str(mount.point).startswith(f"{state}/{TASKS}/")
        if inside and any(option.startswith(f"upperdir={root}/") for option in mount.options):
            host.run(["umount", "--", str(mount.point)], check=False)  # what stays is found among the leftovers

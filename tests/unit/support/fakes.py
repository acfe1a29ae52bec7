"""A host without a host: fakes of systemd, the engine and the copier that keep state and share one list of calls.

The fake engine is up exactly while the fake systemd says that docker.service is active, keeps its root where the
host's daemon.json says, and treats its containers at a restart as the real one does.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from shutil import copy2, copytree
from typing import Any

from entrypoint.console.errors import CopyError, EngineError, RelocatorError, SystemdError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.engine.docker import Engine
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.inventory import ALIVE, Container, Inventory, Status
from entrypoint.engine.swarm import State, Swarm
from entrypoint.host.host import Host
from entrypoint.host.machine import programs
from entrypoint.host.machine.processes import Process
from entrypoint.host.services import dependents, hold
from entrypoint.host.services.units import STOPPED, Unit, UnitState
from entrypoint.move.context import Move
from entrypoint.move.switch import guard
from entrypoint.plan.root_move import RootMove
from entrypoint.settings.formats.config_toml import SETTING, root_in

SERVICE = "docker.service"
CONTAINERD, CONTAINERD_CONFIG, CONTAINERD_ROOT = "containerd.service", "/etc/containerd/config.toml", "/srv/containerd"
SOCKET = "docker.socket"
CONFIG = "/etc/docker/daemon.json"
DEFAULT_ROOT = "/srv/default-root"
GONE = Process(2**22 + 1, 0)  # the kernel gives no number above 2**22
MAIN_PID = os.getppid()  # of every transient unit; it must be there

Call = tuple[Any, ...]
INJECTED: dict[str, type[RelocatorError]] = {"engine": EngineError, "final_sync": CopyError}


@dataclass
class Calls:
    """What was asked of the fakes, in order, and which of it is to fail or to have company.

    `failures` are the numbers of the calls that fail, counted from 0 with the error of their kind; what is made again
    has another number, so that it does not fail again unless failures are `lasting`.
    `moments` maps a call's name to what somebody else does just before the first of that name.
    """

    made: list[Call] = field(default_factory=list)
    failures: set[int] = field(default_factory=set)
    moments: dict[str, Callable[[], object]] = field(default_factory=dict)
    lasting: int = 1_000_000  # from which number on a call that has failed fails whenever it is made again
    dead: set[Call] = field(default_factory=set)

    def record(self, *call: Any) -> None:
        self.made.append(call)
        if moment := self.moments.pop(call[0], None):
            moment()
        if len(self.made) - 1 in self.failures or call in self.dead:
            self.dead |= {call} if len(self.made) > self.lasting else set()
            raise INJECTED.get(call[0].partition(".")[0], SystemdError)("injected", details=str(call))


@dataclass
class Box:
    """A container in the fake engine: how it stands, and what its main process does with the engine's SIGTERM."""

    container: Container
    exit_code: int = 0
    ended_at: float = 1.0  # seconds since 1970; the engine was away at 0
    code_at_stop: int = 143
    stopped_by_hand: bool = False
    starts: bool = True
    anonymous_volume: str | None = None
    is_busy: int = 0  # how often it cannot be paused, because it is being started again
    tasks_left: int = 0  # starts that fail, for the last task is not gone


@dataclass
class Daemon:
    """The engine's state on the host, whether a connection is open or not."""

    host: Host
    calls: Calls
    up: bool = True
    root: str = DEFAULT_ROOT
    boxes: dict[str, Box] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=lambda: {"sha256:1": "app:1"})
    volumes: dict[str, str] = field(default_factory=lambda: {"data": "local"})
    forgets_images_on: str | None = None
    stays_on: str | None = None
    live_restore: bool = False
    driver: str = "overlay2"
    containerd: "FakeContainerd | None" = None
    swarm: Swarm = field(default_factory=Swarm)
    locks: bool = False  # each start leaves the node locked
    events: list[dict[str, Any]] = field(default_factory=list)  # what others have done
    serves: bool = True  # whether its containers are such as clients write by
    ran: dict[str, dict[str, str]] = field(default_factory=dict)  # by root: when containers were started there

    def add(self, name: str, status: Status = Status.RUNNING, policy: str = "no", **facts: Any) -> Box:
        auto_remove = facts.pop("auto_remove", False)
        started = f"2024-01-01T00:00:{len(self.boxes):02}Z"
        anonymous = facts.get("anonymous_volume")
        volumes = (anonymous,) if anonymous else ()
        box = Box(Container(name, name, "sha256:1", status, policy, auto_remove, started, volumes), **facts)
        self.boxes[name] = box
        self.volumes |= dict.fromkeys(volumes, "local")
        return box

    def status(self, name: str) -> Status:
        return self.boxes[name].container.status

    def set_status(self, name: str, status: Status) -> None:
        self.boxes[name].container = replace(self.boxes[name].container, status=status)
        if status is Status.RUNNING:
            self.ran.setdefault(self.root, {})[name] = str(len(self.calls.made))

    def starts(self, root: Path) -> dict[str, str]:
        """What stands in the files of a root (served.starts)."""
        return self.ran.get("/" + str(root.relative_to(self.host.root)), {}) if self.serves else {}

    def act(self, kind: str, action: str, key: str) -> None:
        """Something that somebody else has done, as the engine's events tell it."""
        self.events.append({"Type": kind, "Action": action, "Actor": {"ID": key, "Attributes": {}}})

    def stop(self) -> None:
        self.up = False
        if self.live_restore:
            return
        for name, box in list(self.boxes.items()):
            if box.container.status in ALIVE:
                box.exit_code = box.code_at_stop
                self.set_status(name, Status.EXITED)
                if box.container.auto_remove:
                    self.remove(name)

    def remove(self, name: str) -> None:
        box = self.boxes.pop(name)
        if box.anonymous_volume:
            del self.volumes[box.anonymous_volume]

    def start(self) -> None:
        """The table of restart policies after a start of the engine."""
        self.up = True
        if self.locks:
            self.swarm = Swarm(State.LOCKED)
        self.root = self.stays_on or self.configured_root()
        if self.containerd:
            self.containerd.pairs.append((self.root, self.containerd.root))
        if self.root == self.forgets_images_on:
            self.images = {}
        for name, box in self.boxes.items():
            comes_back = {
                "always": True,
                "unless-stopped": not box.stopped_by_hand,
                "on-failure": box.exit_code != 0,
            }.get(box.container.policy, False)
            if comes_back and box.container.status is Status.EXITED:
                self.set_status(name, Status.RUNNING)

    def configured_root(self) -> str:
        place = self.host.path(CONFIG)
        configured: dict[str, str] = json.loads(place.read_text() or "{}") if place.exists() else {}
        return configured.get("data-root", DEFAULT_ROOT)


@dataclass
class FakeContainerd:
    """containerd's state: the root it works on, empty while it is down, and with which the engine was started."""

    host: Host
    root: str = CONTAINERD_ROOT
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def start(self) -> None:
        place = self.host.path(CONTAINERD_CONFIG)
        self.root = (
            self.root or root_in(place.read_bytes() if place.exists() else None, SETTING, "file") or CONTAINERD_ROOT
        )

    def works_on(self, _host: Host, _pid: int, root: PurePosixPath) -> bool:
        return self.root == str(root)


class FakeEngine(Engine):
    """One connection to a Daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def info(self) -> EngineInfo:
        root = PurePosixPath(self.daemon.root)
        live_restore = self.daemon.live_restore
        swarm = self.daemon.swarm
        return EngineInfo("ID", root, "overlay2", "graphdriver", "28.5.0", live_restore, swarm=swarm, security=())

    def containers(self) -> tuple[Container, ...]:
        found = (box.container for box in self.daemon.boxes.values())
        return tuple(sorted(found, key=lambda container: container.start))

    def container(self, container_id: str) -> Container | None:
        box = self.daemon.boxes.get(container_id)
        return box.container if box else None

    def events(self) -> tuple[dict[str, Any], ...]:
        return tuple(self.daemon.events)

    def ended(self, container_id: str) -> tuple[int, float]:
        box = self.daemon.boxes[container_id]
        return box.exit_code, box.ended_at

    def start(self, container_id: str) -> bool:
        self.daemon.calls.record("engine.start", container_id)
        box = self.daemon.boxes[container_id]
        if box.tasks_left > 0:
            box.tasks_left -= 1
            return False
        if box.starts:
            self.daemon.set_status(container_id, Status.RUNNING)
        return True

    def pause(self, container_id: str) -> bool:
        self.daemon.calls.record("engine.pause", container_id)
        if self.daemon.boxes[container_id].is_busy > 0:
            self.daemon.boxes[container_id].is_busy -= 1
            return False
        self.daemon.set_status(container_id, Status.PAUSED)
        return True

    def stop(self, container_id: str) -> None:
        self.daemon.calls.record("engine.stop", container_id)
        self.daemon.boxes[container_id].stopped_by_hand = True
        self.daemon.set_status(container_id, Status.EXITED)
        if self.daemon.boxes[container_id].container.auto_remove:
            self.daemon.remove(container_id)

    def inventory(self) -> Inventory:
        daemon = self.daemon
        daemon.calls.record("engine.inventory")
        return Inventory("ID", daemon.driver, "graphdriver", self.containers(), dict(daemon.images),
                         dict(daemon.volumes), {"bridge": "bridge"}, {}, node=daemon.swarm.node)  # fmt: skip


def opener(daemon: Daemon) -> Callable[[Path], Any]:
    """What stands in for `Engine.opened`: a connection while the engine is up, an EngineError otherwise."""

    @contextmanager
    def opened(_socket: Path) -> Iterator[Engine]:
        if not daemon.up:
            raise EngineError("The Docker engine did not answer as expected.", details="connection refused")
        yield FakeEngine(daemon)

    return opened


class FakeSystemd:
    """Units with states. The hold is honoured: what it asserts away is not started."""

    def __init__(self, host: Host, calls: Calls, daemon: Daemon | None = None) -> None:
        self.host, self.calls, self.daemon = host, calls, daemon
        self.states = {SERVICE: UnitState.ACTIVE, SOCKET: UnitState.ACTIVE}
        self.dependents: dict[str, tuple[str, ...]] = {}
        self.queued: set[str] = set()  # units with a job; a stop of what they need takes it away
        self.unwilling: set[str] = set()  # units whose start fails
        self.properties: dict[str, dict[str, tuple[str, Any]]] = {}
        self.comes_back = False
        self.stopping = False
        self.stillborn: set[str] = set()  # transient units whose process ends at once
        self.ran: dict[str, float] = {}  # when the program of a unit was last run

    def close(self) -> None:
        pass

    def unit(self, name: str) -> Unit:
        known = name in self.states
        state = self.states.get(name, UnitState.INACTIVE)
        along = self.dependents.get(name, ())
        pid = MAIN_PID if name in self.properties and name not in self.stillborn else 0
        load_state = "loaded" if known else "not-found"
        has_job = name in self.queued
        return Unit(name, load_state, state, "success", pid, "", (), dependents=along, has_job=has_job,
                    ran=self.ran.get(name, 0.0))  # fmt: skip

    def unit_of(self, pid: int) -> str | None:
        return next((name for name in self.states if self.unit(name).main_pid == pid), None)

    def variables(self) -> dict[str, str]:
        return {}

    def services_at_work(self) -> tuple[str, ...]:
        return tuple(name for name, state in self.states.items() if name.endswith(".service") and state not in STOPPED)

    def is_busy(self, name: str) -> bool:
        return self.unit(name).active_state not in STOPPED

    def stop(self, names: Iterable[str]) -> None:
        stopped = tuple(names)
        self.calls.record("stop", *stopped)
        self.queued -= set(dependents.awaited(self, stopped))
        self.states |= dict.fromkeys(dependents.active(self, stopped), UnitState.INACTIVE)
        for name in stopped:
            self.states[name] = UnitState.ACTIVE if self.comes_back else UnitState.INACTIVE
        if self.daemon and self.daemon.containerd and CONTAINERD in stopped:
            self.daemon.containerd.root = ""
        if self.daemon and self.states[SERVICE] in STOPPED and self.daemon.up:
            self.daemon.stop()

    def start(self, names: Iterable[str]) -> None:
        started = tuple(names)
        self.calls.record("start", *started)
        if self.host.path(hold.HOLD).exists():
            raise SystemdError(f'StartUnit of {started[0]} ended with "assert".')
        if unwilling := self.unwilling.intersection(started):
            raise SystemdError(f'StartUnit of {min(unwilling)} ended with "failed".')
        for name in started:
            self.guard(name)
        self.ran |= dict.fromkeys(started, time.time())
        if self.daemon and self.daemon.containerd and (CONTAINERD in started or SERVICE in started):
            self.daemon.containerd.start()  # the engine's unit wants it
        self.states |= dict.fromkeys(started, UnitState.ACTIVE)
        if self.daemon and self.states[SERVICE] is UnitState.ACTIVE and not self.daemon.up:
            self.daemon.start()

    def guard(self, name: str) -> None:
        """What the unit runs before it starts, if it has such a drop-in of ours: the real script, by the real shell."""
        if self.host.path(guard.drop_in(name)).exists():
            line = self.host.path(guard.drop_in(name)).read_text().split("exec /usr/bin/sh ")[1].split(";")[0]
            self.run_script(*line.split())

    def run_script(self, path: str, *arguments: str) -> None:
        place = self.host.path(path)
        if place.exists():
            text = re.sub(r"(?<![\w/])/(?=etc/|var/lib/|srv/)", f"{self.host.root}/", place.read_text())
            ran = subprocess.run(["sh", "-c", text, path, *arguments], check=False, stderr=subprocess.DEVNULL)
            if ran.returncode:
                raise SystemdError(f'StartUnit of {arguments} ended with "failed".')

    def is_stopping(self) -> bool:
        return self.stopping

    def reset_failed(self, names: Iterable[str]) -> None:
        with suppress(SystemdError):  # as the real one does
            self.calls.record("reset_failed", *names)

    def reload(self) -> None:
        self.calls.record("reload")

    def start_transient(self, name: str, properties: dict[str, tuple[str, Any]]) -> None:
        self.calls.record("start_transient", name)
        self.properties[name] = properties
        self.states[name] = UnitState.ACTIVE


@dataclass(frozen=True)
class FakeCopier(Copier):
    """A copier whose final sync is Python's own copy: times to the nanosecond, no owners, no links."""

    calls: Calls = field(default_factory=Calls)

    def again(self, copied: Copied) -> Copied:
        self.calls.record("again")
        return copied.begin_again()

    def onward(self, copied: Copied) -> Copied:
        self.calls.record("onward")
        return copied.begin_again()

    def final_sync(self, copied: Copied) -> None:
        self.calls.record("final_sync", tuple(sorted(copied.layers)))
        copytree(self.source, self.target, copy_function=copy2, dirs_exist_ok=True, symlinks=True)
        self.trace("final sync.copied")


@dataclass(frozen=True)
class FakeMove(Move):
    """A move that copies with the fake copier."""

    calls: Calls = field(default_factory=Calls)

    def copier(self, root: RootMove) -> FakeCopier:
        source, target = self.host.path(root.source), self.host.path(root.target)
        return FakeCopier(source, target, root.links, calls=self.calls, trace=self.host.trace)


def make_host(root: Path) -> Host:
    """A host with an empty configuration and the programs that a move needs."""
    for folder in ("etc/docker", "run/systemd/system", "var/lib", "usr/bin", "proc"):
        (root / folder).mkdir(parents=True)
    (root / DEFAULT_ROOT.lstrip("/")).mkdir(parents=True)
    for program in programs.NEEDED:
        (root / "usr/bin" / program).touch(mode=0o755)
    return Host(root)

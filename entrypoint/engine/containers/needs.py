"""What a start of the containers that run now needs of the host, and what of it is gone, or of another kind, by now.

A container that runs has all that it needed when it was started. An engine looks for it again at each start.

needed                     what the engine does where it is gone (tried on 26.1)
a device                   refuses: "error gathering device information"; but not for a privileged container
a source of `--mount`      refuses: "bind source path does not exist"
a source of `-v`           makes an empty directory in its place, on which a file cannot be mounted
the device of a volume     refuses to mount it
another's namespace        refuses: `--network container:NAME` of one that is gone
a runtime                  refuses
a network                  refuses (networks.py)
a port of the host         refuses, if somebody else listens there by now

What lies on a server that does not answer is not waited for (reach.py), and said to be unknown.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from entrypoint.console.errors import HostCommandError
from entrypoint.engine.containers import networks
from entrypoint.engine.docker import Engine
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.reach import Reach
from entrypoint.host.host import Host
from entrypoint.host.machine.listeners import Listener, listeners

OTHERS = "container:"
UNSEEN = "could not be looked at"
VOLUME = "volume "  # as Engine.binds names one
SPACES = {"NetworkMode": "network", "IpcMode": "IPC", "PidMode": "process"}
BUILT_IN = frozenset({"", "runc", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux"})
PROXIES = frozenset({"docker-proxy", "dockerd", "rootlesskit"})


@dataclass(frozen=True, order=True)
class Obstacle:
    """Why a container cannot be started again as it is: what is wrong, and what to do."""

    container: str
    what: str
    remedy: str

    @property
    def is_seen(self) -> bool:
        return UNSEEN not in self.what


@dataclass(frozen=True)
class Surroundings:
    """What the engine and the host have: containers by id or name, runtimes with their programs, devices of volumes by
    their names, who listens on ports, networks by number with the interface that each is on, and the host's own."""

    containers: frozenset[str]
    runtimes: Mapping[str, str]
    devices: Mapping[str, str]
    listeners: Sequence[Listener] = ()
    reach: Reach = field(default_factory=Reach)
    networks: Mapping[str, str] = field(default_factory=dict)
    interfaces: frozenset[str] = frozenset()


def look(
    host: Host, engine: Engine, held: Inventory, reach: Reach, running: Iterable[Mapping[str, Any]]
) -> tuple[Obstacle, ...]:
    """Of all that run, as the engine describes them, and that a restart brings back."""
    fleeting = {one.id for one in held.containers if one.is_fleeting}
    described = [one for one in running if one["Id"] not in fleeting]
    names = {word for one in held.containers for word in (one.id, one.name)}
    devices = {name.removeprefix(VOLUME): paths[0] for name, paths in engine.binds().items() if name.startswith(VOLUME)}
    around = Surroundings(frozenset(names), engine.runtimes(), devices, listeners(frozenset(_numbers(described))),
                          reach, engine.networks(), networks.interfaces())  # fmt: skip
    return obstacles(host, described, around)


def _numbers(described: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    for one in described:
        for wanted in (one["HostConfig"].get("PortBindings") or {}).values():
            yield from (int(port) for port in (each.get("HostPort") or "" for each in wanted or ()) if port.isdigit())


def obstacles(host: Host, described: Iterable[Mapping[str, Any]], around: Surroundings) -> tuple[Obstacle, ...]:
    """Of containers as the engine describes them."""
    return tuple(sorted({Obstacle(str(one["Name"]).lstrip("/"), what, remedy)
                         for one in described for what, remedy in _of(host, one, around)}))  # fmt: skip


def _of(host: Host, one: Mapping[str, Any], around: Surroundings) -> Iterator[tuple[str, str]]:
    asked, pid = one["HostConfig"], int(one["State"].get("Pid") or 0)
    if not asked.get("Privileged"):
        yield from _devices(host, asked.get("Devices") or (), around.reach)
    yield from _binds(host, asked, one.get("Mounts") or (), pid, around.reach)
    yield from _volumes(host, one.get("Mounts") or (), around)
    yield from _spaces(asked, around.containers)
    yield from _runtime(host, str(asked.get("Runtime") or ""), around)
    yield from networks.gone(one, around.networks, around.interfaces)
    if asked.get("NetworkMode") != "host":  # it discards them, and listens itself
        yield from _ports(asked.get("PortBindings") or {}, around.listeners)


def _unseen(path: str, reach: Reach) -> tuple[str, str]:
    return (
        f"{path}, which it needs, {UNSEEN} in {reach.waited:g} s",
        f"See whether the disk or server of {path} answers; a start of the container waits for it, too.",
    )


def _devices(host: Host, devices: Iterable[Mapping[str, str]], reach: Reach) -> Iterator[tuple[str, str]]:
    """A directory stands for the devices in it."""
    for path in (str(one.get("PathOnHost") or "") for one in devices):
        kind = reach.ask(partial(_kind, host, path))
        if kind is None:
            yield _unseen(path, reach)
        elif path and kind not in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR):
            yield (f"the device {path} is {'no device any more' if kind else 'gone'}",
                   f"Plug it in, or make the container anew without --device {path}.")  # fmt: skip


def _binds(
    host: Host, asked: Mapping[str, Any], mounts: Iterable[Mapping[str, Any]], pid: int, reach: Reach
) -> Iterator[tuple[str, str]]:
    strict = {str(one.get("Source")) for one in asked.get("Mounts") or ()
              if one.get("Type") == "bind" and not (one.get("BindOptions") or {}).get("CreateMountpoint")}  # fmt: skip
    for mount in mounts:
        if mount.get("Type") != "bind" or not mount.get("Source"):
            continue
        source, there = str(mount["Source"]), str(mount.get("Destination") or "/")
        now = reach.ask(partial(_kind, host, source))
        if now is None:
            yield _unseen(source, reach)
            continue
        was = reach.ask(partial(_kind_inside, pid, there))
        if not now and source in strict:
            yield f"{source}, which it mounts, is gone", f"Bring {source} back."
        elif not now:
            yield (f"{source}, which it mounts, is gone: the engine makes an empty directory there",
                   f"Bring {source} back.")  # fmt: skip
        elif was and stat.S_ISDIR(was) != stat.S_ISDIR(now):
            kinds = ("a directory", "a file") if stat.S_ISDIR(now) else ("a file", "a directory")
            yield f"{source}, which it mounts, is {kinds[0]} now and was {kinds[1]}", f"Put {kinds[1]} at {source}."


def _volumes(host: Host, mounts: Iterable[Mapping[str, Any]], around: Surroundings) -> Iterator[tuple[str, str]]:
    for name in (str(one.get("Name")) for one in mounts if one.get("Type") == "volume"):
        path = around.devices.get(name, "")
        kind = around.reach.ask(partial(_kind, host, path)) if path.startswith("/") else stat.S_IFDIR
        if kind is None:
            yield _unseen(path, around.reach)
        elif not kind:
            yield f"{path}, which its volume {name} mounts, is gone", f"Bring {path} back."


def _spaces(asked: Mapping[str, Any], containers: frozenset[str]) -> Iterator[tuple[str, str]]:
    for key, what in SPACES.items():
        mode = str(asked.get(key) or "")
        other = mode.removeprefix(OTHERS)
        if mode.startswith(OTHERS) and other not in containers:
            yield (f"the container {other[:12]}, whose {what} namespace it shares, is gone",
                   "Make it anew with another one.")  # fmt: skip


def _runtime(host: Host, name: str, around: Surroundings) -> Iterator[tuple[str, str]]:
    """A name may be that of a program of containerd's (`io.containerd.NAME.vN`), which is looked for elsewhere."""
    runtimes, program = around.runtimes, around.runtimes.get(name, "")
    if name in BUILT_IN or (name not in runtimes and "." in name):
        return
    there = has_program(host, program, around.reach) if program else True
    if there is None:
        yield _unseen(program, around.reach)
    elif name not in runtimes or not there:
        yield f"its runtime {name} is gone ({program or 'not set up'})", f"Install {name} again."


def lost(host: Host, programs: Iterable[str]) -> tuple[str, ...]:
    """Those of some programs that are not there."""
    reach = Reach()
    return tuple(program for program in programs if has_program(host, program, reach) is False)


def has_program(host: Host, program: str, reach: Reach) -> bool | None:
    """Whether a program is there, by its path or as a name; None if its disk does not answer."""
    if program.startswith("/"):
        return None if (kind := reach.ask(partial(_kind, host, program))) is None else bool(kind)
    return host.program(program) is not None


def _ports(bindings: Mapping[str, Any], listeners: Sequence[Listener]) -> Iterator[tuple[str, str]]:
    for inner, wanted in bindings.items():
        protocol = inner.partition("/")[2] or "tcp"
        for one in wanted or ():
            port, address = str(one.get("HostPort") or ""), str(one.get("HostIp") or "")
            held = (other for other in listeners if port.isdigit() and other.takes(protocol, address, int(port)))
            if other := next((other for other in held if other.program not in PROXIES), None):
                yield (f"its port {port}/{protocol} is held by {other.program} (process {other.pid})",
                       f"Stop {other.program}, or have it listen elsewhere.")  # fmt: skip


def _kind(host: Host, path: str) -> int:
    """What a path of the host leads to, 0 if to nothing."""
    with suppress(OSError, ValueError, HostCommandError):  # the last: links without end
        place = host.path(host.resolve(path))
        return stat.S_IFMT(os.stat(place, follow_symlinks=place == host.root).st_mode)  # which may be a link of ours
    return 0


def _kind_inside(pid: int, path: str) -> int:
    """What a container has there now. Nothing is opened, and no link of its own is followed out of it."""
    with suppress(OSError, ValueError, HostCommandError):
        inside = Host(Path(f"/proc/{pid}/root"))
        return stat.S_IFMT(os.lstat(inside.path(inside.resolve(path))).st_mode) if pid else 0
    return 0

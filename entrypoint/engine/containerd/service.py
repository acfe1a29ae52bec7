"""The containerd that an engine keeps its images in: which one it is, where its root is, and who else works with it.

whose it is            how the engine finds it                                 its root
the host's             `--containerd=…`, or its socket is there at the start   its own, /var/lib/containerd
the engine's (managed) neither: dockerd starts one of its own                  `containerd/daemon` in the data root,
                       or, since 29.7, `features.embedded-containerd`:         or what DOCKER_CONTAINERD_ROOT says
                       it is one itself

(moby daemon/command/daemon_unix.go, daemon.go). The process that listens on the socket is asked of the kernel, as for
the engine; with which root it works is seen by the database that it holds open.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.engine.containerd import tenants
from entrypoint.engine.info import CONTAINERD, EngineInfo
from entrypoint.engine.unit import service
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import Host
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.ordering import DROP_IN
from entrypoint.host.services.units import Unit
from entrypoint.settings import flags, places
from entrypoint.settings.formats import config_toml
from entrypoint.settings.formats import unit as unit_files
from entrypoint.settings.places import Argument, Place, command_line
from entrypoint.settings.switch import override_path

SERVICE = "containerd.service"
SOCKET = "/run/containerd/containerd.sock"
MANAGED_SOCKET = "/run/docker/containerd/containerd.sock"
MANAGED_CONFIG = PurePosixPath("/run/docker/containerd/containerd.toml")
MANAGED_ROOT = "containerd/daemon"  # in the data root (moby daemon/command/daemon.go)
ROOT_VARIABLE = "DOCKER_CONTAINERD_ROOT"  # since 29.7, "a temporary testing override" (daemon/command/daemon.go)
CONFIG = "/etc/containerd/config.toml"
ADDRESS_FLAGS = ("--containerd",)
# Its library takes one dash for two (urfave/cli, by Go's flag).
ROOT_FLAGS, CONFIG_FLAGS, STATE_FLAGS = ("--root", "-root"), ("--config", "-config", "-c"), ("--state", "-state")
STATE = "/run/containerd"
DATABASE = "io.containerd.metadata.v1.bolt/meta.db"
BLOBS = "io.containerd.content.v1.content/blobs"


@dataclass(frozen=True)
class Containerd:
    """`root` is free of links; `is_open`: it was seen to work there. `imported` are files that its own file imports,
    `users` namespaces of others than this engine that have running tasks. `is_named`: the operator has said where to.
    `unit_files` and `environment_files` are what its command is made of; `override` is the drop-in of ours that would
    come after all others.
    """

    address: str
    service: Unit
    arguments: tuple[str, ...]
    program: str
    config: HostFile
    drop_in: HostFile
    override: HostFile
    root: PurePosixPath
    is_open: bool = True
    is_managed: bool = False
    is_named: bool = False
    imported: tuple[HostFile, ...] = ()
    state: str = STATE
    users: tuple[str, ...] = ()
    unit_files: tuple[HostFile, ...] = ()
    environment_files: tuple[HostFile, ...] = ()

    def command_line(self) -> tuple[Argument, ...]:
        """What the next start gives it. Raises ValueError."""
        return command_line(self.unit_files, self.environment_files)

    @property
    def place(self) -> Place | None:
        """The place that sets its root, or would; nothing where that cannot be told."""
        if self.root_flag:
            with suppress(ValueError):
                return places.of_flag(self.command_line(), ROOT_FLAGS)
            return None
        setting = [file for file in (self.config, *self.imported) if _root_in(file)]
        file = setting[-1] if setting else self.config
        named = _root_in(file)
        said = f'root = "{named}"' if named else ""
        was = replace(config_toml.SETTING, was=named)
        return Place(file, was, named or config_toml.DEFAULT_ROOT, said)

    def snapshots_of(self, snapshotter: str) -> str:
        """Where that keeps its directories, if the configuration says so; what cannot be read is told by a check."""
        found = ""
        for file in (self.config, *self.imported):
            with suppress(PreflightError):
                found = config_toml.snapshots_in(file.content, str(file.path), (snapshotter,)) or found
        return found

    @property
    def root_flag(self) -> str:
        """The root that its command line sets, if it does."""
        flag = flags.last(self.arguments[1:], ROOT_FLAGS)
        return flag.value if flag else ""


def snapshots(snapshotter: str) -> str:
    """Where a snapshotter keeps what images and containers are made of, in containerd's root."""
    return f"io.containerd.snapshotter.v1.{snapshotter}"


def look(
    host: Host,
    systemd: ServiceManager,
    engine: EngineInfo,
    arguments: Sequence[str],
    table: tuple[Mount, ...],
    environment: Mapping[str, str],
) -> Containerd | None:
    """Nothing where the engine keeps its images in the data root. Raises PreflightError for what cannot be read."""
    if engine.store != CONTAINERD:
        return None
    address = address_of(host, engine, arguments)
    pid = _listener(host, address)
    words = service.arguments(pid)
    named = flags.last(words[1:], CONFIG_FLAGS)
    config = HostFile.read(host, named.value if named else CONFIG, table)
    unit = _unit(systemd, pid)
    imported = tuple(_imported(host, config, table))
    is_embedded = bool(words) and words == tuple(arguments)  # it is the engine's own process that listens
    if is_embedded:
        named_root = environment.get(ROOT_VARIABLE) or str(engine.data_root / MANAGED_ROOT)
    else:
        named_root = _root(words, config, imported)
    root = host.resolve(PurePosixPath("/", named_root))
    return Containerd(
        address=address,
        service=unit,
        arguments=words,
        program=service.program(unit),
        config=config,
        drop_in=HostFile.read(host, unit_files.drop_in(unit.name, DROP_IN), table),
        override=HostFile.read(host, override_path(unit.name, unit.drop_ins), table),
        root=root,
        is_open=works_on(host, pid, root),
        is_managed=is_embedded or config.path == host.resolve(MANAGED_CONFIG),
        imported=imported,
        state=(found := _state(words)),
        unit_files=service.unit_files(host, unit, table),
        environment_files=service.environment_files(host, unit, table),
        users=tuple(dict.fromkeys(one.namespace for one in tenants.tasks(host, found, engine.namespaces))),
    )


def address_of(host: Host, engine: EngineInfo, arguments: Sequence[str]) -> str:
    """The socket: as the engine tells it, or was told it, or as it would look for it."""
    flag = flags.last(arguments[1:], ADDRESS_FLAGS)
    if engine.containerd or flag:
        return engine.containerd or (flag.value if flag else "")
    is_managed = _listener(host, MANAGED_SOCKET) > 0
    return MANAGED_SOCKET if is_managed else SOCKET


def default_target(target: PurePosixPath) -> PurePosixPath:
    """Beside the new data root, on the same file system: as /var/lib/containerd is beside /var/lib/docker."""
    return target.with_name("containerd" if target.name == "docker" else f"{target.name}-containerd")


def works_on(host: Host, pid: int, root: PurePosixPath) -> bool:
    """Whether a process holds the database of a root open."""
    with suppress(OSError):
        wanted = host.path(root / DATABASE).stat()
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile, or nothing that has a place
                if os.path.samestat(handle.stat(), wanted):
                    return True
    return False


def _state(arguments: Sequence[str]) -> str:
    """Where it keeps what does not outlive a boot."""
    flag = flags.last(arguments[1:], STATE_FLAGS)
    return flag.value if flag else STATE


def _listener(host: Host, address: str) -> int:
    with suppress(OSError):
        return service.listener(host.path(host.resolve(address.removeprefix("unix://"))))
    return 0


def _unit(systemd: ServiceManager, pid: int) -> Unit:
    name = systemd.unit_of(pid) if pid else None
    return systemd.unit(name if name and name.endswith(".service") else SERVICE)


def _root(arguments: Sequence[str], config: HostFile, imported: Sequence[HostFile]) -> str:
    """The root that is in force: the flag's, or the last file's that sets one."""
    flag = flags.last(arguments[1:], ROOT_FLAGS)
    if flag:
        return flag.value
    set_in = [_root_in(file) for file in (config, *imported)]
    return next(filter(None, reversed(set_in)), config_toml.DEFAULT_ROOT)


def _root_in(file: HostFile) -> str:
    """What is no TOML sets nothing here; a check tells of it."""
    with suppress(PreflightError):
        return config_toml.root_in(file.content, config_toml.SETTING, str(file.path)) or ""
    return ""


def _imported(host: Host, config: HostFile, table: tuple[Mount, ...]) -> Iterator[HostFile]:
    """The files that a file imports, and those that they import, in the order in which they are read: each once, and
    what is read later wins (containerd cmd/containerd/server/config)."""
    pending, known = [config], {config.path}
    while pending:
        for file in _imports(host, pending.pop(0), table):
            if file.path not in known:
                known.add(file.path)
                pending.append(file)
                yield file


def _imports(host: Host, config: HostFile, table: tuple[Mount, ...]) -> Iterator[HostFile]:
    """By names that may be patterns, from the directory that the file is in."""
    patterns: list[str] = []
    with suppress(PreflightError):
        patterns = config_toml.parse(config.content, str(config.path)).get("imports", [])
    for pattern in map(str, patterns):
        where = PurePosixPath(config.path.parent, pattern)
        folder = host.path(host.resolve(where.parent))
        for place in sorted(folder.glob(where.name)) if folder.is_dir() else ():
            yield HostFile.read(host, str(where.with_name(place.name)), table)

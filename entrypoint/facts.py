"""The facts a move depends on, gathered once, by the only code that looks at the host before the plan is made."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from entrypoint import daemon_config, layers
from entrypoint.engine import Engine, EngineInfo, socket_of
from entrypoint.errors import PreflightError
from entrypoint.filesystem import Mount, Space, existing_ancestor, mount_of, mounts
from entrypoint.host import Host, run
from entrypoint.inventory import Inventory
from entrypoint.systemd import Systemd, Unit
from entrypoint.unfinished import Unfinished

SERVICE = "docker.service"
SOCKET_UNIT = "docker.socket"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d/50-relocator.conf"
DEFAULT_ROOT = "/var/lib/docker"
DEFAULT_CONFIG = "/etc/docker/daemon.json"
MEASURING = 3600.0  # seconds; `du` over tens of millions of files on a slow disk


@dataclass(frozen=True)
class Size:
    """What a data root holds on its disk: allocated bytes, and entries."""

    allocated: int
    entries: int


@dataclass(frozen=True)
class Target:
    """The path the operator named, and what is there now.

    `path` is as named, `resolved` with the host's symlinks followed. `content` are up to a few names found in it;
    `ancestor` is the nearest directory that exists, `unfinished` the record of an attempt that was cut off.
    """

    path: PurePosixPath
    resolved: PurePosixPath
    exists: bool
    is_directory: bool
    content: tuple[str, ...]
    ancestor: PurePosixPath
    ancestor_is_directory: bool
    mount: Mount
    space: Space
    identities: tuple[tuple[int, int], ...]
    unfinished: Unfinished | None = None


@dataclass(frozen=True)
class Source:
    """The engine's data root now."""

    path: PurePosixPath
    mount: Mount
    size: Size
    layers: int
    layer_bytes: int
    identity: tuple[int, int]
    ancestors: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class HostFile:
    """A file of the host's configuration; `content` is None where there is none. `path` is free of symlinks.

    `ancestor` is the nearest directory above it that exists.
    """

    path: PurePosixPath
    content: bytes | None
    is_file: bool
    writable: bool
    ancestor: PurePosixPath

    @classmethod
    def read(cls, host: Host, path: str, table: tuple[Mount, ...]) -> "HostFile":
        resolved = host.resolve(path)
        place, ancestor = host.path(resolved), existing_ancestor(host, resolved.parent)
        options = mount_of(ancestor, table).options
        content = place.read_bytes() if place.is_file() else None
        return cls(resolved, content, place.is_file() or not os.path.lexists(place), "ro" not in options, ancestor)


@dataclass(frozen=True)
class HostFacts:
    """All of it.

    `configured_root` is what the configuration file names for the next start; `dependents` are the units that stop
    along with the engine.
    """

    engine: EngineInfo
    inventory: Inventory
    source: Source
    target: Target
    service: Unit
    socket: Unit
    arguments: tuple[str, ...]
    config: HostFile
    drop_in: HostFile
    mounts: tuple[Mount, ...]
    fstab: str
    worker: Unit
    configured_root: PurePosixPath | None = None
    dependents: tuple[str, ...] = ()


def gather(host: Host, systemd: Systemd, target: PurePosixPath, worker_unit: str, ours: frozenset[str]) -> HostFacts:
    """Look at everything; nothing is changed. `ours` are the ids of the containers that this program runs in."""
    table = mounts()
    with Engine.opened(socket_of(host)) as engine:
        info, inventory = engine.info(), engine.inventory().without(ours)
    service = systemd.unit(SERVICE)
    arguments = process_arguments(service.main_pid)
    config = HostFile.read(host, option(arguments, "--config-file") or DEFAULT_CONFIG, table)
    return HostFacts(
        engine=info,
        inventory=inventory,
        source=_source(host, info.data_root, table),
        target=_target(host, target, table),
        service=service,
        socket=systemd.unit(SOCKET_UNIT),
        arguments=arguments,
        config=config,
        drop_in=HostFile.read(host, DROP_IN, table),
        mounts=table,
        fstab=_read_text(host.path(host.resolve("/etc/fstab"))),
        worker=systemd.unit(worker_unit),
        configured_root=_configured_root(host, config),
        dependents=systemd.active_dependents((SOCKET_UNIT, SERVICE)),
    )


def _configured_root(host: Host, config: HostFile) -> PurePosixPath | None:
    """Where the engine would look at its next start, as far as the file says it; nothing if it cannot be read."""
    try:
        parsed = daemon_config.parse(config.content, str(config.path))
    except PreflightError:
        return None
    value = parsed.get(daemon_config.KEY, parsed.get(daemon_config.OLD_KEY, DEFAULT_ROOT))
    return host.resolve(str(value))


def process_arguments(pid: int) -> tuple[str, ...]:
    """The arguments a process was really started with; none if it is gone."""
    if not pid:
        return ()
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0"))


def option(arguments: tuple[str, ...], *names: str) -> str | None:
    """The value of a flag among a Go program's arguments: `--flag value`, `--flag=value`, `-f value`, `-fvalue`."""
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else next(iter(arguments[position + 1 :]), "")
        if short := next((flag for flag in names if len(flag) == 2 and word.startswith(flag)), None):
            return word.removeprefix(short)
    return None


def measure(path: Path) -> Size:
    """What `du` counts on one file system: sparse files as what they take, hard links once."""
    excluded = f"--exclude={path}/{layers.DRIVER}/*/merged"
    common = ["du", "--summarize", "--one-file-system", excluded]
    by_bytes = run([*common, "--block-size=1", "--", str(path)], timeout=MEASURING, check=False)
    by_entry = run([*common, "--inodes", "--", str(path)], timeout=MEASURING, check=False)
    return Size(_first_number(by_bytes.stdout), _first_number(by_entry.stdout))


def _first_number(output: str) -> int:
    return int(output.split()[0]) if output.split() else 0


def _source(host: Host, path: PurePosixPath, table: tuple[Mount, ...]) -> Source:
    place = host.path(path)
    immutable = layers.immutable_layers(place)
    return Source(
        path=path,
        mount=mount_of(path, table),
        size=measure(place),
        layers=len(immutable),
        layer_bytes=sum(layer.size for layer in immutable),
        identity=_identity(place),
        ancestors=_identities(host, path),
    )


def _target(host: Host, path: PurePosixPath, table: tuple[Mount, ...]) -> Target:
    resolved = host.resolve(path)
    place = host.path(resolved)
    ancestor = existing_ancestor(host, resolved)
    return Target(
        path=path,
        resolved=resolved,
        exists=os.path.lexists(place),
        is_directory=place.is_dir(),
        content=tuple(sorted(os.listdir(place))[:5]) if place.is_dir() else (),
        ancestor=ancestor,
        ancestor_is_directory=host.path(ancestor).is_dir(),
        mount=mount_of(ancestor, table),
        space=Space.at(host.path(ancestor)),
        identities=_identities(host, ancestor),
        unfinished=Unfinished.read(place),
    )


def _identities(host: Host, path: PurePosixPath) -> tuple[tuple[int, int], ...]:
    """Device and inode of a directory and of each above it: a bind mount shows the same under another name."""
    return tuple(_identity(host.path(step)) for step in (path, *path.parents))


def _identity(place: Path) -> tuple[int, int]:
    info = place.stat()
    return info.st_dev, info.st_ino


def _read_text(place: Path) -> str:
    try:
        return place.read_text(errors="replace")
    except OSError:
        return ""

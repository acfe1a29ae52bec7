"""The facts a move depends on, gathered once, by the only code that looks at the host before the plan is made."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from entrypoint import dependents, drivers, flags, layers, packages, programs, selinux, service, unit_files, waking
from entrypoint.clock import Ahead, ahead
from entrypoint.copying import covered_now, left_out
from entrypoint.engine import Engine, EngineInfo, socket_of
from entrypoint.errors import PreflightError
from entrypoint.filesystem import Mount, Space, birth, existing_ancestor, mount_of, mounts
from entrypoint.host import Host, run
from entrypoint.host_file import HostFile
from entrypoint.interruption import pool
from entrypoint.inventory import Inventory
from entrypoint.places import Argument, Decision, command_line, decide, variables
from entrypoint.selinux import SELinux
from entrypoint.switch import override_path
from entrypoint.systemd import Systemd, Unit
from entrypoint.unfinished import Unfinished
from entrypoint.words import text_of

ORDERING = "50-relocator.conf"
DEFAULT_CONFIG = "/etc/docker/daemon.json"
NIXOS = "/etc/NIXOS"
SUBVOLUME = 256  # the inode number of each one's root: BTRFS_FIRST_FREE_OBJECTID of linux/btrfs_tree.h
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
    `ancestor` is the nearest directory that exists, `unfinished` the record of an attempt that was cut off. `closed`
    are the directories above it that only some users may pass, `exposed` those that others than root can change;
    `lacks` is what its file system cannot do, as far as that was tried (probe.py).
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
    closed: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


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
    subvolumes: tuple[str, ...] = ()
    born: str = ""
    space: Space = field(default_factory=lambda: Space(0, None))
    ahead: Ahead = field(default_factory=Ahead)


@dataclass(frozen=True)
class HostFacts:
    """All of it.

    `configured_root` is where the engine would look at its next start; `dependents` are the units that stop along with
    the engine, `awaited` those that would, and are yet to be started. `arguments` are those the engine runs with,
    `unit_files` and `environment_files` what they are made of; `override` is the drop-in of ours that would come after
    all others. `package_programs` are at work on packages now. `own_images` are those this program runs from. `waking`
    are the files that start the engine when a disk is mounted later. `binds` are the host's paths that containers and
    volumes use, by name; `sized_volumes` the names of those that were made with a limit of size. `selinux` is None
    where it is off. `unsettled` is the run that was cut off, if the last one was.
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
    override: HostFile
    mounts: tuple[Mount, ...]
    fstab: str
    worker: Unit
    program: str = ""
    unit_files: tuple[HostFile, ...] = ()
    environment_files: tuple[HostFile, ...] = ()
    configured_root: PurePosixPath | None = None
    dependents: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    is_nixos: bool = False
    package_programs: tuple[str, ...] = ()
    wants_reboot: bool = False
    own_images: frozenset[str] = frozenset()
    waking: tuple[HostFile, ...] = ()
    binds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sized_volumes: tuple[str, ...] = ()
    selinux: SELinux | None = None
    unsettled: str = ""

    def command_line(self) -> tuple[Argument, ...]:
        """What the next start gives the engine. Raises ValueError."""
        return command_line(self.unit_files, self.environment_files)

    def storage_driver(self) -> str:
        """The storage driver that the configuration names. Raises PreflightError or ValueError."""
        variable = variables(self.unit_files, self.environment_files).get(drivers.VARIABLE)
        words = [one.text for one in self.command_line()]
        return drivers.named(text_of(variable.value) if variable else "", words, self.config.content,
                             str(self.config.path))  # fmt: skip

    def decision(self) -> Decision:
        """Which place sets the data root. Raises PreflightError or ValueError."""
        return decide(self.config, self.command_line(), self.engine.version)


def gather(host: Host, systemd: Systemd, target: PurePosixPath, worker_unit: str, ours: frozenset[str]) -> HostFacts:
    """Look at everything; nothing is changed. `ours` are the ids of the containers that this program runs in."""
    programs.require(host)
    table = mounts()
    engine_socket = socket_of(host)
    with Engine.opened(engine_socket) as engine:
        info, held = engine.info(), engine.inventory()
        sized_volumes = engine.sized_volumes()
        binds = {name: resolved(host, paths) for name, paths in engine.binds().items()}
    inventory = held.without(ours)
    unit = service.find(host, systemd, engine_socket)
    socket = service.socket_unit(systemd, unit)
    arguments = service.arguments(unit.main_pid)
    config = flags.last(arguments[1:], flags.CONFIG)
    facts = HostFacts(
        engine=info,
        inventory=inventory,
        source=_source(host, info.data_root, table),
        target=_target(host, target, table),
        service=unit,
        socket=socket,
        arguments=arguments,
        config=HostFile.read(host, str(PurePosixPath("/", config.value if config else DEFAULT_CONFIG)), table),
        drop_in=HostFile.read(host, unit_files.drop_in(unit.name, ORDERING), table),
        override=HostFile.read(host, override_path(unit.name, unit.drop_ins), table),
        mounts=table,
        fstab=_read_text(host.path(host.resolve("/etc/fstab"))),
        worker=systemd.unit(worker_unit),
        program=service.program(unit),
        unit_files=service.unit_files(host, unit, table),
        environment_files=service.environment_files(host, unit, table),
        dependents=dependents.active(systemd, (socket.name, unit.name)),
        awaited=dependents.awaited(systemd, (socket.name, unit.name)),
        is_nixos=host.path(NIXOS).exists(),
        package_programs=packages.at_work(),
        wants_reboot=packages.wants_reboot(host),
        own_images=frozenset(one.image for one in held.containers if one.id in ours),
        binds=binds,
        sized_volumes=sized_volumes,
        selinux=selinux.look(host, info.data_root, table),
    )
    points = (facts.source.mount.point, facts.target.mount.point)
    files = tuple(HostFile.read(host, path, table) for path in waking.places(*points))
    return replace(facts, configured_root=_configured_root(host, facts), waking=files)


def resolved(host: Host, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Paths that may lead through links, such as an old /var/lib/docker, as they are, and as what they lead to."""
    absolute = [path for path in paths if path.startswith("/")]
    return tuple(dict.fromkeys((*absolute, *(str(host.resolve(path)) for path in absolute))))


def _configured_root(host: Host, facts: HostFacts) -> PurePosixPath | None:
    """Where the engine would look at its next start; nothing if that cannot be read."""
    try:
        return host.resolve(PurePosixPath("/", facts.decision().place.root))
    except (PreflightError, ValueError):
        return None


def measure(path: Path, covered: Iterable[str] = ()) -> Size:
    """What `du` counts on one file system: sparse files as what they take, hard links once.

    What is mounted on places that are `covered` is not the root's own, though it may be of the same file system.
    """
    excluded = [f"--exclude={path}/{name}" for name in (f"{layers.DRIVER}/*/merged", *covered)]
    common = ["du", "--summarize", "--one-file-system", *excluded]
    with pool(2) as threads:  # side by side: what one reads from the disk, the other finds in memory
        by_bytes = threads.submit(run, [*common, "--block-size=1", "--", str(path)], timeout=MEASURING, check=False)
        by_entry = threads.submit(run, [*common, "--inodes", "--", str(path)], timeout=MEASURING, check=False)
        return Size(_first_number(by_bytes.result().stdout), _first_number(by_entry.result().stdout))


def _first_number(output: str) -> int:
    return int(output.split()[0]) if output.split() else 0


def _source(host: Host, path: PurePosixPath, table: tuple[Mount, ...]) -> Source:
    place = host.path(path)
    immutable = layers.immutable_layers(place)
    return Source(
        path=path,
        mount=mount_of(path, table),
        size=measure(place, covered_now(path, table)),
        layers=len(immutable),
        layer_bytes=sum(layer.size for layer in immutable),
        identity=_identity(place),
        ancestors=_identities(host, path),
        born=birth(place),
        space=Space.at(place),
        ahead=ahead(place, left_out(layer.cache_id for layer in immutable)),
        subvolumes=subvolumes(place) if mount_of(path, table).kind == "btrfs" else (),
    )


def subvolumes(root: Path) -> tuple[str, ...]:
    """The subvolumes below a root on btrfs: no mount table has them, and they are file systems of their own."""
    search = ["find", str(root), "-xdev", "-mindepth", "1", "-type", "d", "-inum", str(SUBVOLUME), "-printf", "%P\\0"]
    return tuple(filter(None, run(search, timeout=MEASURING, check=False).stdout.split("\0")))


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
        closed=_closed(host, ancestor if ancestor != resolved else ancestor.parent),
        exposed=exposed_above(host, resolved),
    )


def _closed(host: Host, path: PurePosixPath) -> tuple[str, ...]:
    """A directory and those above it, as far as not everybody may pass through them."""
    steps = (path, *path.parents)
    return tuple(str(step) for step in steps if not host.path(step).stat().st_mode & stat.S_IXOTH)


def exposed_above(host: Host, path: PurePosixPath) -> tuple[str, ...]:
    """The directories above a path in which others than root can put something else in its place."""
    there = (step for step in path.parents if host.path(step).exists())
    return tuple(str(step) for step in there if _others_may_change(host.path(step).stat()))


def _others_may_change(info: os.stat_result) -> bool:
    """By owning it, or by a mode that lets all write; the sticky bit keeps them from what is not theirs."""
    return info.st_uid != 0 or bool(info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX)


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

"""The facts a move depends on, gathered once, by the only code that looks at the host before the plan is made."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.copy import size_limits
from entrypoint.engine.containerd import service as containerd
from entrypoint.engine.containerd.service import Containerd
from entrypoint.engine.containers import needs, owners
from entrypoint.engine.containers.needs import Obstacle
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.drivers import choice
from entrypoint.engine.drivers.choice import Configured
from entrypoint.engine.holdings import whole
from entrypoint.engine.holdings.kinship import Kinship
from entrypoint.engine.holdings.whole import Lack
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.inventory import Inventory
from entrypoint.engine.unit import absence, service
from entrypoint.engine.versions import Since, is_older
from entrypoint.host import selinux
from entrypoint.host.disks import fstab
from entrypoint.host.disks.filesystem import Mount, Space, existing_ancestor, mount_of, mounts
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.reach import Reach
from entrypoint.host.host import Host
from entrypoint.host.machine import packages, programs
from entrypoint.host.selinux import SELinux
from entrypoint.host.services import dependents, waking
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.ordering import DROP_IN
from entrypoint.host.services.units import Unit
from entrypoint.journal.journal import ROOM as JOURNAL_ROOM
from entrypoint.journal.record import PLACE
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import Left, RootFacts, RootKind, source_at, target_at
from entrypoint.settings import flags, options
from entrypoint.settings.formats import daemon_json
from entrypoint.settings.formats import unit as unit_files
from entrypoint.settings.places import Argument, Decision, command_line, decide, variables
from entrypoint.settings.switch import override_path

WRITTEN = {PLACE: JOURNAL_ROOM + 2**20, "/etc": 2**18}  # bytes that a run needs there, beside the copy
DEFAULT_CONFIG = "/etc/docker/daemon.json"
NIXOS = "/etc/NIXOS"

Table = tuple[Mount, ...]


@dataclass(frozen=True)
class HostFacts:
    """All of it.

    `roots` are those that are to move, the data root first; there is none where containerd's is to move alone, and
    there is no such. `configured_root` is where the engine would look at its next start; `dependents` are the units
    that stop along with the engine, `awaited` those that would, and are yet to be started. `arguments` and
    `environment` are those the engine runs with, `inherited` are the variables that systemd gives to every service;
    `unit_files` and `environment_files` are what both are made of; `override` is the drop-in of ours that would come
    after all others. `package_programs` are at work on packages now. `own_images` are those this program runs from.
    `waking` are the files that start the engine when a disk is mounted later, `listening` is the drop-in of its socket.
    `binds` are the host's paths that containers and volumes use, by name; `sized_volumes` the names of those that were
    made with a limit of size, `without_room` those of containers that have reached theirs. `selinux` is None where it
    is off. `unsettled` is the run that was cut off, if the last one was; `left` says of each kind of root that a move
    has left the one that the engine would have there. `containerd` is the one that the images are in, if they are in
    one. `missing` is what the engine holds and is not on its disk, `owners` who starts containers again beside the
    engine, by their names, `obstacles` why running ones could not be started again. `lost_programs` are those that the
    next start needs and that are gone. `strangers` are the containers of this program, if the engine has none of them,
    `writers` the host's paths that containers may write to, by their names. `occupant` is how a data root in the target
    is related to this one, if there is one that has no record. `traces` are the storage drivers that have left
    something in the data root. `room` says what is free, in bytes, where files are written that are not the copy.
    """

    engine: EngineInfo
    inventory: Inventory
    roots: tuple[RootFacts, ...]
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
    listening: tuple[HostFile, ...] = ()
    binds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sized_volumes: tuple[str, ...] = ()
    without_room: tuple[str, ...] = ()
    selinux: SELinux | None = None
    unsettled: str = ""
    left: Mapping[RootKind, Left] = field(default_factory=dict)
    containerd: Containerd | None = None
    missing: tuple[Lack, ...] = ()
    owners: dict[str, str] = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    occupant: Kinship | None = None
    lost_programs: tuple[str, ...] = ()
    strangers: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()
    writers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    room: Mapping[str, int] = field(default_factory=dict)
    # These may hold secrets.
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    inherited: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The engine's units that are there, the socket first."""
        return tuple(unit for unit in (self.socket, self.service) if unit.exists)

    @property
    def first(self) -> RootFacts:
        """The root whose place is set by the commit point."""
        return self.roots[0]

    def root(self, kind: RootKind) -> RootFacts | None:
        """The root of a kind, if it is to move."""
        return next((root for root in self.roots if root.kind is kind), None)

    @property
    def data_root(self) -> PurePosixPath:
        """Where the engine works now."""
        return self.engine.data_root

    @property
    def data_root_to_be(self) -> PurePosixPath:
        """Where it will work then."""
        moved = self.root(RootKind.DATA_ROOT)
        return moved.target.resolved if moved else self.data_root

    @property
    def stays(self) -> dict[RootKind, PurePosixPath]:
        """The roots that stay where they are; one that containerd has in the data root is none of its own."""
        there = {RootKind.DATA_ROOT: self.data_root}
        if self.containerd and not self.containerd.is_managed:
            there[RootKind.IMAGE_STORE] = self.containerd.root
        return {kind: path for kind, path in there.items() if self.root(kind) is None}

    @property
    def staying(self) -> tuple[PurePosixPath, ...]:
        """Where the file systems are mounted of roots that stay."""
        return tuple(mount_of(path, self.mounts).point for path in self.stays.values())

    def command_line(self) -> tuple[Argument, ...]:
        """What the next start gives the engine. Raises ValueError."""
        return command_line(self.unit_files, self.environment_files)

    def programs(self) -> tuple[str, ...]:
        """Those that are named to the engine for its next start; what cannot be read is told by a check."""
        with suppress(PreflightError, ValueError):
            config = daemon_json.parse(self.config.content, str(self.config.path))
            return options.programs(config, [argument.text for argument in self.command_line()])
        return ()

    def variables(self) -> dict[str, str]:
        """The variables that systemd gives the engine at its next start. Raises ValueError."""
        own = variables(self.unit_files, self.environment_files)
        return self.inherited | {name: variable.value for name, variable in own.items()}

    @property
    def told(self) -> Configured:
        """What the engine's next start is told of how to keep its images. Raises ValueError."""
        words, variable = [one.text for one in self.command_line()], self.variables().get(choice.VARIABLE, "")
        return Configured(variable, words, self.config.content, str(self.config.path))

    def decision(self) -> Decision:
        """Which place sets the data root. Raises PreflightError or ValueError."""
        old = is_older(self.engine.version, Since.FLAG_AND_KEY_CONFLICT)
        return decide(self.config, self.command_line(), file_wins=old)


def gather(
    host: Host,
    systemd: ServiceManager,
    request: Request,
    worker_unit: str,
    ours: frozenset[str],
    seen: HostFacts | None = None,
) -> HostFacts:
    """Look at everything; nothing is changed. `ours` are the ids of the containers that this program runs in.

    Sizes that were `seen` before are not measured again.
    """
    programs.require(host)
    table = mounts()
    engine_socket = socket_of(host)
    absence.require_engine(host, systemd, engine_socket)
    with Engine.opened(engine_socket) as engine:
        info, held = engine.info(), engine.inventory()
        sized_volumes, labels = engine.sized_volumes(), engine.labels()
        reach = Reach()
        binds = {name: reach.resolved(host, paths) for name, paths in engine.binds().items()}
        inventory = held.without(ours)
        writers = {name: reach.resolved(host, paths) for name, paths in engine.writers().items()}
        obstacles = needs.look(host, engine, inventory, reach)
    unit = service.find(host, systemd, engine_socket)
    socket = service.socket_unit(systemd, unit)
    arguments = service.arguments(unit.main_pid)
    config = flags.last(arguments[1:], flags.CONFIG)
    moves = request.only is not Only.CONTAINERD
    facts = HostFacts(
        engine=info,
        inventory=inventory,
        roots=(_root(host, RootKind.DATA_ROOT, info.data_root, request.target, table, seen),) if moves else (),
        service=unit,
        socket=socket,
        arguments=arguments,
        environment=service.environment(unit.main_pid),
        inherited=systemd.variables(),
        config=HostFile.read(host, str(PurePosixPath("/", config.value if config else DEFAULT_CONFIG)), table),
        drop_in=HostFile.read(host, unit_files.drop_in(unit.name, DROP_IN), table),
        listening=service.listening(host, socket, table),
        override=HostFile.read(host, override_path(unit.name, unit.drop_ins), table),
        mounts=table,
        fstab=fstab.read(host),
        worker=systemd.unit(worker_unit),
        program=service.program(unit),
        unit_files=service.unit_files(host, unit, table),
        environment_files=service.environment_files(host, unit, table),
        dependents=dependents.active(systemd, (socket.name, unit.name)),
        awaited=dependents.awaited(systemd, (socket.name, unit.name)),
        is_nixos=host.path(NIXOS).exists(),
        package_programs=packages.at_work(),
        wants_reboot=packages.wants_reboot(host),
        traces=choice.seen(choice.traces(host.path(info.data_root)), info.version),
        strangers=ours if ours.isdisjoint(container.id for container in held.containers) else frozenset(),
        own_images=frozenset(one.image for one in held.containers if one.id in ours),
        binds=binds,
        obstacles=obstacles,
        writers=writers,
        owners=owners.owners(owners.runners(systemd), labels),
        sized_volumes=sized_volumes,
        without_room=size_limits.without_room(host.path(info.data_root / info.within), inventory.containers),
        selinux=selinux.look(host, info.data_root, table),
        room={place: room_at(host, place) for place in WRITTEN},
    )
    facts = with_containerd(host, systemd, facts, request, seen)
    points = [place.mount.point for root in facts.roots for place in (root.source, root.target)]
    files = tuple(HostFile.read(host, path, table) for path in waking.places(*points, *facts.staying))
    return replace(facts, configured_root=_configured_root(host, facts), waking=files,
                   missing=_missing(host, facts, engine_socket),
                   lost_programs=needs.lost(host, facts.programs()))  # fmt: skip


def room_at(host: Host, place: str) -> int:
    """What is free in a directory that may have to be made."""
    return Space.at(host.path(existing_ancestor(host, host.resolve(place)))).free


def _root(
    host: Host, kind: RootKind, path: PurePosixPath, wanted: PurePosixPath, table: Table, seen: HostFacts | None
) -> RootFacts:
    known = seen.root(kind) if seen else None
    source = source_at(host, path, table, known.source if known else None)
    return RootFacts(kind, source, target_at(host, wanted, table))


def with_containerd(
    host: Host, systemd: ServiceManager, facts: HostFacts, request: Request, seen: HostFacts | None = None
) -> HostFacts:
    """The facts with those of the engine's containerd; one that it manages itself has its root in the data root."""
    found = containerd.look(host, systemd, facts.engine, facts.arguments, facts.mounts, facts.environment)
    if found is None or found.is_managed or request.only is Only.DATA_ROOT:
        return replace(facts, containerd=found)
    named = request.target if request.only is Only.CONTAINERD else request.containerd
    names = (facts.socket.name, facts.service.name, found.service.name)
    wanted = named or containerd.default_target(request.target)
    if request.only is None and host.resolve(wanted) == found.root:
        return replace(facts, containerd=found)  # it is there, and stays
    return replace(
        facts,
        containerd=replace(found, is_named=named is not None),
        roots=(*facts.roots, _root(host, RootKind.IMAGE_STORE, found.root, wanted, facts.mounts, seen)),
        dependents=tuple(name for name in dependents.active(systemd, names) if name not in names),
        awaited=tuple(name for name in dependents.awaited(systemd, names) if name not in names),
    )


def _missing(host: Host, facts: HostFacts, engine_socket: Path) -> tuple[Lack, ...]:
    found = facts.containerd
    named = found.snapshots_of(facts.engine.driver) if found else ""
    roots = whole.Roots(
        host.path(facts.data_root) / facts.engine.within,
        host.path(found.root) if found else None,
        host.path(host.resolve(named)) if named else None,
        facts.engine.namespaces[0],
    )
    if not (lacks := whole.missing(facts.inventory, roots, live=True)):
        return ()
    with Engine.opened(engine_socket) as engine:
        return whole.still(lacks, engine.inventory())


def _configured_root(host: Host, facts: HostFacts) -> PurePosixPath | None:
    """Where the engine would look at its next start; nothing if that cannot be read."""
    with suppress(PreflightError, ValueError):
        return host.resolve(PurePosixPath("/", facts.decision().place.root))
    return None

"""The looks at the host by which the facts are gathered: the only code that does so before the plan is made."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from entrypoint.console.errors import PreflightError
from entrypoint.copy import size_limits
from entrypoint.engine.containerd import service as containerd
from entrypoint.engine.containers import needs, owners, turnaround
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.drivers import choice
from entrypoint.engine.holdings import whole
from entrypoint.engine.holdings.whole import Lack
from entrypoint.engine.unit import absence, service
from entrypoint.host import selinux
from entrypoint.host.disks import fstab
from entrypoint.host.disks.filesystem import Mount, Space, existing_ancestor, mounts
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.reach import Reach
from entrypoint.host.host import Host
from entrypoint.host.machine import packages, programs
from entrypoint.host.services import dependents, waking
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.ordering import DROP_IN
from entrypoint.preflight.facts import WRITTEN, HostFacts
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import RootFacts, RootKind, Source, source_at, target_at
from entrypoint.settings import flags
from entrypoint.settings.formats import unit as unit_files
from entrypoint.settings.switch import override_path

DEFAULT_CONFIG = "/etc/docker/daemon.json"
NIXOS = "/etc/NIXOS"

Table = tuple[Mount, ...]
Seen = Mapping[RootKind, Source]


def gather(
    host: Host,
    systemd: ServiceManager,
    request: Request,
    worker_unit: str,
    ours: frozenset[str],
    seen: Seen = MappingProxyType({}),
) -> HostFacts:
    """Look at everything; nothing is changed. `ours` are the ids of the containers that this program runs in.

    Roots that were `seen` before are not measured again.
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
        running = engine.describe(one.id for one in inventory.containers if one.is_alive)
        obstacles = needs.look(host, engine, inventory, reach, running)
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
        turnarounds=turnaround.look(running),
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
    host: Host, kind: RootKind, path: PurePosixPath, wanted: PurePosixPath, table: Table, seen: Seen
) -> RootFacts:
    return RootFacts(kind, source_at(host, path, table, seen.get(kind)), target_at(host, wanted, table))


def with_containerd(
    host: Host, systemd: ServiceManager, facts: HostFacts, request: Request, seen: Seen = MappingProxyType({})
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

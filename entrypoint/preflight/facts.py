"""The facts a move depends on, and what follows from them alone; gathering.py looks for them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.engine.containerd.service import Containerd
from entrypoint.engine.containers.needs import Obstacle
from entrypoint.engine.containers.turnaround import Turnaround
from entrypoint.engine.drivers import choice
from entrypoint.engine.drivers.choice import Configured
from entrypoint.engine.holdings.kinship import Kinship
from entrypoint.engine.holdings.unneeded import Unneeded
from entrypoint.engine.holdings.whole import Lack
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.inventory import Inventory
from entrypoint.engine.versions import Since, is_older
from entrypoint.host.disks.filesystem import Mount, mount_of
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.selinux import SELinux
from entrypoint.host.services.units import Unit
from entrypoint.journal.journal import ROOM as JOURNAL_ROOM
from entrypoint.journal.record import PLACE
from entrypoint.preflight.roots import Left, RootFacts, RootKind
from entrypoint.settings import options
from entrypoint.settings.formats import daemon_json
from entrypoint.settings.places import Argument, Decision, command_line, decide, variables

GRACE = 10.0  # seconds until a container that does not end on its signal is killed, unless it or the engine says else
WRITTEN = {PLACE: JOURNAL_ROOM + 2**20, "/etc": 2**18}  # bytes that a run needs there, beside the copy


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
    engine, by their names, `obstacles` why running ones could not be started again,
    `turnarounds` how long a stop and a start of them take. `lost_programs` are those that the
    next start needs and that are gone. `strangers` are the containers of this program, if the engine has none of them,
    `writers` the host's paths that containers may write to, by their names. `occupant` is how a data root in the target
    is related to this one, if there is one that has no record. `traces` are the storage drivers that have left
    something in the data root. `room` says what is free, in bytes, where files are written that are not the copy.
    `unneeded` is what takes room in the data root, and could be removed before a move.
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
    turnarounds: tuple[Turnaround, ...] = ()
    occupant: Kinship | None = None
    lost_programs: tuple[str, ...] = ()
    strangers: frozenset[str] = frozenset()
    traces: frozenset[str] = frozenset()
    writers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    room: Mapping[str, int] = field(default_factory=dict)
    unneeded: Unneeded = field(default_factory=Unneeded)
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

    def stop_timeout(self, one: Turnaround) -> float:
        """Seconds that a container is given to end before it is killed; without end if below zero."""
        if one.seconds is not None:
            return one.seconds
        with suppress(PreflightError, ValueError):  # what cannot be read is told by a check
            config = daemon_json.parse(self.config.content, str(self.config.path))
            return options.stop_timeout(config, [argument.text for argument in self.command_line()], GRACE)
        return GRACE

    def deaf(self) -> tuple[tuple[Turnaround, float], ...]:
        """The containers that do not end on their signal, with the seconds until they are killed."""
        return tuple((one, self.stop_timeout(one)) for one in self.turnarounds if one.is_deaf)

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

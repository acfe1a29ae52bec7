"""The plan: pure data, made from facts, printed by `outline.py`, stored for the worker and executed as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from entrypoint.engine.drivers.overlay import OVERLAY2
from entrypoint.engine.info import GRAPHDRIVER, NAMESPACES
from entrypoint.engine.unit.service import SERVICE
from entrypoint.host.services.units import RUNNING
from entrypoint.plan.root_move import RootMove, RootService, root_moves
from entrypoint.preflight.checks.containerd.images import USERS
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.edits import engine as configuration
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootKind
from entrypoint.settings import formats
from entrypoint.settings.file_edit import FileEdit


class Direction(StrEnum):
    """Whether the target is a copy that is made, the root that an earlier move has left, or another that is whole."""

    FORTH = "forth"
    BACK = "back"
    ADOPT = "adopt"


@dataclass(frozen=True)
class Plan:
    """What a move will do. Paths are the host's, free of symlinks.

    `roots` are those that move. The `switch` of the first is the commit point, the others follow it. `stays` is where
    the others are. `service` is the unit that runs the engine, which works `within` a directory of the data root if
    users are remapped; by `ordering` it waits for the disks of its roots. `units` are the engine's own, started and
    stopped together, the socket first; `started` are those of them that run now and will run again. `dependents` are
    units that stop along with them, `awaited` those that are yet to be started then; nobody waits for these, as they
    may wait for the move. `adopts` is whose root the target is, if it is adopted and says so. `waking` are edits that
    let the engine start when its disk is mounted later. `driver` is the storage driver, `driver_named` the one that the
    configuration names. `remove_ephemeral`: the operator has agreed to the loss of containers with `--rm`. `rules` are
    edits of SELinux's rules, line by line. `store` is where the images are, and `snapshots` where the configuration
    says that containerd keeps them, for the engine in its `namespace`. `one_of_managers`: of a swarm, so that an older
    state must not be returned to the others. `owners` are units and agents that start containers by themselves, by the
    containers' names. By `listening` the engine's socket waits for the same disks as the engine. Where it
    `holds`, the freeze waits for the operator's word.
    """

    direction: Direction
    roots: tuple[RootMove, ...]
    units: tuple[str, ...]
    started: tuple[str, ...]
    ordering: FileEdit
    dependents: tuple[str, ...]
    engine_id: str
    bwlimit: str
    stays: Mapping[RootKind, str] = field(default_factory=dict)
    service: str = SERVICE
    within: str = ""
    engine_version: str = ""
    checksum: bool = False
    adopts: str = ""
    waking: tuple[FileEdit, ...] = ()
    listening: tuple[FileEdit, ...] = ()
    remove_ephemeral: bool = False
    driver: str = OVERLAY2.name
    driver_named: str = ""
    awaited: tuple[str, ...] = ()
    rules: tuple[FileEdit, ...] = ()
    store: str = GRAPHDRIVER
    one_of_managers: bool = False
    snapshots: str = ""
    namespace: str = NAMESPACES[0]
    owners: Mapping[str, str] = field(default_factory=dict)
    holds: bool = False

    @property
    def first(self) -> RootMove:
        """The root whose place is set by the commit point."""
        return self.roots[0]

    def root(self, kind: RootKind) -> RootMove | None:
        """The root of a kind, if it moves."""
        return next((root for root in self.roots if root.kind is kind), None)

    def place(self, kind: RootKind, *, is_target: bool) -> str:
        """Where the root of a kind is before the move, or after it; empty if there is none."""
        moved = self.root(kind)
        return moved.place(is_target=is_target) if moved else self.stays.get(kind, "")

    def data_root(self, *, is_target: bool) -> str:
        return self.place(RootKind.DATA_ROOT, is_target=is_target)

    @property
    def services(self) -> tuple[RootService, ...]:
        """Those that work on a root beside the engine: they stop when it is down, and start before it."""
        return tuple(root.service for root in self.roots if root.service)

    @property
    def every_unit(self) -> tuple[str, ...]:
        """All that stop and are held, in the order in which they stop."""
        return (*self.units, *(service.name for service in self.services))

    @property
    def every_started(self) -> tuple[str, ...]:
        """All that starts again, in that order."""
        return (*(service.name for service in self.services if service.started), *self.started)

    @property
    def is_of_containerd(self) -> bool:
        """Whether the images are in containerd."""
        return self.store != GRAPHDRIVER

    @property
    def orderings(self) -> tuple[FileEdit, ...]:
        """What makes the services, and the socket, wait for the disks of their roots, the engine's first."""
        return (self.ordering, *(service.ordering for service in self.services), *self.listening)

    @property
    def follow(self) -> tuple[FileEdit, ...]:
        """The files that name what is in a root, and do not set it."""
        return tuple(edit for root in self.roots for edit in root.follow)

    @property
    def edits_of_theirs(self) -> tuple[FileEdit, ...]:
        """The edits of files that are not ours, and must be as they were when they were planned; the commit point
        last. Of SELinux's rules only our own line counts."""
        return (*self.follow, *(root.switch for root in reversed(self.roots)))

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        """All of them, the commit point last."""
        return (*self.waking, *self.rules, *self.orderings, *self.edits_of_theirs)

    @property
    def target_engine_id(self) -> str:
        """What the engine is called once it runs on the target."""
        return self.adopts or self.engine_id

    def is_target(self, configured: str | None) -> bool:
        """Whether a configured root leads to the first target. Going back, there may be none: the default is meant."""
        if self.direction is not Direction.BACK:
            return configured == self.first.target
        switch = self.first.switch
        return configured == formats.root_in(switch.after, switch.setting, switch.path)


def adopting(made: Plan, engine_id: str) -> Plan:
    """The same, for a target that is a whole root; nothing is copied, and nothing has to be made."""
    roots = tuple(replace(root, created=()) for root in made.roots)
    return replace(made, direction=Direction.ADOPT, adopts=engine_id, roots=roots, checksum=False)


def make(facts: HostFacts, request: Request) -> Plan:
    """The plan for facts without an error finding."""
    return Plan(
        direction=Direction.FORTH,
        roots=tuple(root_moves(facts, ends_others=USERS in request.accepted)),
        stays={kind: str(path) for kind, path in facts.stays.items()},
        units=tuple(unit.name for unit in facts.units),
        started=tuple(unit.name for unit in facts.units if unit.active_state in RUNNING),
        ordering=configuration.ordering_edit(facts),
        listening=configuration.listening_edits(facts),
        waking=configuration.waking_edits(facts),
        rules=configuration.rule_edits(facts),
        dependents=facts.dependents,
        awaited=facts.awaited,
        engine_id=facts.engine.engine_id,
        bwlimit=request.bwlimit,
        checksum=request.checksum,
        remove_ephemeral=EPHEMERAL in request.accepted,
        driver=facts.engine.driver,
        driver_named=facts.told.driver,
        service=facts.service.name,
        within=facts.engine.within,
        engine_version=facts.engine.version,
        store=facts.engine.store,
        namespace=facts.engine.namespaces[0],
        one_of_managers=facts.engine.swarm.is_one_of_managers,
        owners=facts.owners,
        holds=request.waits,
        snapshots=facts.containerd.snapshots_of(facts.engine.driver) if facts.containerd else "",
    )


def as_it_runs(made: Plan, facts: HostFacts) -> Plan:
    """The same, with what stops along with the engine now; a copy of hours lies between the plan and the stop."""
    started = tuple(unit.name for unit in facts.units if unit.active_state in RUNNING)
    return replace(made, started=started, dependents=facts.dependents, awaited=facts.awaited, owners=facts.owners,
                   engine_version=facts.engine.version)  # fmt: skip

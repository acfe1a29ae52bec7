"""The plan: pure data, made from facts, printed by `outline.py`, stored for the worker and executed as it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from entrypoint.engine.drivers.overlay import OVERLAY2
from entrypoint.engine.info import GRAPHDRIVER
from entrypoint.engine.unit.service import SERVICE
from entrypoint.host.services.units import RUNNING
from entrypoint.plan import containerd_move
from entrypoint.plan.containerd_move import ContainerdMove
from entrypoint.preflight import edits as configuration
from entrypoint.preflight.checks.target import can_link
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import formats
from entrypoint.settings.file_edit import FileEdit, missing_directories


class Direction(StrEnum):
    """Whether the target is a copy that is made, the root that an earlier move has left, or another that is whole."""

    FORTH = "forth"
    BACK = "back"
    ADOPT = "adopt"


@dataclass(frozen=True)
class Plan:
    """What a move will do. Paths are the host's, free of symlinks.

    `service` is the unit that runs the engine, which works `within` a directory of its root if users are remapped.
    `units` are started and stopped, the socket first; `started` are those of them that run now and will run again.
    `dependents` are units that stop along with them, `awaited` those that are yet to be started then; nobody waits for
    these, as they may wait for the move.
    `switch` is the edit that is the commit point; `ordering` makes the engine wait for the target's disk. `created` are
    the directories that have to be made for the target, the outermost first. `source_identity` is the device and the
    inode of the source, and `source_born` when it was made; by these it is known when it is to be removed. `adopts` is
    whose root the target is, if it is adopted and says so. `waking` are edits that let the engine start when its disk
    is mounted later. `driver` is the storage driver, `driver_named` the one that the configuration names.
    `remove_ephemeral`: the operator has agreed to the loss of containers with `--rm`. `rules` are edits of SELinux's
    rules, line by line. `containerd` is the move of its root along with this one, `store` where the images are.
    `one_of_managers`: of a swarm, so that an older state must not be returned to the others. `alone`: containerd's root
    moves alone. Then the data root is source and target, where it stays, and `switch` is the edit of containerd's file.
    `images` is containerd's root where that stays, and `snapshots` where the configuration says that it keeps them.
    `owners` are units and agents that start containers by themselves, by the containers' names.
    """

    source: str
    target: str
    same_file_system: bool
    units: tuple[str, ...]
    started: tuple[str, ...]
    ordering: FileEdit
    switch: FileEdit
    dependents: tuple[str, ...]
    created: tuple[str, ...]
    size: int
    entries: int
    layers: int
    engine_id: str
    bwlimit: str
    direction: Direction
    source_identity: tuple[int, int]
    source_born: str
    service: str = SERVICE
    within: str = ""
    engine_version: str = ""
    checksum: bool = False
    adopts: str = ""
    waking: tuple[FileEdit, ...] = ()
    remove_ephemeral: bool = False
    driver: str = OVERLAY2.name
    driver_named: str = ""
    awaited: tuple[str, ...] = ()
    rules: tuple[FileEdit, ...] = ()
    containerd: ContainerdMove | None = None
    store: str = GRAPHDRIVER
    one_of_managers: bool = False
    alone: bool = False
    images: str = ""
    snapshots: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)

    @property
    def every_unit(self) -> tuple[str, ...]:
        """All that stop and are held, in the order in which they stop: containerd when the engine is down."""
        return (*self.units, *([self.containerd.service] if self.containerd else []))

    @property
    def every_started(self) -> tuple[str, ...]:
        """All that starts again, containerd first."""
        return (*([self.containerd.service] if self.containerd and self.containerd.started else []), *self.started)

    @property
    def is_of_containerd(self) -> bool:
        """Whether the images are in containerd."""
        return self.store != GRAPHDRIVER

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        """All of them, the commit point last."""
        ordering = (self.containerd.ordering, *self.containerd.names) if self.containerd else ()
        along = (self.paired.switch,) if self.paired else ()
        return (*self.waking, *self.rules, self.ordering, *ordering, *along, self.switch)

    @property
    def paired(self) -> ContainerdMove | None:
        """containerd's part, where two files have to change as one."""
        return None if self.alone else self.containerd

    @property
    def moved(self) -> "Plan":
        """The plan as the root sees it whose place is set by the commit point."""
        return self.each()[0]

    def each(self) -> tuple["Plan", ...]:
        """The same plan as each root that moves sees it, the data root's first."""
        one = self.containerd
        if one is None:
            return (self,)
        along = replace(self, source=one.source, target=one.target, same_file_system=one.same_file_system,
                        created=one.created, size=one.size, entries=one.entries, layers=0, within="",
                        source_identity=one.source_identity, source_born=one.source_born,
                        containerd=None, alone=False)  # fmt: skip
        return (along,) if self.alone else (self, along)

    @property
    def target_engine_id(self) -> str:
        """What the engine is called once it runs on the target."""
        return self.adopts or self.engine_id

    def is_target(self, configured: str | None) -> bool:
        """Whether a configured root leads to the target. Going back, there may be none: the target is the default."""
        if self.direction is not Direction.BACK:
            return configured == self.target
        return configured == formats.root_in(self.switch.after, self.switch.setting, self.switch.path)


def adopting(made: Plan, engine_id: str) -> Plan:
    """The same, for a target that is a whole root; nothing is copied, and nothing has to be made."""
    along = replace(made.containerd, created=()) if made.containerd else None
    return replace(made, direction=Direction.ADOPT, adopts=engine_id, created=(), checksum=False, containerd=along)


def make(
    facts: HostFacts,
    bwlimit: str = "",
    *,
    checksum: bool = False,
    remove_ephemeral: bool = False,
    ends_others: bool = False,
) -> Plan:
    """The plan for facts without an error finding."""
    units, target = facts.units, facts.target.resolved
    return Plan(
        source=str(facts.source.path),
        target=str(target),
        same_file_system=can_link(facts),
        alone=facts.alone,
        units=tuple(unit.name for unit in units),
        started=tuple(unit.name for unit in units if unit.active_state in RUNNING),
        ordering=configuration.ordering_edit(facts),
        switch=configuration.switch_edit(facts),
        waking=configuration.waking_edits(facts),
        rules=configuration.rule_edits(facts),
        dependents=facts.dependents,
        awaited=facts.awaited,
        created=missing_directories(target, facts.target.ancestor),
        size=facts.source.size.allocated,
        entries=facts.source.size.entries,
        layers=facts.source.layers,
        engine_id=facts.engine.engine_id,
        bwlimit=bwlimit,
        direction=Direction.FORTH,
        checksum=checksum,
        remove_ephemeral=remove_ephemeral,
        driver=facts.engine.driver,
        driver_named=facts.storage_driver(),
        service=facts.service.name,
        within=facts.engine.within,
        source_identity=facts.source.identity,
        source_born=facts.source.born,
        engine_version=facts.engine.version,
        containerd=containerd_move.make(facts, can_link, ends_others),
        store=facts.engine.store,
        one_of_managers=facts.engine.swarm.is_one_of_managers,
        images=images_in(facts),
        owners=facts.owners,
        snapshots=facts.containerd.snapshots_of(facts.engine.driver) if facts.containerd else "",
    )


def as_it_runs(made: Plan, facts: HostFacts) -> Plan:
    """The same, with what stops along with the engine now; a copy of hours lies between the plan and the stop."""
    started = tuple(unit.name for unit in facts.units if unit.active_state in RUNNING)
    return replace(made, started=started, dependents=facts.dependents, awaited=facts.awaited, owners=facts.owners)


def images_in(facts: HostFacts) -> str:
    """containerd's root, if the images are in one that stays where it is."""
    found = facts.containerd
    return str(found.root) if found and not (found.is_managed or facts.containerd_target) else ""

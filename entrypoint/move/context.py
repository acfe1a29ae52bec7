"""What every command works with, how long it waits, and a move under way: its plan and its record."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from entrypoint.console.errors import JournalError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.cp import Programs
from entrypoint.copy.pace.throttle import Pace
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.machine.persistence import PAUSES
from entrypoint.host.services.manager import ServiceManager
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Run
from entrypoint.journal.said import said
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove


@dataclass(frozen=True)
class Patience:
    """How long the steps of a move wait, in seconds, for what is known to come late."""

    departure: float = 120.0  # the container that handed over: its client and its removal may lag behind on a busy host
    listening: float = 0.05  # two looks at what the operator has said
    passes: float = 10.0  # at least between two passes of a run that is held
    others: float = 15.0  # who looks at something else with a container of ours must not keep the move
    ephemeral: float = 300.0  # a job that was started with --rm during the copy ends by itself; the engine runs
    removal: float = 15.0  # of what has --rm, by the engine
    mounts: float = 15.0  # the engine detaches its last ones a moment after it is gone
    socket: float = 120.0  # systemd has already said "started", so only the engine's socket can be late
    database: float = 10.0  # the same of containerd's
    settling: float = 60.0  # a container that was started is running at once, one that crashes takes a moment
    between: float = 1.0  # two rounds of starting: systemd is re-executed, or a task has not gone yet
    unlocking: float = 1800.0  # a person with a key
    recovering: float = 120.0  # a check that names no interval is made every thirty, and fails at the third time
    sick: float = 20.0  # its check has failed several times, but what it waits for may come a moment later
    pauses: tuple[float, float] = PAUSES  # the first and the longest, between two tries of what is tried again


@dataclass(frozen=True)
class Context:
    """What every command works with; made once, in `__main__.py`."""

    host: Host
    services: ServiceManager
    journal: Journal
    patience: Patience = Patience()


def pace_of(run: Run, plan: Plan) -> Pace:
    """How fast the copy may be just now, with the engine up: as the run was begun, and as was said since."""
    with suppress(JournalError):
        word = said(run)
        return replace(Pace.of(plan.bwlimit if word.limit is None else word.limit), paused=word.is_paused)
    return Pace.of(plan.bwlimit)


def copier_of(host: Host, run: Run, plan: Plan, root: RootMove) -> Copier:
    source, target = host.path(root.source), host.path(root.target)
    return Copier(source, target, root.links, lambda: pace_of(run, plan), PurePosixPath(root.source),
                  programs=Programs(host.signals), trace=host.trace)  # fmt: skip


@dataclass(frozen=True)
class Move:
    """All that a step needs. `copied` is what the pre-copy has achieved, of each of the plan's roots. Only a worker's
    `stops` the engine: a command would end its own container with it, and `status` is only asked."""

    host: Host
    systemd: ServiceManager
    run: Run
    plan: Plan
    copied: tuple[Copied, ...]
    ours: frozenset[str]
    stops: bool = True
    patience: Patience = Patience()
    renewed: list[Copied] = field(default_factory=list, init=False)

    def copies(self) -> Iterator[tuple[Copier, Copied]]:
        """Each root's copier, and what the pre-copy has achieved there, or what was achieved after it."""
        for root, copied in zip(self.plan.roots, tuple(self.renewed) or self.copied, strict=True):
            yield self.copier(root), copied

    def renew(self, copied: Iterable[Copied]) -> None:
        self.renewed[:] = list(copied)

    def copier(self, root: RootMove) -> Copier:
        return copier_of(self.host, self.run, self.plan, root)

    def before(self) -> Inventory | None:
        """What the engine held when it was frozen; nothing if it never came to that, and the engine never stopped."""
        stored = self.run.inventory()
        return from_json(Inventory, stored) if stored is not None else None

    def expected(self) -> Inventory | None:
        """What the engine must hold on the target: what it was frozen with, or what it held when it left that root.

        Nothing is known of an adopted root but its files.
        """
        if self.plan.direction is Direction.ADOPT:
            return None
        stored = self.run.inventory("expected")
        return from_json(Inventory, stored) if stored is not None else self.before()

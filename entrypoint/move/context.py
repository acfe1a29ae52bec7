"""A move under way: its plan and its record, and the host it is done on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.cp import Programs
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.services.manager import ServiceManager
from entrypoint.journal.record import Run
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove


def copier_of(host: Host, plan: Plan, root: RootMove) -> Copier:
    source, target = host.path(root.source), host.path(root.target)
    return Copier(source, target, root.links, plan.bwlimit, PurePosixPath(root.source),
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
    renewed: list[Copied] = field(default_factory=list, init=False)

    def copies(self) -> Iterator[tuple[Copier, Copied]]:
        """Each root's copier, and what the pre-copy has achieved there, or what was achieved after it."""
        for root, copied in zip(self.plan.roots, tuple(self.renewed) or self.copied, strict=True):
            yield self.copier(root), copied

    def renew(self, copied: Iterable[Copied]) -> None:
        self.renewed[:] = list(copied)

    def copier(self, root: RootMove) -> Copier:
        return copier_of(self.host, self.plan, root)

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

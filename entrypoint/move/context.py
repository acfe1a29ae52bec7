"""A move under way: its plan and its record, and the host it is done on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.services.systemd import Systemd
from entrypoint.journal.record import Run
from entrypoint.plan.plan import Direction, Plan


@dataclass(frozen=True)
class Move:
    """All that a step needs. Only a worker's `stops` the engine: a command would end its own container with it, and
    `status` is only asked."""

    host: Host
    systemd: Systemd
    run: Run
    plan: Plan
    copied: Copied
    ours: frozenset[str]
    copied_containerd: Copied | None = None
    stops: bool = True
    renewed: list[Copied] = field(default_factory=list, init=False)

    def each(self) -> Iterator[tuple[Copier, Copied]]:
        """Each root's copier, and what the pre-copy has achieved there, or what was achieved after it."""
        copied = self.renewed or [self.copied, *([self.copied_containerd] if self.copied_containerd else [])]
        for plan, found in zip(self.plan.each(), tuple(copied), strict=True):
            yield self.copier(plan), found

    def renew(self, copied: Iterable[Copied]) -> None:
        self.renewed[:] = list(copied)

    def copier(self, plan: Plan) -> Copier:
        """For the root of one of the plan's views."""
        source, target = self.host.path(plan.source), self.host.path(plan.target)
        return Copier(source, target, plan.same_file_system, plan.bwlimit, PurePosixPath(plan.source))

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

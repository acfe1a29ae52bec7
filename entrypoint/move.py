"""A move under way: its plan and its record, and the host it is done on."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.copying import Copied, Copier
from entrypoint.host import Host
from entrypoint.inventory import Inventory
from entrypoint.plan import Direction, Plan
from entrypoint.record import Run
from entrypoint.systemd import Systemd


@dataclass(frozen=True)
class Move:
    """All that a step needs."""

    host: Host
    systemd: Systemd
    run: Run
    plan: Plan
    copied: Copied
    ours: frozenset[str]

    @property
    def copier(self) -> Copier:
        source, target = self.host.path(self.plan.source), self.host.path(self.plan.target)
        path = PurePosixPath(self.plan.source)
        return Copier(source, target, self.plan.same_file_system, self.plan.bwlimit, path)

    def before(self) -> Inventory | None:
        """What the engine held when it was frozen; nothing if it never came to that, and the engine never stopped."""
        stored = self.run.inventory()
        return Inventory.from_json(stored) if stored is not None else None

    def expected(self) -> Inventory | None:
        """What the engine must hold on the target: what it was frozen with, or what it held when it left that root.

        Nothing is known of an adopted root but its files.
        """
        if self.plan.direction is Direction.ADOPT:
            return None
        stored = self.run.inventory("expected")
        return Inventory.from_json(stored) if stored is not None else self.before()

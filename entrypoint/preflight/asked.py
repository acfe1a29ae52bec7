"""Which check is asked when: one table, in the order in which findings are told.

What every command depends on that stops and starts the engine is asked by all of them; what only a copy needs is asked
where one is made; of a root that stays only that which the next start of the engine depends on.
"""

from collections.abc import Callable, Iterator
from enum import Flag, auto
from functools import wraps

from entrypoint.console.findings import Finding
from entrypoint.preflight.checks import host, removal, selinux, settings, size_limits, target, way_back
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.engine import engine, next_start, restart, store, swarm
from entrypoint.preflight.checks.removal import OldRoot
from entrypoint.preflight.checks.roots import others, parts, users
from entrypoint.preflight.checks.way_back import WayBack
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, RootKind

Check = Callable[[HostFacts], Iterator[Finding]]
RootCheck = Callable[[HostFacts, RootFacts], Iterator[Finding]]


class Asked(Flag):
    """MOVE is by check, plan and run; ALONE if only containerd's root moves, and NOTHING if there is none; ADOPT is
    with `--adopt`; AGAIN is when the copy is made, before the engine is stopped; RETURN is by rollback, and
    RETURN_ALONE by one of containerd's root; REMOVAL is by cleanup."""

    MOVE = auto()
    ALONE = auto()
    NOTHING = auto()
    ADOPT = auto()
    RETURN = auto()
    RETURN_ALONE = auto()
    AGAIN = auto()
    REMOVAL = auto()


COPY = Asked.MOVE | Asked.ALONE
ROOT = Asked.MOVE | Asked.ADOPT  # the data root gets another place
SWITCH = ROOT | Asked.RETURN  # where the data root is set is changed
STAYS = Asked.ALONE | Asked.RETURN_ALONE
STOP = SWITCH | STAYS | Asked.AGAIN  # the engine is stopped, and started


def of_data_root(check: RootCheck) -> Check:
    """A check of any root, asked of the data root, if that moves."""

    @wraps(check)
    def of_facts(facts: HostFacts) -> Iterator[Finding]:
        if root := facts.root(RootKind.DATA_ROOT):
            yield from check(facts, root)

    return of_facts


TABLE: tuple[tuple[Check, Asked], ...] = (
    (of_data_root(target.nesting), ROOT),
    (of_data_root(target.occupied), Asked.MOVE),
    (of_data_root(target.characters), ROOT),
    (of_data_root(target.file_system), ROOT),
    (of_data_root(target.space), Asked.MOVE),
    (of_data_root(target.same_disk), Asked.MOVE),
    (of_data_root(target.at_boot), ROOT),
    (of_data_root(target.traverse), ROOT),
    (of_data_root(target.exposed), Asked.MOVE),
    (of_data_root(selinux.labels), ROOT),
    (of_data_root(selinux.name), ROOT),
    (of_data_root(selinux.rule), ROOT),
    (engine.other, STOP | Asked.REMOVAL),
    (engine.driver, ROOT),
    (store.pending, STOP),
    (store.migrating, SWITCH | Asked.AGAIN),
    (store.unused, Asked.MOVE),
    (next_start.differs, STOP),
    (next_start.programs, STOP),
    (store.unnamed, ROOT),
    (images.own_root, SWITCH | Asked.AGAIN | Asked.REMOVAL),
    (images.check, COPY),
    (images.check_adoption, Asked.ADOPT),
    (images.tasks, Asked.ALONE),
    (images.no_root, Asked.NOTHING),
    (swarm.to_move, COPY | Asked.RETURN_ALONE),
    (swarm.to_return, Asked.ADOPT | Asked.RETURN),
    (engine.age, COPY),
    (engine.live_restore, STOP),
    (host.unit, STOP | Asked.REMOVAL),
    (host.room, COPY | Asked.ADOPT | Asked.RETURN | Asked.RETURN_ALONE),
    (host.room_behind, STOP),
    (host.room_ahead, Asked.ADOPT | Asked.RETURN | Asked.RETURN_ALONE),
    (host.unsettled, COPY),
    (settings.understood, STOP),
    (settings.readable, STOP),
    (settings.unambiguous, STOP),
    (settings.editable, SWITCH),
    (settings.lasting, SWITCH),
    (settings.drop_in, STAYS),
    (settings.pending, STOP),
    (settings.linked, SWITCH),
    (host.dependents, STOP),
    (host.packages, STOP),
    (of_data_root(parts.sub_mounts), SWITCH),
    (of_data_root(parts.subvolumes), Asked.MOVE),
    (of_data_root(parts.linked), ROOT),
    (parts.missing, COPY | Asked.REMOVAL),  # of what is gone an old root may have the last copy
    (parts.unneeded, COPY),
    (host.clock, COPY),
    (engine.ephemeral, STOP),
    (engine.unattended, COPY),
    (restart.startable, STOP),
    (restart.owned, STOP),
    (restart.deaf, STOP),
    (others.opened, STOP),
    (others.named, COPY),
    (others.awaited, COPY | Asked.ADOPT),
    (users.around, COPY | Asked.ADOPT | Asked.AGAIN),
    (of_data_root(users.bound), Asked.MOVE),
    (of_data_root(size_limits.check), Asked.MOVE),
)

# What cleanup asks of the root itself.
OF_OLD_ROOT: tuple[Callable[[HostFacts, OldRoot], Iterator[Finding]], ...] = (
    removal.where,
    removal.whose,
    removal.lost,
    removal.images,
    removal.apart,
    removal.mounts,
    removal.bound,
    removal.in_use,
    removal.opened,
    removal.named,
)


# What rollback asks of the root itself.
OF_WAY_BACK: tuple[Callable[[HostFacts, WayBack], Iterator[Finding]], ...] = (
    way_back.where,
    way_back.set_there,
    way_back.as_left,
    way_back.store,
    way_back.gone_since,
    way_back.since,
    way_back.version,
    way_back.of_containerd,
)


def asked(when: Asked) -> tuple[Check, ...]:
    """The checks of one command, in order."""
    return tuple(check for check, occasions in TABLE if when in occasions)

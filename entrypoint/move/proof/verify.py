"""What is proven of an engine once it is up again, and what only does not stand as it stood.

proven by the engine on a new connection     its root, id, driver and store; images, containers, volumes, networks,
                                             plugins; else it is not the root that was left, and VerificationError
told                                         a container that does not run, one that is unhealthy, a unit that is down;
                                             and, once clients may have written there, anything else, too

Going back gives up what clients have written since the start. So once a container has run on the target (served.py),
nothing is a reason to go back any more. What others have removed or changed meanwhile is no loss (acts.py).
"""

from collections.abc import Callable
from dataclasses import replace

from entrypoint.console.errors import MoveError, SystemdError, VerificationError
from entrypoint.console.events import log
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.holdings import whole
from entrypoint.engine.inventory import ENGINE, Inventory, compared, differences
from entrypoint.host.machine.persistence import persistently, until
from entrypoint.host.services.units import RUNNING, STOPPED, UnitState
from entrypoint.journal.amiss import Amiss, Kind
from entrypoint.move.context import Move
from entrypoint.move.location import data_roots, engine_root, runs_on
from entrypoint.move.proof import adopted, restart
from entrypoint.move.proof.intact import is_shared, roots
from entrypoint.move.since import acts, served
from entrypoint.move.since.acts import Acts
from entrypoint.move.switch import paired_switch

UNIT_STARTS = 2  # of a unit that was stopped along with the engine


def prove(move: Move, before: Inventory | None, *, is_target: bool) -> list[Amiss]:
    """What does not stand as it stood, on a root that is proven. Raises VerificationError where it is not."""
    return persistently(
        lambda: _prove(move, before, is_target=is_target),
        doing="prove what the engine holds",
        pauses=move.patience.pauses,
    )


def _prove(move: Move, before: Inventory | None, *, is_target: bool) -> list[Amiss]:
    require_root(move, is_target=is_target)
    found: list[Amiss] = []
    if before is not None:
        with Engine.opened(socket_of(move.host)) as engine:
            found = of_inventory(move, engine, before, is_target=is_target)
    elif is_target:
        found = unless_served(move, lambda: adopted.prove(move.host, move.plan))
    return found + of_units(move)


def require_root(move: Move, *, is_target: bool) -> None:
    root = move.plan.data_root(is_target=is_target)
    until(lambda: bool(engine_root(move.host)), waiting_for="the engine's socket", seconds=move.patience.socket)
    if (now := engine_root(move.host)) != root:
        raise VerificationError(f"The engine runs on {now}, not on {root}.")
    for moved in move.plan.roots:
        paired_switch.prove(move, moved, is_target=is_target)


def unless_served(move: Move, check: Callable[[], object]) -> list[Amiss]:
    """A check of the root, whose failure is only told where clients may have written already."""
    try:
        check()
    except VerificationError as failure:
        if not served.has_served(move):
            raise
        return [Amiss(Kind.UNPROVEN, failure.text())]
    return []


def of_inventory(move: Move, engine: Engine, before: Inventory, *, is_target: bool) -> list[Amiss]:
    before = restart.await_node(engine, before, move.patience)
    done = Acts.of(engine, is_first=acts.is_first_engine(move), ready=acts.away(move)[1])
    done = done.and_by_files(*data_roots(move), acts.away(move)) if is_target else done
    held = of_holdings(move, engine, before, done, is_target=is_target)
    if is_target:
        held += unless_served(move, lambda: require_on_disk(move, engine, before))
    owned = frozenset(one.id for one in before.containers if is_its_owners(move, one.name))
    failed = restart.restore(engine, before.without(done.stopped | owned), move.patience)
    if is_target:
        require_root_serves(move, failed)
    move.host.trace("verify.restored")
    standing = restart.settle(engine, before, failed, done.stopped, lambda: acts.away(move), move.patience)
    return [*held, *standing, *restart.await_services(engine, before, move.patience)]


def is_its_owners(move: Move, name: str) -> bool:
    """Whether a unit that is at work, or about to be started again, starts a container or makes it anew: it is given
    the time to settle. One that was started against it would keep its name from the unit. A unit that has done its work
    and has no process (`docker compose up --detach`) does nothing more."""
    owner = move.plan.owners.get(name, "")
    if not owner.endswith(".service"):
        return False
    unit = move.systemd.unit(owner)
    return unit.active_state not in STOPPED and bool(unit.main_pid or unit.active_state is not UnitState.ACTIVE)


def of_holdings(move: Move, engine: Engine, before: Inventory, done: Acts, *, is_target: bool) -> list[Amiss]:
    """What the engine does not hold any more, or otherwise, though nobody has removed it."""
    after, (source, target) = engine.inventory(), data_roots(move)
    root = target if is_target else source
    lost = acts.unexplained(tuple(compared(before, after.without(move.ours))), done, before, root)
    if lost and not (is_target and served.has_served(move)):
        details = "\n".join(one.text for one in lost[:20])
        raise VerificationError("The engine does not hold what it held before.", details=details)
    log.info("engine.proven", containers=len(after.containers), images=after.image_count,
             volumes=len(after.volumes), networks=len(after.networks))  # fmt: skip
    return [Amiss(Kind.OTHER if one.kind == ENGINE else Kind.HELD, one.text, one.key) for one in lost]


def require_root_serves(move: Move, failed: dict[str, str]) -> None:
    """Raises VerificationError if no container could be started, for reasons that lie in the new root.

    Any other reason, a device that is gone, would be the same on the old root.
    """
    roots = [root.target for root in move.plan.roots]
    found = [why for why in failed.values() if "RWLayer" in why or any(f"{root}/" in why for root in roots)]
    if found and not served.has_served(move):
        raise VerificationError("Containers cannot be started on the new root.", details="\n".join(found[:20]))


def require_whole(move: Move) -> None:
    """Raises MoveError for what the engine is to hold and would not find: no container has run there yet."""
    if (wanted := move.expected()) is None:
        return  # an adopted root says itself what it holds, and was looked at
    if lacks := whole.lost(wanted, *both_roots(move), live=is_shared(move.plan)):
        raise MoveError(f"Not all is there in {move.plan.first.target}.", details=whole.told(lacks))


def both_roots(move: Move) -> tuple[whole.Roots, whole.Roots]:
    """Before the move, and after it. Of a containerd root that both use nothing can have been missing before it: then
    the move would have been refused."""
    before, after = (roots(move.host, move.plan, is_target=is_target) for is_target in (False, True))
    return (replace(before, containerd=None) if is_shared(move.plan) else before), after


def require_on_disk(move: Move, engine: Engine, held: Inventory) -> None:
    """Raises VerificationError for what the engine lists, and its new root has not."""
    lacks = whole.lost(held, *both_roots(move), live=True)
    if lacks := lacks and whole.still(lacks, engine.inventory()):
        raise VerificationError("Not all that the engine lists is on its disk.", details=whole.told(lacks, 20))


def of_units(move: Move) -> list[Amiss]:
    """The units that were stopped along with the engine and are not up again."""
    return [Amiss(Kind.UNIT, f"{name} was active and is {state}", name)
            for name in move.plan.dependents if (state := restarted(move, name))]  # fmt: skip


def restarted(move: Move, name: str) -> str:
    """Start a unit, unless it runs; its state, if it does not run then."""
    if move.systemd.unit(name).active_state in RUNNING:
        return ""
    try:
        persistently(lambda: move.systemd.start([name]), doing=f"start {name}", attempts=UNIT_STARTS,
                     pauses=move.patience.pauses)  # fmt: skip
    except SystemdError as failure:
        log.warning("dependent.failed", unit=name, why=failure.text())
    state = move.systemd.unit(name).active_state
    return "" if state in RUNNING else str(state)


def await_health(move: Move) -> list[Amiss]:
    """What was healthy and is not so again; the engine is up meanwhile."""
    if (before := move.before()) is None:
        return []
    return persistently(lambda: _await_health(move, before), doing="look at health checks", pauses=move.patience.pauses)


def _await_health(move: Move, before: Inventory) -> list[Amiss]:
    with Engine.opened(socket_of(move.host)) as engine:
        return restart.await_health(engine, before, move.patience)


def mend(move: Move) -> None:
    """Try again what did not stand when the run had ended, and write down what still does not."""
    arrived, root = move.run.has_arrived, (move.run.outcome() or {}).get("root")
    if not runs_on(move, str(root)):
        return
    expected = move.expected() if arrived else move.before()
    if any(one.kind is Kind.UNPROVEN for one in move.run.amiss()):
        move.run.note([*prove(move, expected, is_target=arrived), *await_health(move)])
        return
    if (before := expected or move.before()) is None:
        return
    with Engine.opened(socket_of(move.host)) as engine:
        still = tuple(_still(move, engine, before, one) for one in move.run.amiss())
    move.run.note(one for one in still if one)


def _still(move: Move, engine: Engine, before: Inventory, one: Amiss) -> Amiss | None:
    """What of it does not stand yet, tried again; nothing if it stands, or others have done away with it."""
    match one.kind:
        case Kind.CONTAINER:
            return _container(move, engine, before, one)
        case Kind.HEALTH:
            now = engine.container(one.key)
            return one if now and now.health == restart.UNHEALTHY else None
        case Kind.UNIT:
            return one if restarted(move, one.key) else None
        case Kind.HELD:
            return one if any(found.key == one.key for found in compared(before, engine.inventory())) else None
        case _:
            found = (*restart.lacking(engine, before), *differences(before, engine.inventory()))
            return one if one.text in found else None


def _container(move: Move, engine: Engine, before: Inventory, one: Amiss) -> Amiss | None:
    was = before.container(one.key)
    if was is None:
        return None
    why = restart.put(engine, was, move.patience)
    only = replace(before, containers=(was,))
    return next((replace(now, text=f"{now.text}: {why}" if why else now.text)
                 for now in restart.misplaced(engine, only, acts.away(move))), None)  # fmt: skip

"""The steps from freeze to verify: each acts, and each can be undone, whether it was finished, half done or not begun.

step            acts                                                    undo
freeze          hold, stop socket and service as one operation          lift the hold, start, restore what ran
final sync      the last pass, flushed                                  nothing: the source was only read
check the copy  every entry compared                                    nothing
switch          drop-in, then the configuration file (commit point)     both files as they were
start           lift the hold, start what was started                   hold, stop
verify          a fresh connection: root, inventory, what ran runs      nothing
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from entrypoint import daemon_config, edits, hold, inventory, restart
from entrypoint.comparison import Comparison, require_equal
from entrypoint.copying import Copied, Copier
from entrypoint.engine import READY, Engine, socket_of, until
from entrypoint.errors import EngineError, MoveError, PreflightError, RollbackError, SystemdError, VerificationError
from entrypoint.facts import SERVICE
from entrypoint.filesystem import mounts, mounts_below
from entrypoint.host import Host
from entrypoint.inventory import Inventory
from entrypoint.journal import Run
from entrypoint.log import Phase, log
from entrypoint.plan import Plan
from entrypoint.systemd import RUNNING, STOPPED, Systemd
from entrypoint.trace import trace
from entrypoint.unfinished import Unfinished

LEFTOVERS = 15.0  # seconds; the engine detaches its last mounts a moment after it is gone


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
        return Copier(source, target, self.plan.same_file_system, self.plan.bwlimit)

    def before(self) -> Inventory | None:
        """What the engine held when it was frozen; nothing if it never came to that, and the engine never stopped."""
        stored = self.run.inventory()
        return Inventory.from_json(stored) if stored is not None else None


class Step(Protocol):
    name: Phase

    def apply(self, move: Move) -> None: ...

    def undo(self, move: Move) -> None: ...


class Freeze:
    name = Phase.FREEZE

    def apply(self, move: Move) -> None:
        require_as_planned(move)
        hold.prepare(move.host, move.plan.units)
        trace("freeze.prepared")
        move.systemd.reload()
        with Engine.opened(socket_of(move.host)) as engine:
            move.run.save_inventory(engine.inventory().without(move.ours).to_json())
        trace("freeze.inventoried")
        bring_down(move)

    def undo(self, move: Move) -> None:
        bring_up(move)
        trace("freeze.started again")
        release(move)
        if move.before() is not None:  # else it was never stopped, and there is nothing to prove
            prove(move, move.plan.source)


class FinalSync:
    name = Phase.FINAL_SYNC

    def apply(self, move: Move) -> None:
        move.copier.require_target(move.copied)
        move.copier.final_sync(move.copied)

    def undo(self, move: Move) -> None:
        pass  # the source was only read; the copy is removed when everything else is undone


class CheckCopy:
    name = Phase.CHECK

    def apply(self, move: Move) -> None:
        copier = move.copier
        copier.require_target(move.copied)
        comparison = Comparison(copier.source, copier.target, copier.excludes(move.copied.layers))
        log.info("copy.checked", entries=require_equal(comparison))

    def undo(self, move: Move) -> None:
        pass


class Switch:
    name = Phase.SWITCH

    def apply(self, move: Move) -> None:
        move.copier.require_target(move.copied)
        edits.require_unedited(move.host, move.plan.switch)
        edits.put(move.host.path(move.plan.ordering.path), move.plan.ordering.after)
        trace("switch.ordered")
        edits.write(move.host, move.plan.switch)
        trace("switch.written")
        move.systemd.reload()

    def undo(self, move: Move) -> None:
        """Both files back; but never so that the engine's root and the configured one, or its drop-in, differ."""
        if runs_on(move, move.plan.target):
            raise RollbackError(
                f"The engine could not be stopped and runs on {move.plan.target}.",
                details="The configuration is left as it is, so that the next start finds the same root.",
            )
        try:
            edits.restore(move.host, move.plan.switch, move.plan.target)
        finally:
            if configured(move) != move.plan.target:
                edits.take_back(move.host, move.plan.ordering)
            move.systemd.reload()


class Start:
    name = Phase.START

    def apply(self, move: Move) -> None:
        Unfinished.end(move.host.path(move.plan.target))
        bring_up(move)

    def undo(self, move: Move) -> None:
        """Stop the engine, unless it runs on the old root: then it was started again by what brings it back."""
        if not runs_on(move, move.plan.source):
            bring_down(move)


class Verify:
    name = Phase.VERIFY

    def apply(self, move: Move) -> None:
        Unfinished.end(move.host.path(move.plan.target))  # the safety net may have started the engine, not we
        prove(move, move.plan.target)
        trace("verify.proven")
        with suppress(SystemdError, OSError):  # only tidying, and the unit's end does it again
            release(move)

    def undo(self, move: Move) -> None:
        pass


STEPS: tuple[Step, ...] = (Freeze(), FinalSync(), CheckCopy(), Switch(), Start(), Verify())


def bring_down(move: Move) -> None:
    """Stop the engine's units, and see that nothing of it is left on either root."""
    hold.take(move.host)
    trace("freeze.held")
    move.systemd.stop(move.plan.units)
    trace("freeze.stopped")
    for name in move.plan.units:
        if (state := move.systemd.unit(name).active_state) not in STOPPED:
            raise EngineError(f"{name} was stopped and is {state}.", details="Something starts it again.")
    try:
        until(lambda: not leftovers(move.plan), waiting_for="the engine's mounts to go", seconds=LEFTOVERS, late=())
    except EngineError as error:
        raise EngineError(error.brief, details="Still mounted: " + ", ".join(leftovers(move.plan))) from error


def leftovers(plan: Plan) -> tuple[str, ...]:
    """What is still mounted inside the data roots; a copy of it would be torn."""
    table = mounts()
    roots = (PurePosixPath(plan.source), PurePosixPath(plan.target))
    return tuple(str(mount.point) for root in roots for mount in mounts_below(root, table))


def bring_up(move: Move) -> None:
    """Start what was started before the move."""
    hold.lift(move.host)
    trace("start.lifted")
    move.systemd.reset_failed(move.plan.units)
    move.systemd.start(move.plan.started)
    for name in move.plan.dependents:
        try:
            move.systemd.start([name])
        except SystemdError as error:
            log.warning("dependent.failed", unit=name, why=error.text())


def release(move: Move) -> None:
    """Take away what held the engine; it is up by now, so nobody waits for the reload."""
    hold.remove(move.host, move.plan.units)
    move.systemd.reload()


def prove(move: Move, root: str) -> None:
    """On a fresh connection: the engine runs on `root`, holds what it held, and what ran runs."""
    until(lambda: bool(engine_root(move.host)), waiting_for="the engine's socket", seconds=READY)
    with Engine.opened(socket_of(move.host)) as engine:
        now = str(engine.info().data_root)
        if now != root:
            raise VerificationError(f"The engine runs on {now}, not on {root}.")
        if (before := move.before()) is not None:
            prove_inventory(move, engine, before)


def prove_inventory(move: Move, engine: Engine, before: Inventory) -> None:
    restart.restore(engine, before)
    after = engine.inventory()
    if found := inventory.differences(before, after.without(move.ours)):
        raise VerificationError("The engine does not hold what it held before.", details="\n".join(found[:20]))
    trace("verify.restored")
    restart.require(engine, before)
    log.info("engine.proven", containers=len(after.containers), images=len(after.images),
             volumes=len(after.volumes), networks=len(after.networks))  # fmt: skip


def require_as_planned(move: Move) -> None:
    """Raises MoveError if somebody has restarted the engine on another root, or edited its configuration meanwhile."""
    if (now := engine_root(move.host)) != move.plan.source:
        raise MoveError(f"The engine runs on {now} by now, not on {move.plan.source}.")
    edits.require_unedited(move.host, move.plan.switch)


def runs_on(move: Move, root: str) -> bool:
    """Whether the engine answers, and from that root; an engine that is down is not asked: that would start it."""
    if move.systemd.unit(SERVICE).active_state not in RUNNING:
        return False
    try:
        return engine_root(move.host) == root
    except EngineError:
        return False


def configured(move: Move) -> str | None:
    """The data root that the configuration names now, if it can be read and names one."""
    place = move.host.path(move.plan.switch.path)
    with suppress(PreflightError, OSError):
        value = daemon_config.parse(edits.content(place), move.plan.switch.path).get(daemon_config.KEY)
        return str(value) if value is not None else None
    return None


def engine_root(host: Host) -> str:
    """The data root that the engine names on a new connection."""
    with Engine.opened(socket_of(host)) as engine:
        return str(engine.info().data_root)

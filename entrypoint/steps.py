"""The steps from freeze to verify: each acts, and each can be undone, whether it was finished, half done or not begun.

step            acts                                                    undo
freeze          hold, stop socket and service as one operation          lift the hold, start, restore what ran
final sync      the last pass, flushed                                  nothing: the source was only read
check the copy  every entry compared                                    nothing
switch          drop-ins, SELinux's rule, then the configuration file   all files as they were
                (commit point)
start           lift the hold, start what was started                   hold, stop
verify          a fresh connection: root, inventory, what ran, health   nothing
"""

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from entrypoint import adoption, drivers, edits, hold, inventory, limits, pair, renewal, restart, whole
from entrypoint.engine import READY, Engine, socket_of, until
from entrypoint.errors import MoveError, RollbackError, SystemdError, VerificationError
from entrypoint.intact import is_shared, roots
from entrypoint.inventory import Inventory
from entrypoint.location import engine_root, is_switched, runs_on
from entrypoint.log import Phase, log
from entrypoint.move import Move
from entrypoint.plan import Direction, Plan
from entrypoint.record import Event
from entrypoint.standstill import bring_down, bring_up, release
from entrypoint.trace import trace
from entrypoint.unfinished import Unfinished


class Step(Protocol):
    name: Phase

    def apply(self, move: Move) -> None: ...

    def undo(self, move: Move) -> None: ...


class Freeze:
    name = Phase.FREEZE

    def apply(self, move: Move) -> None:
        require_as_planned(move)
        await_ephemeral(move)
        renewal.renew(move)  # that may have taken minutes
        hold.prepare(move.host, move.plan.every_unit)
        trace("freeze.prepared")
        move.systemd.reload()
        with Engine.opened(socket_of(move.host)) as engine:
            info, held = engine.info(), engine.inventory().without(move.ours)
        limits.require_room(move.host.path(info.data_root / info.within), held.containers)
        pair.require_none_made(move, held)
        move.run.save_inventory(held.to_json())
        trace("freeze.inventoried")
        bring_down(move)
        renewal.settle(move)

    def undo(self, move: Move) -> None:
        bring_up(move)
        trace("freeze.started again")
        release(move)
        if (before := move.before()) is not None:  # else it was never stopped, and there is nothing to prove
            prove(move, before, is_target=False)


class FinalSync:
    name = Phase.FINAL_SYNC

    def apply(self, move: Move) -> None:
        for copier, copied in move.each():
            copier.require_target(copied)
            copier.final_sync(copied)

    def undo(self, move: Move) -> None:
        pass  # the source was only read; the copy is removed when everything else is undone


class CheckCopy:
    name = Phase.CHECK

    def apply(self, move: Move) -> None:
        for copier, copied in move.each():
            copier.require_target(copied)
            log.info("copy.checked", entries=copier.check(copied, content=move.plan.checksum))

    def undo(self, move: Move) -> None:
        pass


class Switch:
    name = Phase.SWITCH

    def apply(self, move: Move) -> None:
        for copier, copied in move.each():
            copier.require_target(copied)
        edits.require_unedited(move.host, move.plan.switch)
        require_same_driver(move)
        require_whole(move)
        for edit in move.plan.waking:
            edits.make(move.host, edit)
        for rule in move.plan.rules:
            edits.make_lines(move.host, rule)
        trace("switch.waking")
        edits.make(move.host, move.plan.ordering)
        trace("switch.ordered")
        if along := move.plan.containerd:
            pair.prepare(move, along)
        if move.plan.paired:
            pair.switch(move, move.plan.paired)
        edits.write(move.host, move.plan.switch)
        trace("switch.written")
        move.systemd.reload()

    def undo(self, move: Move) -> None:
        """Both files back; but never so that the engine's root and the configured one, or its drop-in, differ."""
        target = move.plan.moved.target
        if runs_on(move, target):
            raise RollbackError(
                f"The engine could not be stopped and runs on {target}.",
                details="The configuration is left as it is, so that the next start finds the same root.",
            )
        try:
            edits.restore(move.host, move.plan.switch, move.plan.moved.is_target)
        finally:
            if not is_switched(move):
                if move.plan.containerd:
                    pair.take_back(move, move.plan.containerd)
                for edit in (move.plan.ordering, *move.plan.waking):
                    edits.take_back(move.host, edit)
                for rule in move.plan.rules:
                    edits.take_lines_back(move.host, rule)
            move.systemd.reload()


class Start:
    name = Phase.START

    def apply(self, move: Move) -> None:
        end_records(move)
        bring_up(move)

    def undo(self, move: Move) -> None:
        """Stop the engine, unless it runs on the old root: then it was started again by what brings it back."""
        if not runs_on(move, move.plan.moved.source):
            bring_down(move)


class Verify:
    name = Phase.VERIFY

    def apply(self, move: Move) -> None:
        end_records(move)  # the safety net may have started the engine, not we
        prove(move, move.expected(), is_target=True)
        adoption.prove(move.host, move.plan)
        trace("verify.proven")
        move.run.append(Event.PROVEN, step=self.name)
        await_health(move)
        with suppress(SystemdError, OSError):  # only tidying, and the unit's end does it again
            release(move)

    def undo(self, move: Move) -> None:
        pass


def end_records(move: Move) -> None:
    """The targets are roots from here on, and no unfinished copies."""
    for one in move.plan.each():
        Unfinished.end(move.host.path(one.target))


STEPS: tuple[Step, ...] = (Freeze(), FinalSync(), CheckCopy(), Switch(), Start(), Verify())
# The root that a move has left is whole, as one that is adopted is, and nothing is copied there.
STEPS_BACK: tuple[Step, ...] = (Freeze(), Switch(), Start(), Verify())


def steps_of(plan: Plan) -> tuple[Step, ...]:
    return STEPS if plan.direction is Direction.FORTH else STEPS_BACK


def prove(move: Move, before: Inventory | None, *, is_target: bool) -> None:
    """On a fresh connection: the engine runs on the root, holds what it held before, and what ran runs."""
    root = move.plan.target if is_target else move.plan.source
    until(lambda: bool(engine_root(move.host)), waiting_for="the engine's socket", seconds=READY)
    with Engine.opened(socket_of(move.host)) as engine:
        now = str(engine.info().data_root)
        if now != root:
            raise VerificationError(f"The engine runs on {now}, not on {root}.")
        if move.plan.containerd:
            pair.prove(move, move.plan.containerd, is_target=is_target)
        if before is not None:
            prove_inventory(move, engine, before)
            if is_target:
                require_on_disk(move, engine, before)


def await_health(move: Move) -> None:
    """What was healthy is so again; the engine is up meanwhile."""
    if (before := move.before()) is not None:
        with Engine.opened(socket_of(move.host)) as engine:
            restart.await_health(engine, before)


def prove_inventory(move: Move, engine: Engine, before: Inventory) -> None:
    before = restart.await_node(engine, before)
    restart.restore(engine, before)
    after = engine.inventory()
    if found := inventory.differences(before, after.without(move.ours)):
        raise VerificationError("The engine does not hold what it held before.", details="\n".join(found[:20]))
    trace("verify.restored")
    restart.require(engine, before)
    restart.require_services(engine, before)
    log.info("engine.proven", containers=len(after.containers), images=len(after.images),
             volumes=len(after.volumes), networks=len(after.networks))  # fmt: skip


def require_as_planned(move: Move) -> None:
    """Raises MoveError if somebody has restarted the engine on another root, or edited its configuration meanwhile."""
    if (now := engine_root(move.host)) != move.plan.source:
        raise MoveError(f"The engine runs on {now} by now, not on {move.plan.source}.")
    edits.require_unedited(move.host, move.plan.switch)
    if move.plan.containerd:
        pair.require_as_planned(move, move.plan.containerd)


def await_ephemeral(move: Move) -> None:
    if not move.plan.remove_ephemeral:
        with Engine.opened(socket_of(move.host)) as engine:
            restart.await_ephemeral(engine, move.ours)


def require_whole(move: Move) -> None:
    """Raises MoveError for what the engine is to hold and would not find: no container has run there yet."""
    if (wanted := move.expected()) is None:
        return  # an adopted root says itself what it holds, and was looked at
    if lacks := whole.lost(wanted, *both_roots(move), live=is_shared(move.plan)):
        raise MoveError(f"Not all is there in {move.plan.moved.target}.", details=whole.told(lacks))


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


def require_same_driver(move: Move) -> None:
    """Raises MoveError if the engine would choose another storage driver, or image store, on the target."""
    if move.plan.direction is Direction.ADOPT and move.plan.is_of_containerd:
        return  # it is told by the configuration, which was asked (adoption_checks.fitting), and seen after the start
    source, target = (move.host.path(root) / move.plan.within for root in (move.plan.source, move.plan.target))
    before, after = drivers.traces(source), drivers.traces(target)
    if move.plan.direction is Direction.ADOPT:
        before = frozenset({move.plan.driver})  # the root that is left may be a fresh engine's, with nothing in it yet
    if move.plan.is_of_containerd:  # by the configuration, or because no driver has left anything
        after_all = before == after
    else:
        after_all = before == after and move.plan.driver in {*after - {drivers.OVERLOOKED}, move.plan.driver_named}
    if not after_all:
        raise MoveError(
            f"The engine would not choose {move.plan.driver} again on {target}.",
            details=f"In the old root {', '.join(sorted(before)) or 'no driver'} has left something, "
            f"in the new one {', '.join(sorted(after)) or 'none'}.",
        )

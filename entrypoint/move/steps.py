"""The steps from freeze to verify: each acts, and each can be undone, whether it was finished, half done or not begun.

step            acts                                                    undo
freeze          hold, stop socket and service as one operation          lift the hold, start, restore what ran
final sync      the last pass, flushed                                  nothing: the source was only read
check the copy  every entry compared                                    nothing
switch          guard, what either disk wakes, SELinux's rule, then     all files as they were
                the configuration file (commit point), then what
                waits for the target
start           lift the hold, start what was started                   hold, stop
verify          a fresh connection: root, inventory, what ran, health   nothing

Once a container has run on the target, none of them is undone any more (migration.stays).
"""

from contextlib import suppress
from typing import Protocol

from entrypoint.console.errors import MoveError, RollbackError, SystemdError
from entrypoint.console.events import Phase, log
from entrypoint.copy import size_limits
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.drivers import OVERLOOKED, choice
from entrypoint.engine.holdings import whole
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.stored import to_json
from entrypoint.host.machine.persistence import persistently
from entrypoint.host.services import hold
from entrypoint.journal.record import Event
from entrypoint.journal.unfinished import Unfinished
from entrypoint.move import safety_net
from entrypoint.move.context import Move
from entrypoint.move.freeze import bring_down, bring_up, release
from entrypoint.move.location import data_roots, engine_root, is_switched, runs_on
from entrypoint.move.proof import restart, verify
from entrypoint.move.proof.intact import roots
from entrypoint.move.roots import renewal
from entrypoint.move.since import served
from entrypoint.move.switch import guard, paired_switch
from entrypoint.plan.plan import Direction, Plan
from entrypoint.settings import edits

STARTS = 3  # of the engine on the new root: it may have been killed, or its job taken away


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
        move.host.trace("freeze.prepared")
        move.systemd.reload()
        with Engine.opened(socket_of(move.host)) as engine:
            info, held = engine.info(), engine.inventory().without(move.ours)
        size_limits.require_room(move.host.path(info.data_root / info.within), held.containers)
        paired_switch.require_none_made(move, held)
        move.run.save_inventory(to_json(held))
        safety_net.note_running(move.run, held)
        move.host.trace("freeze.inventoried")
        bring_down(move)
        note_left(move, held)
        move.host.trace("freeze.left")
        renewal.settle(move)

    def undo(self, move: Move) -> None:
        persistently(lambda: bring_up(move), doing="start the engine", pauses=move.patience.pauses)
        move.host.trace("freeze.started again")
        release(move)
        if (before := move.before()) is not None:  # else it was never stopped, and there is nothing to prove
            move.run.note(verify.prove(move, before, is_target=False))


def note_left(move: Move, held: Inventory) -> None:
    """What the engine has left: a unit that stops along with it may remove its container (`docker compose down`)."""
    gone = whole.missing(held, roots(move.host, move.plan, is_target=False))
    if keys := frozenset(one.key for one in gone if one.kind == "container"):
        move.run.save_inventory(to_json(held.without(keys)), "left")


class FinalSync:
    name = Phase.FINAL_SYNC

    def apply(self, move: Move) -> None:
        for copier, copied in move.copies():
            copier.require_target(copied)
            copier.final_sync(copied)

    def undo(self, move: Move) -> None:
        pass  # the source was only read; what becomes of the copy is decided when everything else is undone


class CheckCopy:
    name = Phase.CHECK

    def apply(self, move: Move) -> None:
        for copier, copied in move.copies():
            copier.require_target(copied)
            log.info("copy.checked", entries=copier.check(copied, content=move.plan.checksum))

    def undo(self, move: Move) -> None:
        pass


class Switch:
    name = Phase.SWITCH

    def apply(self, move: Move) -> None:
        for copier, copied in move.copies():
            copier.require_target(copied)
        edits.require_unedited(move.host, move.plan.first.switch)
        require_same_driver(move)
        verify.require_whole(move)
        served.note(move)
        move.host.trace("switch.noted")
        guard.wake_by_either(move)
        for rule in move.plan.rules:
            edits.make_lines(move.host, rule)
        move.host.trace("switch.waking")
        guard.take(move)
        move.host.trace("switch.guarded")
        for root in move.plan.roots:
            paired_switch.prepare(move, root)
        for root in reversed(move.plan.roots[1:]):
            paired_switch.switch(move, root)
        move.host.trace("switch.ordered")
        edits.write(move.host, move.plan.first.switch)
        move.host.trace("switch.written")
        guard.name_targets(move)
        move.host.trace("switch.named")
        move.systemd.reload()

    def undo(self, move: Move) -> None:
        """Both files back; but never so that the engine's root and the configured one, or its drop-in, differ."""
        target = move.plan.first.target
        if runs_on(move, target):
            raise RollbackError(
                f"The engine could not be stopped and runs on {target}.",
                details="The configuration is left as it is, so that the next start finds the same root.",
            )
        try:
            if is_switched(move):
                guard.take(move)
            edits.restore(move.host, move.plan.first.switch, move.plan.is_target)
        finally:
            if is_switched(move):
                guard.name_targets(move)
            else:
                self._take_back(move)
            move.systemd.reload()

    @staticmethod
    def _take_back(move: Move) -> None:
        """All that came with the switch; the place itself names the source again."""
        for root in move.plan.roots:
            paired_switch.take_back(move, root)
        guard.name_sources(move)
        for edit in move.plan.waking:
            edits.take_back(move.host, edit)
        for rule in move.plan.rules:
            edits.take_lines_back(move.host, rule)


class Start:
    name = Phase.START

    def apply(self, move: Move) -> None:
        end_records(move)
        persistently(lambda: bring_up(move), doing="start the engine", attempts=STARTS, pauses=move.patience.pauses)

    def undo(self, move: Move) -> None:
        """Stop the engine, unless it runs on the old root: then it was started again by what brings it back."""
        if not runs_on(move, move.plan.first.source):
            bring_down(move)


class Verify:
    name = Phase.VERIFY

    def apply(self, move: Move) -> None:
        end_records(move)  # the safety net may have started the engine, not we
        amiss = verify.prove(move, move.expected(), is_target=True)
        move.host.trace("verify.proven")
        move.run.tell(Event.PROVEN, step=self.name)
        move.run.note([*amiss, *verify.await_health(move)])
        with suppress(SystemdError, OSError):  # only tidying, and the unit's end does it again
            release(move)

    def undo(self, move: Move) -> None:
        pass


def end_records(move: Move) -> None:
    """The targets are roots from here on, and no unfinished copies; and they are waited for.

    One that takes over after the rename that decides may find the one or the other not done.
    """
    for root in move.plan.roots:
        Unfinished.end(move.host.path(root.target))
    guard.name_targets(move)


STEPS: tuple[Step, ...] = (Freeze(), FinalSync(), CheckCopy(), Switch(), Start(), Verify())
# The root that a move has left is whole, as one that is adopted is, and nothing is copied there.
STEPS_BACK: tuple[Step, ...] = (Freeze(), Switch(), Start(), Verify())


def steps_of(plan: Plan) -> tuple[Step, ...]:
    return STEPS if plan.direction is Direction.FORTH else STEPS_BACK


def require_as_planned(move: Move) -> None:
    """Raises MoveError if somebody has restarted the engine on another root, or edited its configuration meanwhile."""
    if (now := engine_root(move.host)) != (planned := move.plan.data_root(is_target=False)):
        raise MoveError(f"The engine runs on {now} by now, not on {planned}.")
    for root in move.plan.roots:
        paired_switch.require_as_planned(move, root)


def await_ephemeral(move: Move) -> None:
    if not move.plan.remove_ephemeral:
        with Engine.opened(socket_of(move.host)) as engine:
            restart.await_ephemeral(engine, move.ours, move.patience)


def require_same_driver(move: Move) -> None:
    """Raises MoveError if the engine would choose another storage driver, or image store, on the target."""
    if move.plan.direction is Direction.ADOPT and move.plan.is_of_containerd:
        return  # it is told by the configuration, which was asked (adoption_checks.fitting), and seen after the start
    if move.plan.direction is Direction.BACK and (held := move.expected()) and held.store != move.plan.store:
        return  # an adopted root is left for a fresh engine's, which has another store: seen after the start, too
    source, target = data_roots(move)
    before, after = choice.traces(source), choice.traces(target)
    if move.plan.direction is Direction.ADOPT:
        before = frozenset({move.plan.driver})  # the root that is left may be a fresh engine's, with nothing in it yet
    if move.plan.is_of_containerd:  # by the configuration, or because no driver has left anything
        after_all = before == after
    else:
        after_all = before == after and move.plan.driver in {*after - OVERLOOKED, move.plan.driver_named}
    if not after_all:
        raise MoveError(
            f"The engine would not choose {move.plan.driver} again on {target}.",
            details=f"In the old root {', '.join(sorted(before)) or 'no driver'} has left something, "
            f"in the new one {', '.join(sorted(after)) or 'none'}.",
        )

"""Bringing the engine down, with nothing of it left on either root, and up again."""

from pathlib import PurePosixPath

from entrypoint.console.errors import EngineError, NeedsStop, SystemdError
from entrypoint.console.events import log
from entrypoint.engine.containerd import tenants
from entrypoint.engine.containers import strays
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import ALIVE
from entrypoint.host.disks.filesystem import mounts, mounts_below
from entrypoint.host.machine.persistence import until
from entrypoint.host.services import hold
from entrypoint.host.services.units import RUNNING, STOPPED
from entrypoint.move.context import Move, Patience
from entrypoint.move.location import data_roots
from entrypoint.plan.plan import Plan
from entrypoint.plan.root_move import RootMove

AT_ONCE = 16  # containers that are stopped; most wait for their time to be over


def bring_down(move: Move) -> None:
    """Stop the engine's units, and see that nothing of it is left on either root.

    An engine that was killed, or not given the time, leaves its containers running, on the root it had. The next one
    that starts there ends them, or with live-restore takes them up again, and then it can be stopped in good order:
    its containers first, each for itself. A stop of the engine gives all of them together as long as the slowest may
    take and five seconds (moby daemon/daemon.go, ShutdownTimeout), which on a slow host is too little for those that
    have to be killed. What it does not know of any more is ended here.
    """
    stop(move)
    try:
        require_gone(move)
    except EngineError as left:
        log.warning("leftovers", left=left.details)
        try:
            bring_up(move)
        except SystemdError as error:
            raise left from error
        stop(move, containers_first=True)
        require_gone(move)
    end_strays(move)


def end_strays(move: Move) -> None:
    """End what the engine has lost hold of, on either root."""
    strays.end(frozenset().union(*map(strays.containers_in, data_roots(move))))


def stop(move: Move, *, containers_first: bool = False) -> None:
    """The one place where the engine is stopped. Raises NeedsStop, before anything else, where that is not to be."""
    if not move.stops:
        raise NeedsStop("What is left to do needs the engine stopped.")
    hold.take(move.host)
    move.host.trace("freeze.held")
    end_containers(move, always=containers_first)
    move.host.trace("freeze.ended")
    move.systemd.stop(move.plan.units)
    for root in move.plan.roots:  # not before the engine is down: it ends its containers by it
        stop_service(move, root)
    move.host.trace("freeze.stopped")
    for name in move.plan.every_unit:
        if (state := move.systemd.unit(name).active_state) not in STOPPED:
            raise EngineError(f"{name} was stopped and is {state}.", details="Something starts it again.")


def stop_service(move: Move, root: RootMove) -> None:
    """Stop what works on a root beside the engine, and what others run with it, if that is agreed to."""
    if (service := root.service) is None:
        return
    if service.ends_others:
        tenants.end(move.host, service.state, service.namespaces)
    move.systemd.stop([service.name])
    if service.ends_others:
        tenants.unmount(move.host, service.state, root.source)


def end_containers(move: Move, *, always: bool) -> None:
    """With live-restore the engine would leave its containers running, writing to the root that is to be copied.

    It is asked now, for a reload changes the setting. Where it does not answer, what it leaves is seen afterwards.
    """
    if move.systemd.unit(move.plan.service).active_state not in RUNNING:
        return
    try:
        with Engine.opened(socket_of(move.host)) as engine, move.host.signals.pool(AT_ONCE) as threads:
            if always or engine.info().live_restore:
                alive = [one for one in engine.containers() if one.status in ALIVE]
                for ending in [threads.submit(engine.stop, one.id) for one in alive]:
                    ending.result()
                await_removal(engine, [one.id for one in alive if one.auto_remove], move.patience)
    except EngineError as error:
        log.warning("containers.not_stopped", why=error.text())


def await_removal(engine: Engine, ids: list[str], patience: Patience) -> None:
    """The engine removes what has `--rm` a moment after its end; half a removal would be copied otherwise."""
    until(
        lambda: not [one for one in ids if engine.container(one)],
        waiting_for="containers with --rm to be removed",
        seconds=patience.removal,
    )


def require_gone(move: Move) -> None:
    """Raises EngineError if the engine's mounts do not go."""
    try:
        until(
            lambda: not leftovers(move.plan),
            waiting_for="the engine's mounts to go",
            seconds=move.patience.mounts,
            late=(),
        )
    except EngineError as error:
        raise EngineError(error.brief, details="Still mounted: " + ", ".join(leftovers(move.plan))) from error


def leftovers(plan: Plan) -> tuple[str, ...]:
    """What is still mounted inside the roots, or made of what is in them; a copy of it would be torn.

    containerd mounts its snapshots elsewhere, and does not end what it has started when it is stopped.
    """
    table = mounts()
    roots = [PurePosixPath(root) for moved in plan.roots for root in (moved.source, moved.target)]
    inside = (mount for root in roots for mount in mounts_below(root, table))
    upper = tuple(f"upperdir={root}/" for root in roots)
    made = (mount for mount in table if any(option.startswith(upper) for option in mount.options))
    return tuple(dict.fromkeys(str(mount.point) for mount in (*inside, *made)))


def bring_up(move: Move) -> None:
    """Start what was started before the move."""
    hold.lift(move.host)
    move.host.trace("start.lifted")
    move.systemd.reset_failed(move.plan.every_unit)
    for service in move.plan.services:  # an engine without it might start one of its own
        if service.started:
            move.systemd.start([service.name])
    move.systemd.start(move.plan.started)
    for name in move.plan.dependents:
        try:
            move.systemd.start([name])
        except SystemdError as error:
            log.warning("dependent.failed", unit=name, why=error.text())


def release(move: Move) -> None:
    """Take away what held the engine; it is up by now, so nobody waits for the reload."""
    hold.remove(move.host, move.plan.every_unit)
    move.systemd.reload()

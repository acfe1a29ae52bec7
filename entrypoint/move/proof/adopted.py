"""A root that was adopted: the engine holds on it what its files say, and it is marked as the one to use."""

from entrypoint.console.errors import EngineError, VerificationError
from entrypoint.console.events import log
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.holdings import whole
from entrypoint.engine.holdings.holdings import Holdings
from entrypoint.host.host import Host
from entrypoint.journal.finished import Finished
from entrypoint.move.proof.intact import roots
from entrypoint.plan.plan import Direction, Plan
from entrypoint.preflight.roots import RootKind


def prove(host: Host, plan: Plan) -> None:
    """The engine that was started on an adopted root holds what its files say. Raises VerificationError."""
    if plan.direction is not Direction.ADOPT:
        return
    held = Holdings.of(host.path(plan.data_root(is_target=True)) / plan.within, plan.store, plan.driver)
    with Engine.opened(socket_of(host)) as engine:
        now = engine.inventory()
    lost = [f"container {name}" for key, name in held.containers.items() if now.container(key) is None]
    lost += [f"volume {name}" for name in sorted(held.volumes - now.volumes.keys())]
    lost += [
        one.text
        for one in whole.missing(now, roots(host, plan, is_target=True), live=True)
        if one.key in held.containers or one.key in held.volumes
    ]  # images were looked up before
    if now.driver != plan.driver or lost:
        details = "\n".join([f"Its storage driver is {now.driver}.", *lost[:20]])
        raise VerificationError("The engine does not hold what the adopted root holds.", details=details)
    log.info("adoption.proven", containers=len(held.containers), volumes=len(held.volumes))


def mark(host: Host, plan: Plan) -> None:
    """Write into the roots which of them are those to use; the engine is up on them.

    Two that belong together have the same record: where containerd's has moved alone, the data root's is made anew. One
    that cannot be written takes nothing back: only --adopt is needed then.
    """
    try:
        if plan.direction is Direction.BACK:
            for root in plan.roots:
                Finished.end(host.path(root.source))
            return
        with Engine.opened(socket_of(host)) as engine:
            record = Finished.now(host, engine.info())
        data_root = plan.stays.get(RootKind.DATA_ROOT)
        stays = [host.path(data_root)] if data_root and Finished.read(host.path(data_root)) else []
        for place in (*stays, *(host.path(root.target) for root in plan.roots)):
            record.write(place)
    except (OSError, EngineError) as problem:
        log.warning("root.unmarked", why=str(problem))

"""What ran runs again, what was paused is paused, what stood still stands still.

The engine alone does not see to that: a container with no restart policy stays down after any restart, `on-failure`
looks at the exit code of the shutdown, a paused container comes back unpaused, and `always` starts one that an
administrator had stopped (moby daemon/restartmanager.go, daemon.go).
"""

from collections.abc import Iterator

from entrypoint.engine import Engine, until
from entrypoint.errors import EngineError, VerificationError
from entrypoint.inventory import ALIVE, Container, Inventory, Status
from entrypoint.log import log

SETTLING = 60.0  # seconds; a container that was started is running at once, one that crashes takes a moment


def restore(engine: Engine, before: Inventory) -> None:
    """Start, pause and stop containers until each stands as it stood, the longest running first."""
    for container in before.containers:
        if not container.auto_remove:
            _restore(engine, container)


def _restore(engine: Engine, before: Container) -> None:
    now = engine.container(before.id)
    if now is None:
        return  # the comparison of the inventories says so
    if before.status in ALIVE and now.status not in ALIVE:
        log.info("container.started", container=before.name, policy=before.policy)
        engine.start(before.id)
    if before.status is Status.PAUSED and now.status is not Status.PAUSED:
        engine.pause(before.id)
    if before.status not in ALIVE and now.status in ALIVE:
        log.info("container.stopped", container=before.name, policy=before.policy)
        engine.stop(before.id)


def require(engine: Engine, before: Inventory) -> None:
    """Raises VerificationError if a container does not stand as it stood, within the time it may take to settle."""
    try:
        until(
            lambda: not list(misplaced(engine, before)),
            waiting_for="the containers to stand as they stood",
            seconds=SETTLING,
        )
    except EngineError as late:
        found = "\n".join(misplaced(engine, before))
        raise VerificationError("Containers do not stand as they stood.", details=found or late.details) from late


def misplaced(engine: Engine, before: Inventory) -> Iterator[str]:
    """The containers that stand otherwise than before, a sentence each."""
    for container in before.containers:
        now = engine.container(container.id)
        if now is None or container.auto_remove or _stands_as(container, now):
            continue
        if container.status in ALIVE and now.status is Status.EXITED and engine.exit_code(now.id) == 0:
            continue  # it was started, did its work and ended: a job, not a loss
        yield f"{container.name} was {container.status} and is {now.status}"


def _stands_as(before: Container, now: Container) -> bool:
    if before.status is Status.PAUSED or now.status is Status.PAUSED:
        return before.status is now.status
    return (before.status in ALIVE) == (now.status in ALIVE)

"""What ran runs again, what was paused is paused, what stood still stands still.

The engine alone does not see to that: a container with no restart policy stays down after any restart, `on-failure`
looks at the exit code of the shutdown, a paused container comes back unpaused, and `always` starts one that an
administrator had stopped (moby daemon/restartmanager.go, daemon.go).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from entrypoint.engine import Engine, until
from entrypoint.errors import EngineError, MoveError, VerificationError
from entrypoint.inventory import ALIVE, Container, Inventory, Status, doomed
from entrypoint.log import log
from entrypoint.swarm import State, replicas

SETTLING = 60.0  # seconds; a container that was started is running at once, one that crashes takes a moment

# A job that was started with --rm during the copy ends by itself; the engine runs while it is waited for.
PATIENCE = 300.0

HEALTHY, UNHEALTHY = "healthy", "unhealthy"
UNLOCKING = 1800.0  # seconds, for a person with a key
RECOVERING = 120.0  # seconds; a check that names no interval is made every thirty, and fails at the third time


def await_ephemeral(engine: Engine, ours: frozenset[str]) -> None:
    """Wait for the containers to end that the engine would remove. Raises MoveError if they do not."""

    def names() -> tuple[str, ...]:
        return doomed(one for one in engine.containers() if one.id not in ours)

    waiting_for = "containers with --rm to end"
    try:
        until(lambda: not names(), waiting_for=waiting_for, seconds=PATIENCE, interval=1.0, late=())
    except EngineError as late:
        raise MoveError(
            "Containers with --rm were started during the copy, and would be removed.",
            details=", ".join(names()),
            resolution="Run it again when they have ended, or with --remove-ephemeral.",
        ) from late


def restore(engine: Engine, before: Inventory) -> None:
    """Start, pause and stop containers until each stands as it stood, the longest running first."""
    for container in before.containers:
        if not container.is_fleeting:
            _restore(engine, container)


def _restore(engine: Engine, before: Container) -> None:
    now = engine.container(before.id)
    if now is None:
        return  # the comparison of the inventories says so
    if before.status in ALIVE and now.status not in ALIVE:
        log.info("container.started", container=before.name, policy=before.policy)
        until(lambda: engine.start(before.id), waiting_for=f"{before.name} to start", seconds=SETTLING, late=())
    if before.status is Status.PAUSED and now.status is not Status.PAUSED:
        until(lambda: engine.pause(before.id), waiting_for=f"{before.name} to run, to pause it", seconds=SETTLING)
    if before.status not in ALIVE and now.status in ALIVE:
        log.info("container.stopped", container=before.name, policy=before.policy)
        engine.stop(before.id)


def require(engine: Engine, before: Inventory) -> None:
    """Raises VerificationError if a container does not stand as it stood, within the time it may take to settle."""
    try:
        _require(engine, before)
    except VerificationError as late:
        # Somebody has restarted the engine meanwhile, or it crashed: it starts what has `always`, stopped or not.
        log.warning("containers.misplaced", found=late.details)
        restore(engine, before)
        _require(engine, before)


def _require(engine: Engine, before: Inventory) -> None:
    try:
        until(
            lambda: not list(misplaced(engine, before)),
            waiting_for="the containers to stand as they stood",
            seconds=SETTLING,
        )
    except EngineError as late:
        found = "\n".join(misplaced(engine, before))
        raise VerificationError("Containers do not stand as they stood.", details=found or late.details) from late


def await_health(engine: Engine, before: Inventory) -> None:
    """Wait until what was healthy is so again. Raises VerificationError for what its own check calls unhealthy then.

    One whose check has not come to an end is only told: a first answer may be an hour away.
    """
    were = [one for one in before.containers if one.health == HEALTHY and one.status is Status.RUNNING]

    def states() -> dict[str, str]:
        found = (engine.container(one.id) for one in were if not one.is_fleeting)
        return {now.name: now.health for now in found if now and now.status in ALIVE and now.health != HEALTHY}

    with suppress(EngineError):
        until(lambda: not states(), waiting_for="containers to be healthy", seconds=RECOVERING, interval=0.5, late=())
    late = states()
    if sick := [name for name, health in late.items() if health == UNHEALTHY]:
        raise VerificationError("Containers that were healthy are not.", details=", ".join(sick))
    for name in late:
        log.warning("container.health", container=name, health=late[name], waited=RECOVERING)


def await_node(engine: Engine, before: Inventory) -> Inventory:
    """A node takes a moment to be one again; until then the engine knows of no swarm. What can be expected of it.

    One that is locked waits for its key, as after any restart, on either root: there is nothing to go back for.
    """
    if not before.node:
        return before
    until(lambda: _node(engine) in (State.ACTIVE, State.LOCKED), waiting_for="the swarm", seconds=SETTLING)
    if _node(engine) == State.LOCKED:
        restore(engine, before)
        log.warning("swarm.locked", minutes=int(UNLOCKING / 60))
        with suppress(EngineError):
            until(lambda: _node(engine) != State.LOCKED, waiting_for="the key", seconds=UNLOCKING, interval=1.0)
    if _node(engine) == State.LOCKED:
        log.warning("swarm.unproven")
        return replace(before, node="", services={})
    until(lambda: _node(engine) == State.ACTIVE, waiting_for="the swarm", seconds=SETTLING)
    return before


def _node(engine: Engine) -> str:
    return engine.info().swarm.state


def require_services(engine: Engine, before: Inventory) -> None:
    """Raises VerificationError if a service does not come to run as many tasks as before."""

    def lacking() -> list[str]:
        now = replicas(engine.containers()) if before.services else {}
        return [
            f"{name} runs {now.get(name, 0)} of {count}"
            for name, count in before.services.items()
            if now.get(name, 0) < count
        ]

    with suppress(EngineError):
        until(lambda: not lacking(), waiting_for="the services' tasks", seconds=RECOVERING, interval=0.5, late=())
    if late := lacking():
        raise VerificationError("Services do not run as many tasks as before.", details="\n".join(late))


def misplaced(engine: Engine, before: Inventory) -> Iterator[str]:
    """The containers that stand otherwise than before, a sentence each."""
    for container in before.containers:
        now = engine.container(container.id)
        if now is None or container.is_fleeting or _stands_as(container, now):
            continue
        if container.status in ALIVE and now.status is Status.EXITED and engine.exit_code(now.id) == 0:
            continue  # it was started, did its work and ended: a job, not a loss
        yield f"{container.name} was {container.status} and is {now.status}"


def _stands_as(before: Container, now: Container) -> bool:
    if before.status is Status.PAUSED or now.status is Status.PAUSED:
        return before.status is now.status
    return (before.status in ALIVE) == (now.status in ALIVE)

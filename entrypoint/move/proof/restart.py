"""What ran runs again, what was paused is paused, what stood still stands still.

The engine alone does not see to that: a container with no restart policy stays down after any restart, `on-failure`
looks at the exit code of the shutdown, a paused container comes back unpaused, and `always` starts one that an
administrator had stopped (moby daemon/restartmanager.go, daemon.go).

One that cannot be put as it stood keeps no other from it, and fails no move: it is named, with the engine's own reason.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import tenacity

from entrypoint.console.errors import EngineError, MoveError, RelocatorError
from entrypoint.console.events import log
from entrypoint.engine.docker import UNREACHABLE, Engine, reason
from entrypoint.engine.inventory import ALIVE, Container, Inventory, Status, doomed, heir
from entrypoint.engine.swarm import State, replicas
from entrypoint.host.machine.persistence import until
from entrypoint.journal.amiss import Amiss, Kind
from entrypoint.move.context import Patience

ROUNDS = 5  # in which what could not be started is tried again
HEALTHY, UNHEALTHY = "healthy", "unhealthy"


def await_ephemeral(engine: Engine, ours: frozenset[str], patience: Patience) -> None:
    """Wait for the containers to end that the engine would remove. Raises MoveError if they do not."""

    def names() -> tuple[str, ...]:
        return doomed(one for one in engine.containers() if one.id not in ours)

    waiting_for = "containers with --rm to end"
    try:
        until(lambda: not names(), waiting_for=waiting_for, seconds=patience.ephemeral, interval=1.0, late=())
    except EngineError as late:
        raise MoveError(
            "Containers with --rm were started during the copy, and would be removed.",
            details=", ".join(names()),
            resolution="Run it again when they have ended, or with --remove-ephemeral.",
        ) from late


def restore(engine: Engine, before: Inventory, patience: Patience) -> dict[str, str]:
    """Start, pause and stop containers until each stands as it stood, the longest running first.

    Returns why, by its id, for each with which that could not be done. All others come before a second try.
    """
    failed: dict[str, str] = {}

    def try_all() -> bool:
        wanted = [one for one in before.containers if not one.is_fleeting and (not tried or one.id in failed)]
        tried.append(True)
        failed.clear()
        failed.update({one.id: why for one in wanted if (why := put(engine, one, patience))})
        return not failed

    tried: list[bool] = []
    with suppress(tenacity.RetryError):
        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda done: not done),
            stop=tenacity.stop_after_attempt(ROUNDS),
            wait=tenacity.wait_fixed(patience.between),
        )(try_all)
    for one in before.containers:
        if one.id in failed:
            log.warning("container.failed", container=one.name, why=failed[one.id])
    return failed


def put(engine: Engine, before: Container, patience: Patience) -> str:
    """Put one container as it stood; why that cannot be done, if it cannot."""
    try:
        _put(engine, before, patience)
    except RelocatorError as late:
        return late.details or late.brief
    except UNREACHABLE as refused:
        return reason(refused)
    return ""


def _put(engine: Engine, before: Container, patience: Patience) -> None:
    now = engine.container(before.id)
    if now is None:
        return  # the comparison of the inventories says so
    if before.status in ALIVE and now.status not in ALIVE:
        log.info("container.started", container=before.name, policy=before.policy)
        until(
            lambda: engine.start(before.id), waiting_for=f"{before.name} to start", seconds=patience.settling, late=()
        )
    if before.status is Status.PAUSED and now.status is not Status.PAUSED:
        until(
            lambda: engine.pause(before.id), waiting_for=f"{before.name} to run, to pause it", seconds=patience.settling
        )
    if not stands_as(before, now) and before.status not in ALIVE:
        log.info("container.stopped", container=before.name, policy=before.policy)
        engine.stop(before.id)


def settle(
    engine: Engine,
    before: Inventory,
    failed: Mapping[str, str],
    stopped: Collection[str],
    away: Callable[[], tuple[float, float]],
    patience: Patience,
) -> list[Amiss]:
    """What does not stand as it stood, when each has had the time to settle.

    `failed` are those that could not be put so, with the reasons; `stopped` those that others have stopped since. When
    the engine was `away` last is asked again and again: one that was restarted has stopped what was started before.
    """
    left = replace(before, containers=tuple(one for one in before.containers if one.id not in stopped))
    waited = replace(left, containers=tuple(one for one in left.containers if one.id not in failed))
    if not _settles(engine, waited, away, patience):
        # Somebody has restarted the engine meanwhile, or it crashed: it starts what has `always`, stopped or not.
        log.warning("containers.misplaced", found=[one.text for one in misplaced(engine, waited, away())])
        failed = {**failed, **restore(engine, waited, patience)}
        _settles(engine, waited, away, patience)
    return [replace(one, text=f"{one.text}: {failed[one.key]}") if one.key in failed else one
            for one in misplaced(engine, left, away())]  # fmt: skip


def _settles(engine: Engine, before: Inventory, away: Callable[[], tuple[float, float]], patience: Patience) -> bool:
    """Whether they come to stand as they stood; not waited for behind the back of an engine that was restarted."""
    was, waiting_for = away(), "the containers to stand as they stood"

    def stand() -> bool:
        return not list(misplaced(engine, before, away()))

    with suppress(EngineError):
        until(lambda: away() != was or stand(), waiting_for=waiting_for, seconds=patience.settling)
    return stand()


def await_health(engine: Engine, before: Inventory, patience: Patience) -> list[Amiss]:
    """Wait until what was healthy is so again; what its own check calls unhealthy then.

    One whose check has not come to an end is only told: a first answer may be an hour away.
    """
    were = [one for one in before.containers if one.health == HEALTHY and one.status is Status.RUNNING]

    def states() -> dict[str, Container]:
        found = (engine.container(one.id) for one in were if not one.is_fleeting)
        return {now.id: now for now in found if now and now.status in ALIVE and now.health != HEALTHY}

    def undecided() -> bool:
        return any(one.health != UNHEALTHY for one in states().values())

    waiting_for = "containers to be healthy"
    with suppress(EngineError):
        until(lambda: not undecided(), waiting_for=waiting_for, seconds=patience.recovering, interval=0.5, late=())
        until(lambda: not states(), waiting_for=waiting_for, seconds=patience.sick, interval=0.5, late=())
    late = states().values()
    for one in late:
        log.warning("container.health", container=one.name, health=one.health, waited=patience.recovering)
    return [Amiss(Kind.HEALTH, f"{one.name} was healthy and is unhealthy", one.id)
            for one in late if one.health == UNHEALTHY]  # fmt: skip


def await_node(engine: Engine, before: Inventory, patience: Patience) -> Inventory:
    """A node takes a moment to be one again; until then the engine knows of no swarm. What can be expected of it.

    One that is locked waits for its key, as after any restart, on either root: there is nothing to go back for.
    """
    if not before.node:
        return before
    until(lambda: _node(engine) in (State.ACTIVE, State.LOCKED), waiting_for="the swarm", seconds=patience.settling)
    if _node(engine) == State.LOCKED:
        restore(engine, before, patience)
        log.warning("swarm.locked", minutes=int(patience.unlocking / 60))
        with suppress(EngineError):
            until(
                lambda: _node(engine) != State.LOCKED, waiting_for="the key", seconds=patience.unlocking, interval=1.0
            )
    if _node(engine) == State.LOCKED:
        log.warning("swarm.unproven")
        return replace(before, node="", services={})
    until(lambda: _node(engine) == State.ACTIVE, waiting_for="the swarm", seconds=patience.settling)
    return before


def _node(engine: Engine) -> str:
    return engine.info().swarm.state


def await_services(engine: Engine, before: Inventory, patience: Patience) -> list[Amiss]:
    """Wait until each service runs as many tasks as before; those that do not."""
    waiting_for = "the services' tasks"
    with suppress(EngineError):
        until(
            lambda: not lacking(engine, before),
            waiting_for=waiting_for,
            seconds=patience.recovering,
            interval=0.5,
            late=(),
        )
    return [Amiss(Kind.OTHER, text) for text in lacking(engine, before)]


def lacking(engine: Engine, before: Inventory) -> list[str]:
    """The services that run fewer tasks than before."""
    now = replicas(engine.containers()) if before.services else {}
    return [
        f"service {name} runs {now.get(name, 0)} of {count} tasks"
        for name, count in before.services.items()
        if now.get(name, 0) < count
    ]


def misplaced(engine: Engine, before: Inventory, away: tuple[float, float]) -> Iterator[Amiss]:
    """The containers that stand otherwise than before; one that its owner has made anew is his to start.

    One that was started, did its work and ended is a job, and no loss; but not one that has ended while the engine was
    `away`, or as it came up again: any good server ends with code 0 when it is told to stop.
    """
    for container in before.containers:
        if container.is_fleeting:
            continue
        now = engine.container(container.id) or _made_anew(engine, container)
        if now is None or stands_as(container, now):
            continue
        code, at = engine.ended(now.id) if now.status is Status.EXITED else (None, 0.0)
        if container.status in ALIVE and code == 0 and not away[0] <= at <= away[1]:
            continue
        how = f"{now.status} (exit code {code})" if code is not None else now.status
        yield Amiss(Kind.CONTAINER, f"{container.name} was {container.status} and is {how}", container.id)


def _made_anew(engine: Engine, before: Container) -> Container | None:
    """What its owner has made in its place; how that is to stand is his to say, but it is to run."""
    now = heir(before, engine.containers())
    return now if now and before.status in ALIVE and now.status not in ALIVE else None


def stands_as(before: Container, now: Container) -> bool:
    if before.status is Status.PAUSED or now.status is Status.PAUSED:
        return before.status is now.status
    by_others = before.policy == "no" and now.status in ALIVE  # no engine starts such a one by itself
    return by_others or (before.status in ALIVE) == (now.status in ALIVE)

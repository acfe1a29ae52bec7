"""The checks of a node of a swarm: whether it can be moved, and what that means to its services."""

from collections.abc import Iterator

from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.swarm import State, Swarm
from entrypoint.preflight.facts import HostFacts


def to_move(facts: HostFacts) -> Iterator[Finding]:
    """Where the engine goes on with what it holds."""
    swarm = facts.engine.swarm
    if swarm.state == State.INACTIVE:
        return
    if errors := [*_state(swarm), *_quorum(swarm)]:
        yield from errors[:1]
    else:
        yield told(swarm)
        yield from _managers(swarm)
        yield from _autolock(swarm)


def to_return(facts: HostFacts) -> Iterator[Finding]:
    """Where an older root is to be used again: a rollback, or one that was left before."""
    yield from to_move(facts)
    swarm = facts.engine.swarm
    if swarm.is_one_of_managers:
        yield error(
            "swarm-return",
            "An older state cannot be returned to the managers of a swarm",
            f"There are {swarm.managers}. The other root holds what this manager knew when it left it, and the "
            "managers' protocol does not allow that once the newer state took part.",
            "Make it a worker first: on another manager `docker node demote …`; afterwards `docker node promote …`.",
        )


def _state(swarm: Swarm) -> Iterator[Finding]:
    if swarm.state != State.ACTIVE:
        yield error(
            "swarm-state",
            "The engine is not at work in its swarm",
            f"Its state there is `{swarm.state}`: what it should hold after the move cannot be known.",
            "See `docker info`; unlock it (`docker swarm unlock`), or leave the swarm, then run again.",
        )


def _quorum(swarm: Swarm) -> Iterator[Finding]:
    """Two managers never can spare one; of more, those that are there should."""
    if swarm.managers > 2 and swarm.reachable - 1 < swarm.majority:
        yield error(
            "swarm-quorum",
            "Without this manager the swarm would have no majority",
            f"Of {swarm.managers} managers {swarm.reachable} are reachable, this one among them; {swarm.majority} must "
            "be at work.",
            "Bring the others back first: docker node ls",
        )


def _managers(swarm: Swarm) -> Iterator[Finding]:
    if swarm.is_one_of_managers:
        others = swarm.reachable - 1
        kept = "The others keep a majority." if others >= swarm.majority else (
            "The other one is no majority: until this one is back no service can be changed, and none that fails is "
            "started again; what runs runs on."
        )  # fmt: skip
        yield warning(
            "swarm-managers",
            "The engine is one of several managers of a swarm",
            f"There are {swarm.managers}. {kept} Once it has been at work on the new root, it stays there whatever "
            "fails: an older state must not be returned to the others.",
            "To have it taken back if something fails: `docker node demote …` before, `docker node promote …` after.",
        )


def _autolock(swarm: Swarm) -> Iterator[Finding]:
    if swarm.autolock and swarm.is_manager:
        yield warning(
            "swarm-autolock",
            "The swarm's managers lock themselves",
            "After the restart of the engine somebody has to enter the key, and no service runs here until then. The "
            "move waits for it, for half an hour.",
            "Have the key at hand (docker swarm unlock-key), and enter it when the engine is back: docker swarm unlock",
        )


def told(swarm: Swarm) -> Finding:
    detail = "The swarm makes the containers of its tasks anew, as at any restart: what they wrote outside volumes is "
    remedy = "Nothing; the move waits until each service runs as many tasks here as before."
    if not swarm.stands_alone:
        remedy = "To see none of its tasks fail: `docker node update --availability drain …` before, `active` after."
        detail = "The managers may start its tasks elsewhere meanwhile. " + detail
    return warning("swarm", "The engine is part of a swarm", detail + "lost.", remedy)

"""The checks of what a start of the containers that run now depends on, beside the engine."""

from collections.abc import Iterator

from entrypoint.console.findings import Finding, warning
from entrypoint.preflight.facts import HostFacts


def owned(facts: HostFacts) -> Iterator[Finding]:
    """Whoever owns a container starts it again, or makes it anew; a unit that does not wait for the engine may give up
    meanwhile."""
    alive = {one.name for one in facts.inventory.containers if one.is_alive}
    found = {name: owner for name, owner in facts.owners.items() if name in alive}
    if not found:
        return
    hasty = sorted({one for one in found.values() if one.endswith(".service")} - {*facts.dependents})
    yield warning(
        "owned-elsewhere",
        "Containers belong to others, who start them again by themselves",
        f"{', '.join(f'{name} to {owner}' for name, owner in sorted(found.items()))}. They stop with the engine; one "
        "that is made anew under its name counts as the same.",
        f"These units do not stop with the engine, and may give up while it is away: {', '.join(hasty)}. Then: "
        "systemctl reset-failed UNIT; systemctl start UNIT"
        if hasty
        else "",
    )


def startable(facts: HostFacts) -> Iterator[Finding]:
    """What runs has what it was started with; the next start looks for it anew, as after any restart of the engine."""
    for one in facts.obstacles:
        title = f"The container {one.container} runs, and cannot be started again as it is"
        yield warning(
            "cannot-restart",
            title if one.is_seen else f"Whether the container {one.container} can be started again is not known",
            f"{one.what[0].upper()}{one.what[1:]}. The move stops it, and all others are started again.",
            one.remedy,
        )


def deaf(facts: HostFacts) -> Iterator[Finding]:
    """What does not end when it is told to keeps the engine waiting at each of its stops, ours and any other."""
    if not (found := facts.deaf()):
        return
    named = ", ".join(f"{one.container} ({one.signal}, {_patience(seconds)})" for one, seconds in found)
    yield warning(
        "deaf-containers",
        "Containers do not end on the signal that stops them",
        f"The engine waits for them at each stop, and kills them when their time is over: {named}. The downtime is "
        "longer by the longest of these times.",
        "Start them with an init (docker run --init; init: true in a compose file), have the program handle the "
        "signal, name one that it hears (--stop-signal), or give it less time (--stop-timeout=1).",
    )


def _patience(seconds: float) -> str:
    return "without end" if seconds < 0 else f"{seconds:g} s"

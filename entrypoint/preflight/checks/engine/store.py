"""The check of what the engine's next start would keep its images in: that must be what it keeps them in now.

An engine takes storage driver and image store when it starts, and at no reload. A configuration that was changed since
then, by hand or by a program that manages it, is in force at the next start, whoever it is for: the engine comes up
without its images and containers, on the old root as on the new one, so that there would be no way back either.
"""

from collections.abc import Iterator
from contextlib import suppress

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error
from entrypoint.engine.drivers import STORAGE_DRIVERS
from entrypoint.engine.info import CONTAINERD, GRAPHDRIVER
from entrypoint.engine.versions import Since
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

FEATURE = "containerd-snapshotter"
FEATURE_FLAGS = ("--feature",)  # from 28 on (moby daemon/command/config.go)
TRUE = ("1", "t", "true", "")


def pending(facts: HostFacts) -> Iterator[Finding]:
    try:
        changes = list(_changes(facts))
    except (PreflightError, ValueError):
        return  # what cannot be read is told by another check
    for key, now, then in changes:
        yield error(
            "store-pending",
            "The next start of the engine would keep images elsewhere",
            f"It runs with the {key} {now}; by its configuration it would start with {then}, and see none of its "
            "images and containers.",
            _way(facts),
        )


def _way(facts: HostFacts) -> str:
    """From 29 on a start with a graph driver leaves a trace of that in the root, and the engine stays with it."""
    out = f"Take that change out of {facts.config.path} or the unit"
    if facts.engine.store == CONTAINERD and facts.engine.is_at_least(Since.CONTAINERD):
        return f"{out}, then run again. Do not restart the engine with it: what one start leaves there decides."
    return f"{out}, or restart the engine with it first and see that everything is there; then run again."


def unnamed(facts: HostFacts) -> Iterator[Finding]:
    """What leads an engine to a driver by itself is another file system's, or nothing."""
    if not facts.engine.layers.is_overlooked:
        return
    name = facts.engine.driver
    with suppress(PreflightError):  # what cannot be read is told by another check
        if not facts.storage_driver():
            yield error(
                "driver-unnamed",
                f"The engine would not choose {name} by itself",
                "Nothing names its storage driver. It took this one because no other works where its root is now; on "
                "the target another may, and it would see none of its images and containers.",
                f'Set "storage-driver": "{name}" in {facts.config.path}, restart the engine, see that everything '
                "is there; then run again.",
            )


def _changes(facts: HostFacts) -> Iterator[tuple[str, str, str]]:
    """What is meant, what it is now, and what it would be. Raises PreflightError or ValueError."""
    engine = facts.engine
    store = configured_store(facts)
    if store and store != engine.store:
        yield "image store", engine.store, store
    elif engine.store == GRAPHDRIVER and (named := facts.storage_driver()) not in ("", engine.driver):
        yield "storage driver", engine.driver, named


def configured_store(facts: HostFacts) -> str:
    """What the next start would choose; empty if it does not depend on the configuration."""
    wanted = _feature(facts)
    if facts.engine.remaps or not facts.engine.is_at_least(Since.STORE_FEATURE):
        return ""  # then it has the graph driver, whatever the configuration says
    if wanted is None and facts.engine.is_at_least(Since.CONTAINERD):
        return _found(facts)
    return CONTAINERD if wanted else GRAPHDRIVER


def _found(facts: HostFacts) -> str:
    """Since 29, without a word on the feature: a graph driver that has left something in the root decides, then the
    driver that is named (moby: daemon/image_store_choice.go, 29.7, lines 94-155)."""
    if facts.traces or facts.storage_driver() in {driver.name for driver in STORAGE_DRIVERS}:
        return GRAPHDRIVER
    return CONTAINERD


def _feature(facts: HostFacts) -> bool | None:
    """What the configuration says of the feature; nothing if it does not name it."""
    words = [one.text for one in facts.command_line()]
    said = [flag.value.partition("=") for flag in flags.given(words, FEATURE_FLAGS)]
    if values := [value for name, _equals, value in said if name == FEATURE]:
        return values[-1].lower() in TRUE
    features = daemon_json.parse(facts.config.content, str(facts.config.path)).get("features")
    value = features.get(FEATURE) if isinstance(features, dict) else None
    return value if isinstance(value, bool) else None

"""The check of what the engine's next start would keep its images in: that must be what it keeps them in now.

An engine takes storage driver and image store when it starts, and at no reload. A configuration that was changed since
then, by hand or by a program that manages it, is in force at the next start, whoever it is for: the engine comes up
without its images and containers, on the old root as on the new one, so that there would be no way back either.
"""

from collections.abc import Iterator
from contextlib import suppress

from entrypoint.console import wording
from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.drivers.choice import FEATURE, MIGRATED, MIGRATION
from entrypoint.engine.info import CONTAINERD, GRAPHDRIVER
from entrypoint.engine.versions import Since
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind

THRESHOLD = "DOCKER_MIGRATE_SNAPSHOTTER_THRESHOLD"  # without it, only an engine without images changes its store


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


def migrating(facts: HostFacts) -> Iterator[Finding]:
    """Once no container is left, a start can bring all images into containerd: gigabytes, while the engine is away, and
    it comes up with another store than before (moby daemon/daemon.go, 29.7, from line 1223 on)."""
    engine = facts.engine
    if engine.store != GRAPHDRIVER or engine.driver not in MIGRATED or not engine.is_at_least(Since.MIGRATION):
        return
    if not all(one.auto_remove for one in facts.inventory.containers):
        return
    with suppress(PreflightError, ValueError):  # what cannot be read is told by another check
        size = facts.variables().get(THRESHOLD, "")
        if facts.told.feature(MIGRATION) and size:
            yield error(
                "store-migration",
                "The next start of the engine would migrate its images to containerd",
                f"features.{MIGRATION} is on, {THRESHOLD} is {size}, and there is no container that would keep it from "
                "that. The engine would be away for as long as that takes, and there would be no way back.",
                f"Take the feature out of {facts.config.path} or the unit, and run again. Or let it migrate first: "
                f"systemctl restart {facts.service.name}; see that every image is there; take the feature out; run "
                "again.",
            )


def unused(facts: HostFacts) -> Iterator[Finding]:
    """What an engine has left that has changed its store: it moves along, and is looked at by no engine."""
    moved = facts.root(RootKind.DATA_ROOT)
    if facts.engine.store != CONTAINERD or moved is None or not moved.source.layers:
        return
    yield warning(
        "layers-unused",
        "The data root holds layers of images that the engine does not use",
        f"{moved.source.layers} of them, {wording.size(moved.source.layer_bytes)}: the engine keeps its images in "
        "containerd by now. They move along.",
        f'To be rid of them: set "features": {{"{FEATURE}": true}} in {facts.config.path}, restart the engine, see '
        f"that every image is there; then remove {facts.data_root}/image, and the driver's directory beside it.",
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
        if not facts.told.driver:
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
    elif (named := facts.told.driver) not in ("", engine.driver):
        yield "storage driver", engine.driver, named


def configured_store(facts: HostFacts) -> str:
    """What the next start would choose; empty if it does not depend on the configuration."""
    if facts.engine.remaps or not facts.engine.is_at_least(Since.STORE_FEATURE):
        return ""  # then it has the graph driver, whatever the configuration says
    if facts.told.takes_containerd(facts.engine.version, facts.traces) or _stays_migrated(facts):
        return CONTAINERD
    return GRAPHDRIVER


def _stays_migrated(facts: HostFacts) -> bool:
    """An engine that has brought its images to containerd finds the old driver at each start, none of its containers
    there, and goes on to containerd again, for as long as the feature is on (moby daemon/daemon.go)."""
    is_on = facts.engine.is_at_least(Since.MIGRATION) and bool(facts.told.feature(MIGRATION))
    return is_on and facts.engine.store == CONTAINERD and bool(facts.traces) and facts.told.feature(FEATURE) is None

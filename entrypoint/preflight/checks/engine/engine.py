"""The checks of the engine: what it is, and what a stop of it does to what it runs."""

from collections.abc import Iterator

from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.info import GRAPHDRIVER
from entrypoint.engine.inventory import ALIVE, doomed
from entrypoint.engine.versions import Since
from entrypoint.preflight.facts import HostFacts

EPHEMERAL = "ephemeral-containers"


def driver(facts: HostFacts) -> Iterator[Finding]:
    kept = facts.engine.layers
    if facts.engine.store == GRAPHDRIVER and not kept.is_moved:
        yield error("storage-driver", f"The storage driver {kept.name} cannot be moved", kept.reason, kept.way)


def other(facts: HostFacts) -> Iterator[Finding]:
    """What was asked to be moved is the engine that was asked to start us."""
    if facts.strangers:
        yield error(
            "other-engine",
            "This container runs in another engine than the one that would be moved",
            f"The engine of the host's /var/run/docker.sock, on {facts.engine.data_root}, does not have the container "
            f"{', '.join(name[:12] for name in sorted(facts.strangers))}.",
            "Start it in the engine that is to be moved: docker -H unix:///var/run/docker.sock run … An engine with "
            "another socket than that is moved by hand.",
        )


def age(facts: HostFacts) -> Iterator[Finding]:
    if not facts.engine.is_at_least(Since.TRIED):
        yield warning(
            "engine-old",
            f"Docker {facts.engine.version} is older than any this was tried with",
            "The oldest was 20.10. Whatever this engine does otherwise is found by the proof after the start.",
            "Have a backup, or upgrade the engine first.",
        )


def live_restore(facts: HostFacts) -> Iterator[Finding]:
    """The engine leaves containers running when it stops, which we end before; it leaves plugins running, too."""
    if not facts.engine.live_restore:
        return
    yield warning(
        "live-restore",
        "live-restore is on",
        "Containers stop for the move all the same, or they would go on writing to the old root. The setting stays.",
    )
    if enabled := [plugin for plugin in facts.inventory.plugins.values() if plugin.endswith(" enabled")]:
        yield error(
            "live-restore-plugins",
            "live-restore would keep plugins running on the old root",
            f"The engine does not stop them when it stops: {', '.join(enabled)}.",
            "Disable them, or live-restore: set it to false, and reload the engine (systemctl reload "
            f"{facts.service.name}).",
        )


def ephemeral(facts: HostFacts) -> Iterator[Finding]:
    if names := doomed(facts.inventory.containers):
        yield error(
            EPHEMERAL,
            "Containers started with --rm would be removed",
            f"The engine removes them when it stops, as at any restart: {', '.join(names)}.",
            "Wait until they have ended, or agree to their removal: --remove-ephemeral",
        )


def unattended(facts: HostFacts) -> Iterator[Finding]:
    """What no engine starts by itself; we do, as long as we live."""
    names = [
        one.name
        for one in facts.inventory.containers
        if one.status in ALIVE and one.policy in ("no", "on-failure") and not (one.auto_remove or one.is_relocator)
    ]
    if names:
        yield warning(
            "no-restart-policy",
            "Containers run that the engine does not start by itself",
            f"They are started again after the move: {', '.join(names[:5])}{' …' if names[5:] else ''}. If the power "
            "fails in the middle of it, they stay down until the next relocator command.",
            "For those that must never stay down: docker update --restart=unless-stopped NAME",
        )

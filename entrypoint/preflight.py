"""The checks before anything is touched: facts in, findings out. All run; they are reported together.

An error refuses the move, a warning is shown and the move goes on. Every check is a pure function, so a finding can be
tested without a host that has the fault.
"""

from collections.abc import Callable, Iterable, Iterator

from entrypoint import daemon_config, layers, target_checks
from entrypoint.errors import PreflightError
from entrypoint.facts import SERVICE, HostFacts, option
from entrypoint.filesystem import mounts_below
from entrypoint.findings import Finding, Severity, error, warning
from entrypoint.inventory import ALIVE
from entrypoint.systemd import RUNNING

ROOT_FLAGS = ("--data-root", "--graph", "-g")


def check(facts: HostFacts) -> tuple[Finding, ...]:
    """Every finding, errors first."""
    found = [finding for one in CHECKS for finding in one(facts)]
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


def require(findings: Iterable[Finding]) -> None:
    """Raises PreflightError if one of the findings refuses the move."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise PreflightError(
            f"The move is refused, for {len(errors)} reason{'s' if len(errors) > 1 else ''}. Nothing was changed.",
            details="\n".join(finding.text() for finding in errors),
        )


def is_already_there(facts: HostFacts) -> bool:
    """Whether the engine's data root is the target, by its name or by being the same directory."""
    same = facts.source.path == facts.target.resolved
    return same or (facts.target.exists and facts.target.identities[0] == facts.source.identity)


def driver(facts: HostFacts) -> Iterator[Finding]:
    engine = facts.engine
    if engine.store != "graphdriver":
        yield error(
            "containerd-store",
            "The engine keeps its images in containerd",
            "containerd's own root would have to move too; this version of relocator moves the data root only.",
        )
    elif engine.driver != layers.DRIVER:
        yield error(
            "storage-driver",
            f"The storage driver {engine.driver} cannot be moved",
            f"Only {layers.DRIVER} can be copied as files by this version; the engine uses {engine.driver}.",
        )


def unsupported(facts: HostFacts) -> Iterator[Finding]:
    engine = facts.engine
    if engine.live_restore:
        yield error(
            "live-restore",
            "live-restore is on",
            "Containers would go on writing to the old root while the engine is down.",
            'Set "live-restore": false, reload the engine (systemctl reload docker), and run again.',
        )
    if engine.swarm not in ("inactive", ""):
        yield error(
            "swarm", "The engine is part of a swarm", f"Its state there is `{engine.swarm}`; this version does not "
            "move swarm nodes.", "Drain the node and leave the swarm first."
        )  # fmt: skip
    if any("userns" in option for option in engine.security):
        yield error("userns-remap", "The engine remaps user ids", "This version does not move such a data root.")


def unit(facts: HostFacts) -> Iterator[Finding]:
    if not facts.service.exists or facts.service.active_state not in RUNNING:
        yield error(
            "no-service",
            f"The engine does not run as {SERVICE}",
            f"systemd says: {facts.service.load_state}, {facts.service.active_state}.",
            "An engine from a snap, a rootless engine or one started by hand is moved by its own means.",
        )
    if facts.worker.active_state in RUNNING | {"activating", "deactivating"}:
        yield error("already-running", "Another relocator is at work on this host", f"{facts.worker.name} is active.",
                    "Wait for it with `relocator status --wait`.")  # fmt: skip


def configuration(facts: HostFacts) -> Iterator[Finding]:
    config = facts.config
    flag = next((name for name in ROOT_FLAGS if option(facts.arguments, name) is not None), None)
    if flag:
        yield error(
            "root-by-flag",
            "The data root is set on the engine's command line",
            f"{SERVICE} starts dockerd with {flag}; a second place would stop the engine from starting.",
            f'Move the setting to {config.path} as "data-root", restart the engine, and run again.',
        )
    for file in (config, facts.drop_in):
        if not file.writable:
            yield error("config-read-only", f"{file.path} cannot be written", "It is on a read-only file system.")
    if not config.is_file:
        yield error("config-not-file", f"{config.path} is not a file", "The engine's configuration cannot be edited.")
    else:
        try:
            daemon_config.parse(config.content, str(config.path))
        except PreflightError as problem:
            yield error("config-invalid", problem.brief, problem.details, problem.resolution)


def pending(facts: HostFacts) -> Iterator[Finding]:
    """What the next start would change by itself: any start during the move would do it, also one that goes back."""
    if facts.configured_root is not None and facts.configured_root != facts.source.path:
        yield error(
            "configured-root-differs",
            "The engine is configured for another root than the one it runs on",
            f"It runs on {facts.source.path}; {facts.config.path} names {facts.configured_root}.",
            "Put the file right and restart the engine, or take the setting out, then run again.",
        )
    for unit in (facts.service, facts.socket):
        if unit.exists and unit.needs_reload:
            yield error(
                "unit-needs-reload",
                f"{unit.name} was changed and not loaded",
                "The move reloads unit files, which would put that change into force.",
                "Look at the change, then: systemctl daemon-reload",
            )


def dependents(facts: HostFacts) -> Iterator[Finding]:
    if facts.dependents:
        yield warning(
            "dependent-units",
            "Other units stop along with the engine",
            f"systemd stops them with it, and they are started again after the move: {', '.join(facts.dependents)}.",
        )


def sub_mounts(facts: HostFacts) -> Iterator[Finding]:
    """File systems mounted inside the data root that the engine did not mount itself."""
    for mount in mounts_below(facts.source.path, facts.mounts):
        parts = mount.point.relative_to(facts.source.path).parts
        if not _is_the_engines(parts):
            yield error(
                "sub-mount",
                "A part of the data root is a file system of its own",
                f"{mount.point} is mounted from {mount.source} ({mount.kind}).",
                "This version moves a data root only as a whole.",
            )


def _is_the_engines(parts: tuple[str, ...]) -> bool:
    """What dockerd mounts below its root: layers, shared memory and secrets of containers, volumes in use, plugins."""
    match parts:
        case (layers.DRIVER, _, "merged", *_):
            return True
        case ("containers", _, "mounts" | "secrets", *_):
            return True
        case ("volumes", _, "_data", *_):
            return True
        case ("plugins", *_):
            return True
        case _:
            return False


def ephemeral(facts: HostFacts) -> Iterator[Finding]:
    doomed = [one.name for one in facts.inventory.containers if one.auto_remove and one.status in ALIVE]
    if doomed:
        yield warning(
            "ephemeral-containers",
            "Containers started with --rm will be removed",
            f"The engine removes them when it stops, as at any restart: {', '.join(doomed)}.",
        )


CHECKS: tuple[Callable[[HostFacts], Iterator[Finding]], ...] = (
    *target_checks.CHECKS,
    driver,
    unsupported,
    unit,
    configuration,
    pending,
    dependents,
    sub_mounts,
    ephemeral,
)

"""The checks before anything is touched: facts in, findings out. All run; they are reported together.

An error refuses the move, a warning is shown and the move goes on. Every check is a pure function, so a finding can be
tested without a host that has the fault.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, Severity, agreed, error, warning
from entrypoint.console.wording import span
from entrypoint.engine import products
from entrypoint.engine.drivers import choice, layers
from entrypoint.engine.info import GRAPHDRIVER
from entrypoint.engine.inventory import ALIVE, doomed
from entrypoint.host.services.units import RUNNING, STOPPED
from entrypoint.preflight.adoption import ADOPT, Adoptable
from entrypoint.preflight.checks import adoption, selinux, settings, size_limits
from entrypoint.preflight.checks import target as target_checks
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.engine import restart, store, swarm
from entrypoint.preflight.checks.roots import parts, users
from entrypoint.preflight.facts import HostFacts

EPHEMERAL = "ephemeral-containers"
OLDEST = 20  # 20.10, with Debian 11


def check(facts: HostFacts, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding, errors first; those that the operator has `accepted` by their id are none."""
    other = tuple(products.other(facts.engine.product))
    if other:
        return other  # whatever else is found there is said of the wrong engine
    checks = CHECKS if not facts.alone else CHECKS_ALONE if facts.containerd_source else (images.no_root,)
    return errors_first(agreed(finding, accepted) for one in checks for finding in one(facts))


def check_adoption(facts: HostFacts, found: Adoptable | None, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding where a root is adopted; what only a copy needs is not asked."""
    other = tuple(products.other(facts.engine.product))
    if other:
        return other
    checks = (
        *adoption.CHECKS,
        driver,
        store.pending,
        store.unnamed,
        of_return,
        live_restore,
        unit,
        dependents,
        parts.sub_mounts,
        ephemeral,
        *restart.CHECKS,
        images.check_adoption,
    )
    found_so_far = [agreed(finding, accepted) for one in checks for finding in one(facts)]
    return errors_first([*found_so_far, *adoption.check(facts, found, insisted=ADOPT in accepted)])


def errors_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR))


def require(findings: Iterable[Finding], what: str = "move") -> None:
    """Raises PreflightError if one of the findings refuses the move, or what else was to be done."""
    if errors := refuses(findings):
        raise PreflightError(
            f"The {what} is refused, for {len(errors)} reason{'s' if len(errors) > 1 else ''}. Nothing was changed.",
            details="\n".join(finding.text() for finding in errors),
        )


def refuses(findings: Iterable[Finding]) -> list[Finding]:
    """Those of the findings that refuse the move."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def is_already_there(facts: HostFacts) -> bool:
    """Whether the root that is to move is the target, by its name or by being the same directory."""
    if facts.alone and facts.containerd_source is None:
        return False  # there is none
    source, target = facts.moved.source, facts.moved.target
    return source.path == target.resolved or (target.exists and target.identities[0] == source.identity)


def driver(facts: HostFacts) -> Iterator[Finding]:
    engine = facts.engine
    if engine.store == GRAPHDRIVER and engine.driver not in layers.DRIVERS:
        unknown = "Nothing is known of how it keeps its layers.", ""
        reason, way = choice.REFUSED.get(engine.driver, unknown)
        yield error("storage-driver", f"The storage driver {engine.driver} cannot be moved", reason, way)


def of_swarm(facts: HostFacts) -> Iterator[Finding]:
    yield from swarm.check(facts.engine.swarm)


def of_return(facts: HostFacts) -> Iterator[Finding]:
    yield from swarm.check_return(facts.engine.swarm)


def age(facts: HostFacts) -> Iterator[Finding]:
    if not facts.engine.is_at_least(OLDEST):
        yield warning(
            "engine-old",
            f"Docker {facts.engine.version} is older than any this was tried with",
            "The oldest was 20.10. Whatever this engine does otherwise is found by the proof after the start.",
            "Have a backup, or upgrade the engine first.",
        )


def clock(facts: HostFacts) -> Iterator[Finding]:
    """Each look takes what is from the future for changed, so that all of it is left to the last pass."""
    ahead = facts.moved.source.ahead
    if count := ahead.entries:
        yield warning(
            "clock-behind",
            "The clock is behind files of the data root",
            f"By this clock {count} of them were changed in the future, up to {span(ahead.seconds)} from "
            "now. They are copied once more while the engine is down.",
            "See that the clock is right (date; timedatectl), or wait until it has come so far.",
        )


def unsettled(facts: HostFacts) -> Iterator[Finding]:
    if facts.unsettled and facts.worker.active_state in STOPPED:
        yield warning(
            "run-unsettled",
            "An earlier run was cut off",
            f"Run {facts.unsettled} has no end. The next move, or `status`, finishes or undoes it first.",
            "Settle it now, then look again: relocator status",
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
            "Disable them, or live-restore: set it to false, and reload the engine (systemctl reload docker).",
        )


def unit(facts: HostFacts) -> Iterator[Finding]:
    if not facts.service.exists or facts.service.active_state not in RUNNING:
        yield error(
            "no-service",
            f"The engine does not run as {facts.service.name}",
            f"systemd says: {facts.service.load_state}, {facts.service.active_state}.",
            "An engine from a snap, a rootless engine or one started by hand is moved by its own means.",
        )
    if facts.worker.active_state in RUNNING | {"activating", "deactivating"}:
        yield error("already-running", "Another relocator is at work on this host", f"{facts.worker.name} is active.",
                    "Wait for it with `relocator status --wait`.")  # fmt: skip


def dependents(facts: HostFacts) -> Iterator[Finding]:
    if along := (*facts.dependents, *facts.awaited):
        yield warning(
            "dependent-units",
            "Other units stop along with the engine",
            f"systemd stops them with it, and they are started again after the move: {', '.join(along)}.",
            "Stop them first if they must not be restarted at this hour.",
        )


def packages(facts: HostFacts) -> Iterator[Finding]:
    if facts.package_programs:
        yield warning(
            "packages-changing",
            "Packages are being installed or removed",
            f"{', '.join(facts.package_programs)} is at work. A change of the engine's package would fail while the "
            "engine is held, or start another version of it after the move.",
            "Wait until it has ended, then run again.",
        )
    if facts.wants_reboot:
        yield warning(
            "reboot-pending",
            "The host waits for a reboot",
            "Packages were changed that are in force after a reboot only.",
            "Reboot first if you can: then what the move starts is what the next boot starts.",
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


CHECKS: tuple[Callable[[HostFacts], Iterator[Finding]], ...] = (
    *target_checks.CHECKS,
    *selinux.CHECKS,
    driver,
    store.pending,
    store.unnamed,
    images.check,
    of_swarm,
    age,
    live_restore,
    unit,
    unsettled,
    *settings.CHECKS,
    dependents,
    packages,
    parts.sub_mounts,
    parts.subvolumes,
    parts.missing,
    clock,
    ephemeral,
    unattended,
    *restart.CHECKS,
    users.bound,
    size_limits.check,
)
# Of what stays only that is asked which the next start of the engine depends on.
CHECKS_ALONE = (
    store.pending,
    images.check,
    images.tasks,
    of_swarm,
    age,
    live_restore,
    unit,
    unsettled,
    *settings.CHECKS_STAYING,
    dependents,
    packages,
    parts.missing,
    clock,
    ephemeral,
    unattended,
    *restart.CHECKS,
)

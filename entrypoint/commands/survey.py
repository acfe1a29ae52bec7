"""What the operator sees before anything is done: the facts, what they say, and the plan that is made of them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from entrypoint.commands.status import present
from entrypoint.console.errors import EngineError, ExitCode, PreflightError, RelocatorError
from entrypoint.console.events import Phase, log, phase
from entrypoint.console.findings import Finding
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.holdings import unneeded
from entrypoint.engine.holdings.unneeded import Unneeded
from entrypoint.engine.inventory import Container
from entrypoint.host.disks.filesystem import existing_ancestor
from entrypoint.host.host import Host
from entrypoint.host.machine.standing import our_containers
from entrypoint.journal.journal import Journal
from entrypoint.move.context import Context
from entrypoint.move.recovery import (
    require_nobody,
    unsettled,
)
from entrypoint.move.roots import finishing, old_roots
from entrypoint.move.worker import handover
from entrypoint.plan import outline, outlook
from entrypoint.plan import plan as planning
from entrypoint.plan.plan import Plan
from entrypoint.preflight import adoption, preflight, probe, validation
from entrypoint.preflight.adoption import Adoptable
from entrypoint.preflight.checks import selinux as selinux_checks
from entrypoint.preflight.checks import settings
from entrypoint.preflight.checks import target as target_checks
from entrypoint.preflight.checks.containerd import images as containerd_checks
from entrypoint.preflight.edits.engine import switch_edit
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.gathering import gather
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootFacts, RootKind


@dataclass(frozen=True)
class Survey:
    """What the preflight saw, and what it makes of it."""

    facts: HostFacts
    findings: Sequence[Finding]
    adopted: Adoptable | None = None


def look(context: Context, request: Request) -> Survey:
    """Preflight: facts and findings. Errors of the gathering itself refuse the move too."""
    require_nobody(context.services, context.journal)
    with phase(Phase.PREFLIGHT):
        try:
            probe.sweep(context.host.path(existing_ancestor(context.host, context.host.resolve(request.target))))
            facts = gather(context.host, context.services, request, handover.UNIT, our_containers())
        except PreflightError:
            raise
        except RelocatorError as error:
            raise PreflightError(error.brief, error.details, error.resolution or "Nothing was changed.") from error
        if preflight.is_already_there(facts):
            preflight.require((*containerd_checks.left_behind(facts), *settings.pending(facts)))
            return Survey(facts, ())
        facts = replace(with_left(context.host, context.journal, facts), unsettled=unsettled(context.journal),
                        unneeded=spare(context.host, facts))  # fmt: skip
        there = adoption.as_there(context.host, facts)
        found = adoption.look(context.host, there)
        if adopts := adoption.is_meant(found, insisted=adoption.ADOPT in request.accepted):
            facts = there
        elif there is not facts:
            found = adoption.look(context.host, facts)
        facts = finishing.look(context.host, replace(facts, occupant=adoption.occupant(found)), found, request.accepted)
        facts = facts if adopts else tried(context.host, facts)
        agreed = request.accepted
        findings = preflight.check_adoption(facts, found, agreed) if adopts else preflight.check(facts, agreed)
        for finding in findings:
            log.warning("finding", **asdict(finding))
        if not preflight.refuses(findings):
            moved = facts.root(RootKind.DATA_ROOT)
            edit = switch_edit(facts, moved) if moved else None
            validation.require_valid(context.host, facts, edit, str(facts.data_root_to_be))
            validation.require_valid_containerd(context.host, facts)
    return Survey(facts, findings, found if adopts else None)


def tell_there(context: Context, facts: HostFacts) -> ExitCode:
    """Say that the engine is on the target already, and whether it is another one there than the last move has left."""
    log.info("already_there", target=str(facts.first.source.path))
    found = present.another(context.journal.runs(), str(facts.data_root), facts.engine.engine_id)
    if found is None:
        return ExitCode.DONE
    log.warning("amiss", what=f"{found.what} {found.remedy}")
    return found.code


def with_left(host: Host, journal: Journal, facts: HostFacts) -> HostFacts:
    """The facts, with which of the targets an earlier move has left; and of containerd's root, if that stays, for the
    engine may have gone back to it."""
    places = {root.kind: root.target.resolved for root in facts.roots}
    if facts.containerd:
        places.setdefault(RootKind.IMAGE_STORE, facts.containerd.root)
    found = {kind: old_roots.how_left(host, journal, str(place)) for kind, place in places.items()}
    return replace(facts, left={kind: left for kind, left in found.items() if left})


def spare(host: Host, facts: HostFacts) -> Unneeded:
    """What could be removed before a move; an engine that does not tell in time is not waited for."""
    usage: dict[str, Any] = {}
    with suppress(EngineError), Engine.opened(socket_of(host)) as engine:
        usage = engine.usage()
    return unneeded.look(host.path(facts.data_root / facts.engine.within), facts.inventory.containers, usage)


def tried(host: Host, facts: HostFacts) -> HostFacts:
    """The facts, with what the targets' file systems cannot do."""
    return replace(facts, roots=tuple(_tried(host, facts, root) for root in facts.roots))


def _tried(host: Host, facts: HostFacts, root: RootFacts) -> RootFacts:
    if not target_checks.may_be_tried(facts, root):
        return root
    try:
        lacks = probe.lacks(host, root.target.ancestor, selinux_checks.label_to_try(facts, root),
                            overlay=facts.engine.layers.is_overlay)  # fmt: skip
    except OSError as error:
        return replace(root, target=replace(root.target, full=error.strerror or str(error)))
    return replace(root, target=replace(root.target, lacks=lacks))


def make_plan(survey: Survey, request: Request, *, whole: bool = True) -> Plan:
    """The plan, shown whole, or what one needs to know of it: `plan` ends here, `run` executes the same."""
    with phase(Phase.PLAN):
        plan = planning.make(survey.facts, request)
        if survey.adopted:
            plan = planning.adopting(plan, survey.adopted.holdings.engine_id)
        for what, value in outlook.rows(plan, survey.facts).items():
            if whole or what in outlook.NEEDED:
                log.info("plan.row", what=what, value=value)
        if whole:
            tell(plan, survey.facts.inventory.containers)
        else:
            log.info("plan.row", what="all of it", value=f"relocator plan {plan.first.target}")
    return plan


def tell(plan: Plan, containers: tuple[Container, ...]) -> None:
    """Say what will be done, every edit as a diff, and what becomes of each container."""
    for number, step in enumerate(outline.steps(plan), 1):
        log.info("plan.step", number=number, does=step)
    for edit in plan.edits:
        log.info("plan.edit", path=edit.path, diff=edit.diff())
    for name, fate in outline.fates(containers).items():
        log.info("plan.container", name=name, fate=fate)

"""What the operator sees before anything is done: the facts, what they say, and the plan that is made of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from entrypoint.console.errors import PreflightError, RelocatorError
from entrypoint.console.events import Phase, log, phase
from entrypoint.console.findings import Finding
from entrypoint.engine.inventory import Container
from entrypoint.host.disks.filesystem import existing_ancestor
from entrypoint.host.host import Host
from entrypoint.host.machine.standing import our_containers
from entrypoint.host.services.systemd import Systemd
from entrypoint.journal.journal import Journal
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
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.edits import switch_edit
from entrypoint.preflight.facts import HostFacts, gather
from entrypoint.preflight.request import Request
from entrypoint.settings import edits


@dataclass(frozen=True)
class Survey:
    """What the preflight saw, and what it makes of it."""

    facts: HostFacts
    findings: Sequence[Finding]
    adopted: Adoptable | None = None


def look(host: Host, systemd: Systemd, request: Request) -> Survey:
    """Preflight: facts and findings. Errors of the gathering itself refuse the move too."""
    journal = Journal(host)
    require_nobody(systemd, journal)
    with phase(Phase.PREFLIGHT):
        try:
            probe.sweep(host.path(existing_ancestor(host, host.resolve(request.target))))
            facts = gather(host, systemd, request.target, handover.UNIT, our_containers(), request.containerd,
                           request.only)  # fmt: skip
        except PreflightError:
            raise
        except RelocatorError as error:
            raise PreflightError(error.brief, error.details, error.resolution or "Nothing was changed.") from error
        if preflight.is_already_there(facts):
            preflight.require((*containerd_checks.left_behind(facts), *settings.pending(facts)))
            return Survey(facts, ())
        facts = replace(with_left(host, journal, facts), unsettled=unsettled(journal))
        found = adoption.look(host, facts)
        adopts = adoption.is_meant(found, insisted=adoption.ADOPT in request.accepted)
        facts = finishing.look(host, replace(facts, occupant=adoption.occupant(found)), found, request.accepted)
        facts = facts if adopts else tried(host, facts)
        agreed = request.accepted
        findings = preflight.check_adoption(facts, found, agreed) if adopts else preflight.check(facts, agreed)
        for finding in findings:
            log.warning("finding", **asdict(finding))
        if not preflight.refuses(findings):
            edit = None if facts.alone else switch_edit(facts)
            validation.require_valid(host, facts, edit, str(facts.target.resolved))
            validation.require_valid_containerd(host, facts)
    return Survey(facts, findings, found if adopts else None)


def look_again(host: Host, systemd: Systemd, request: Request, seen: HostFacts, plan: Plan) -> Plan:
    """Once the copy is made, hours later it may be: what speaks against a stop by now, and the plan as things are now.

    Raises PreflightError, or MoveError if a file that is to be edited is not what it was.
    """
    facts = gather(
        host, systemd, request.target, handover.UNIT, our_containers(), request.containerd, request.only, seen
    )
    errors = preflight.refuses(preflight.check_again(facts, request.accepted))
    if errors or (facts.engine.engine_id, facts.source.path) != (seen.engine.engine_id, seen.source.path):
        raise PreflightError(
            "Something was changed on the host while the data was copied, and speaks against the move.",
            details="\n".join(finding.text() for finding in errors) or f"The engine runs on {facts.source.path} now.",
        )
    for edit in plan.edits:
        edits.require_unedited(host, edit)
    return planning.as_it_runs(plan, facts)


def with_left(host: Host, journal: Journal, facts: HostFacts) -> HostFacts:
    """The facts, with which of the targets an earlier move has left."""
    images = facts.containerd_target.resolved if facts.containerd_target else None
    if images is None and facts.containerd:
        images = facts.containerd.root  # it stays, and may be what the engine has gone back to
    return replace(
        facts,
        left=old_roots.how_left(host, journal, str(facts.moved.target.resolved)),
        containerd_left=old_roots.how_left(host, journal, str(images)) if images else None,
    )


def tried(host: Host, facts: HostFacts) -> HostFacts:
    """The facts, with what the target's file system cannot do."""
    found = facts if facts.alone else _tried(host, facts)
    for one in facts.each():
        if one is not facts:
            found = replace(found, containerd_target=_tried(host, one).target)
    return found


def _tried(host: Host, facts: HostFacts) -> HostFacts:
    if not target_checks.may_be_tried(facts):
        return facts
    try:
        lacks = probe.lacks(host, facts.target.ancestor, selinux_checks.label_to_try(facts),
                            overlay=facts.engine.layers.is_overlay)  # fmt: skip
    except OSError as error:
        return replace(facts, target=replace(facts.target, full=error.strerror or str(error)))
    return replace(facts, target=replace(facts.target, lacks=lacks))


def make_plan(survey: Survey, request: Request) -> Plan:
    """The plan, shown whole: `plan` ends here, `run` executes the same."""
    with phase(Phase.PLAN):
        plan = planning.make(survey.facts, request.bwlimit, checksum=request.checksum,
                             remove_ephemeral=EPHEMERAL in request.accepted,
                             ends_others=containerd_checks.USERS in request.accepted)  # fmt: skip
        if survey.adopted:
            plan = planning.adopting(plan, survey.adopted.holdings.engine_id)
        for what, value in outlook.rows(plan, survey.facts).items():
            log.info("plan.row", what=what, value=value)
        tell(plan, survey.facts.inventory.containers)
    return plan


def tell(plan: Plan, containers: tuple[Container, ...]) -> None:
    """Say what will be done, every edit as a diff, and what becomes of each container."""
    for number, step in enumerate(outline.steps(plan), 1):
        log.info("plan.step", number=number, does=step)
    for edit in plan.edits:
        log.info("plan.edit", path=edit.path, diff=edit.diff())
    for name, fate in outline.fates(containers).items():
        log.info("plan.container", name=name, fate=fate)

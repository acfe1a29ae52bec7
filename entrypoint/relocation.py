"""The part of a move that the operator watches: from facts to the hand-over, with the engine running throughout.

Whatever goes wrong here, or is interrupted, nothing of the host has changed but the target and the journal; the target
is emptied again.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from entrypoint import (
    adoption,
    claim,
    cp,
    handover,
    net,
    outlook,
    preflight,
    probe,
    selinux,
    selinux_checks,
    target_checks,
    validation,
)
from entrypoint import plan as planning
from entrypoint.adoption import Adoptable
from entrypoint.comparison import Comparison, require_equal
from entrypoint.copying import Copied, Copier, identity, remove_copy
from entrypoint.edits import remove_empty
from entrypoint.errors import CopyError, ExitCode, Interrupted, PreflightError, RelocatorError
from entrypoint.facts import HostFacts, gather
from entrypoint.filesystem import existing_ancestor
from entrypoint.findings import Finding
from entrypoint.host import Host
from entrypoint.interruption import pool
from entrypoint.inventory import Container
from entrypoint.journal import Journal
from entrypoint.layers import DRIVER, immutable_layers
from entrypoint.log import Phase, log, phase
from entrypoint.plan import Direction, Plan
from entrypoint.priority import come_last
from entrypoint.record import Event, Outcome, Run
from entrypoint.recovery import is_at_work, require_no_worker, save, settle_first, unsettled
from entrypoint.remains import old_roots
from entrypoint.standing import our_containers
from entrypoint.systemd import Systemd
from entrypoint.trace import trace
from entrypoint.unfinished import Unfinished, this_boot


@dataclass(frozen=True)
class Survey:
    """What the preflight saw, and what it makes of it."""

    facts: HostFacts
    findings: Sequence[Finding]
    adopted: Adoptable | None = None


def look(host: Host, systemd: Systemd, target: PurePosixPath, accepted: Collection[str] = ()) -> Survey:
    """Preflight: facts and findings. Errors of the gathering itself refuse the move too."""
    with phase(Phase.PREFLIGHT):
        try:
            probe.sweep(host.path(existing_ancestor(host, host.resolve(target))))
            facts = gather(host, systemd, target, handover.UNIT, our_containers())
        except PreflightError:
            raise
        except RelocatorError as error:
            raise PreflightError(error.brief, error.details, error.resolution or "Nothing was changed.") from error
        if preflight.is_already_there(facts):
            return Survey(facts, ())
        found = adoption.look(host, facts, left_roots(host))
        facts = replace(facts, unsettled=unsettled(Journal(host)))
        adopts = adoption.is_meant(found, insisted=adoption.ADOPT in accepted)
        facts = facts if adopts else tried(host, facts)
        findings = preflight.check_adoption(facts, found, accepted) if adopts else preflight.check(facts, accepted)
        for finding in findings:
            log.warning("finding", **asdict(finding))
        if not preflight.refuses(findings):
            validation.require_valid(host, facts)
    return Survey(facts, findings, found if adopts else None)


def tried(host: Host, facts: HostFacts) -> HostFacts:
    """The facts, with what the target's file system cannot do."""
    if not target_checks.may_be_tried(facts):
        return facts
    lacks = probe.lacks(host, facts.target.ancestor, selinux_checks.label_to_try(facts))
    return replace(facts, target=replace(facts.target, lacks=lacks))


def left_roots(host: Host) -> frozenset[str]:
    return frozenset(one.path for one in old_roots(host, Journal(host)))


def relocate(
    host: Host,
    systemd: Systemd,
    target: PurePosixPath,
    bwlimit: str,
    checksum: bool = False,
    accepted: Collection[str] = (),
) -> ExitCode:
    """Everything up to the hand-over."""
    journal = Journal(host)
    if settle_first(host, systemd, journal) is ExitCode.HANDED_OVER:
        return ExitCode.HANDED_OVER
    survey = look(host, systemd, target, accepted)
    if preflight.is_already_there(survey.facts):
        log.info("already_there", target=str(survey.facts.source.path))
        return ExitCode.DONE
    preflight.require(survey.findings)
    plan = make_plan(survey, bwlimit, checksum, accepted)
    trace("plan.made")
    claim.require_as_seen(host, survey.facts.target)
    journal.prepare()
    with journal.locked():
        require_no_worker(systemd)
        claim.require_as_seen(host, survey.facts.target)
        if plan.direction is Direction.ADOPT:
            return hand_over_whole(host, systemd, journal.begin(), plan)
        claim.require_still_empty(host, plan)
        run = journal.begin()
        run.begun(source=plan.source, target=plan.target, direction=plan.direction, boot=this_boot())
        return attempt(host, systemd, run, plan)


def make_plan(survey: Survey, bwlimit: str = "", checksum: bool = False, accepted: Collection[str] = ()) -> Plan:
    """The plan, shown whole: `plan` ends here, `run` executes the same."""
    with phase(Phase.PLAN):
        remove = preflight.EPHEMERAL in accepted
        plan = planning.make(survey.facts, bwlimit, checksum=checksum, remove_ephemeral=remove)
        if survey.adopted:
            plan = planning.adopting(plan, survey.adopted.holdings.engine_id)
        for what, value in outlook.rows(plan, survey.facts).items():
            log.info("plan.row", what=what, value=value)
        tell(plan, survey.facts.inventory.containers)
    return plan


def tell(plan: Plan, containers: tuple[Container, ...]) -> None:
    """Say what will be done, every edit as a diff, and what becomes of each container."""
    for number, step in enumerate(plan.describe(), 1):
        log.info("plan.step", number=number, does=step)
    for edit in (*plan.waking, *plan.rules, plan.ordering, plan.switch):
        log.info("plan.edit", path=edit.path, diff=edit.diff())
    for name, fate in planning.fates(containers).items():
        log.info("plan.container", name=name, fate=fate)


def attempt(host: Host, systemd: Systemd, run: Run, plan: Plan) -> ExitCode:
    """Pre-copy and hand-over; undone if they do not succeed."""
    try:
        with phase(Phase.PRE_COPY), writing():
            come_last(host)
            copied = pre_copy(host, plan)
        save(run, plan, copied)
        with phase(Phase.HAND_OVER):
            handover.hand_over(host, systemd, run, plan)
        run.append(Event.HANDED_OVER, unit=handover.UNIT)
    except BaseException as failure:
        if is_at_work(systemd):
            # Interrupted too late: the worker has what it needs, and its copy must not be taken from it.
            log.warning("handed_over.despite", failure=repr(failure))
            return ExitCode.HANDED_OVER
        left = give_up(host, run, plan, failure)
        if isinstance(failure, KeyboardInterrupt):
            raise interrupted(left) from failure
        raise
    return ExitCode.HANDED_OVER


def hand_over_whole(
    host: Host, systemd: Systemd, run: Run, plan: Plan, expected: dict[str, Any] | None = None
) -> ExitCode:
    """Let the worker point the engine at a root that is whole; `expected` is what it must hold there, if known."""
    run.begun(source=plan.source, target=plan.target, direction=plan.direction, boot=this_boot())
    if expected is not None:
        run.save_inventory(expected, "expected")
    try:
        save(run, plan, Copied(frozenset(), 0.0, 0.0, identity(host.path(plan.target))))
        with phase(Phase.HAND_OVER):
            handover.hand_over(host, systemd, run, plan)
    except BaseException as failure:
        if is_at_work(systemd):
            log.warning("handed_over.despite", failure=repr(failure))
            return ExitCode.HANDED_OVER
        net.put_away(run)
        run.append(Event.OUTCOME, outcome=Outcome.INTERRUPTED, reason=repr(failure))
        raise
    run.append(Event.HANDED_OVER, unit=handover.UNIT)
    return ExitCode.HANDED_OVER


def interrupted(left: str) -> Interrupted:
    """`left`: what of the copy could not be removed."""
    again = "Run the same command again to start anew."
    if left:
        return Interrupted("Interrupted. Nothing was changed but the target.", details=left, resolution=again)
    return Interrupted("Interrupted. Nothing was changed.", resolution=again)


def pre_copy(host: Host, plan: Plan) -> Copied:
    """Copy all that can be copied now, and compare it."""
    claim.take(host, plan)
    target = host.path(plan.target)
    selinux.label_directories(host, plan.created[:-1])
    record = Unfinished.read(target) or Unfinished.begun(plan.source, plan.engine_id)
    record.write(target)
    trace("pre-copy.begun")
    source, path = host.path(plan.source), PurePosixPath(plan.source)
    copier = Copier(source, host.path(plan.target), plan.same_file_system, plan.bwlimit, path)
    copied = copier.pre_copy(record)
    if plan.checksum and not plan.same_file_system:  # a layer that is linked has the content that it is compared with
        check_content(copier, copied)
    return copied


@contextmanager
def writing() -> Iterator[None]:
    """What we write into the target ourselves, directories and the record, fails as the programs that copy do."""
    try:
        yield
    except OSError as error:
        raise cp.failed("The target cannot be written.", str(error)) from error


def check_content(copier: Copier, copied: Copied) -> None:
    """Read the layers that were copied, and compare them with the source; one that vanished meanwhile is none."""

    def check(cache_id: str) -> None:
        diff = f"{DRIVER}/{cache_id}/diff"
        try:
            require_equal(Comparison(copier.source / diff, copier.target / diff, content=True))
        except (CopyError, OSError):
            if cache_id in {layer.cache_id for layer in immutable_layers(copier.source)}:
                raise

    with pool() as threads:
        for check_of_one in [threads.submit(check, cache_id) for cache_id in sorted(copied.layers)]:
            check_of_one.result()


def give_up(host: Host, run: Run, plan: Plan, failure: BaseException) -> str:
    """Empty the target again, and write down how the attempt ended; returns what could not be removed."""
    is_interrupt = isinstance(failure, KeyboardInterrupt)
    reason = "interrupted" if is_interrupt else failure.text() if isinstance(failure, RelocatorError) else repr(failure)
    log.warning("giving_up", reason=reason)
    target = host.path(plan.target)
    left = ""
    try:
        if Unfinished.marks(target, plan.source, plan.engine_id):
            remove_copy(target)
            log.info("target.removed", target=plan.target)
        remove_empty(host, reversed(plan.created))
    except (RelocatorError, OSError) as error:
        left = error.text() if isinstance(error, RelocatorError) else str(error)
    outcome = Outcome.INTERRUPTED if is_interrupt else Outcome.ROLLED_BACK
    facts = {"reason": reason, "failed_in": Phase.PRE_COPY, "root": plan.source, "left": left}
    run.append(Event.OUTCOME, outcome=outcome, **facts)
    return left

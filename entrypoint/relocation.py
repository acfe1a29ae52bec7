"""The part of a move that the operator watches: from facts to the hand-over, with the engine running throughout.

Whatever goes wrong here, or is interrupted, nothing of the host has changed but the target and the journal; the target
is emptied again.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath

from entrypoint import handover, preflight
from entrypoint import plan as planning
from entrypoint.comparison import Comparison, require_equal
from entrypoint.copying import Copied, Copier, remove_copy
from entrypoint.edits import remove_empty
from entrypoint.errors import ExitCode, Interrupted, PreflightError, RelocatorError, SystemdError
from entrypoint.facts import HostFacts, gather
from entrypoint.filesystem import make_directories
from entrypoint.findings import Finding
from entrypoint.host import Host
from entrypoint.journal import Event, Journal, Outcome, Run
from entrypoint.layers import DRIVER
from entrypoint.log import Phase, log, phase
from entrypoint.plan import Plan
from entrypoint.recovery import settle
from entrypoint.standing import our_containers
from entrypoint.systemd import STOPPED, Systemd
from entrypoint.trace import trace
from entrypoint.unfinished import Unfinished

COPY_MODE = 0o700  # until rsync gives the target the data root's own mode: nobody is to look into a half copy


@dataclass(frozen=True)
class Survey:
    """What the preflight saw, and what it makes of it."""

    facts: HostFacts
    findings: Sequence[Finding]


def look(host: Host, systemd: Systemd, target: PurePosixPath) -> Survey:
    """Preflight: facts and findings. Errors of the gathering itself refuse the move too."""
    with phase(Phase.PREFLIGHT):
        try:
            facts = gather(host, systemd, target, handover.UNIT, our_containers())
        except PreflightError:
            raise
        except RelocatorError as error:
            raise PreflightError(error.brief, error.details, error.resolution or "Nothing was changed.") from error
        if preflight.is_already_there(facts):
            return Survey(facts, ())
        findings = preflight.check(facts)
        for finding in findings:
            log.warning("finding", **asdict(finding))
    return Survey(facts, findings)


def relocate(host: Host, systemd: Systemd, target: PurePosixPath, bwlimit: str) -> ExitCode:
    """Everything up to the hand-over."""
    journal = Journal(host)
    if journal.exists():
        with journal.locked():
            require_no_worker(systemd)
            if settle(host, systemd, journal) is ExitCode.HANDED_OVER:
                return ExitCode.HANDED_OVER
    survey = look(host, systemd, target)
    if preflight.is_already_there(survey.facts):
        log.info("already_there", target=str(survey.facts.source.path))
        return ExitCode.DONE
    preflight.require(survey.findings)
    plan = make_plan(survey.facts, bwlimit)
    journal.prepare()
    with journal.locked():
        require_no_worker(systemd)
        require_still_empty(host, plan)
        run = journal.begin()
        run.append(Event.BEGUN, source=plan.source, target=plan.target)
        return attempt(host, systemd, run, plan)


def require_still_empty(host: Host, plan: Plan) -> None:
    """Asked again under the lock: what has come into the target since would be taken for ours, and removed."""
    target = host.path(plan.target)
    record = Unfinished.read(target)
    if record is not None and record.is_of(plan.source, plan.engine_id):
        return
    if target.is_dir() and set(os.listdir(target)) - {"lost+found"}:
        raise PreflightError(f"{plan.target} is not empty any more.", resolution="Run the same command again.")


def make_plan(facts: HostFacts, bwlimit: str = "") -> Plan:
    """The plan, shown whole: `plan` ends here, `run` executes the same."""
    with phase(Phase.PLAN):
        plan = planning.make(facts, bwlimit)
        for number, step in enumerate(plan.describe(), 1):
            log.info("plan.step", number=number, does=step)
        for edit in (plan.ordering, plan.switch):
            log.info("plan.edit", path=edit.path, diff=edit.diff())
        for name, fate in planning.fates(facts.inventory.containers).items():
            log.info("plan.container", name=name, fate=fate)
    return plan


def require_no_worker(systemd: Systemd) -> None:
    """Asked again under the lock: between a hand-over and the worker's own lock nobody holds it."""
    if is_at_work(systemd):
        raise PreflightError("Another relocator is at work on this host.",
                             resolution="Wait for it with `relocator status --wait`.")  # fmt: skip


def attempt(host: Host, systemd: Systemd, run: Run, plan: Plan) -> ExitCode:
    """Pre-copy and hand-over; undone if they do not succeed."""
    try:
        with phase(Phase.PRE_COPY):
            copied = pre_copy(host, plan)
        run.save_plan({
            "plan": plan.to_json(),
            "copied": copied.to_json(),
            "ours": sorted(our_containers()),
            "front_pid": os.getpid(),
        })  # fmt: skip
        with phase(Phase.HAND_OVER):
            handover.hand_over(host, systemd, run, plan)
        run.append(Event.HANDED_OVER, unit=handover.UNIT)
    except BaseException as failure:
        if is_at_work(systemd):
            # Interrupted too late: the worker has what it needs, and its copy must not be taken from it.
            log.warning("handed_over.despite", failure=repr(failure))
            return ExitCode.HANDED_OVER
        give_up(host, run, plan, failure)
        if isinstance(failure, KeyboardInterrupt):
            raise Interrupted(
                "Interrupted. Nothing was changed.", resolution="Run the same command again to start anew."
            ) from failure
        raise
    return ExitCode.HANDED_OVER


def is_at_work(systemd: Systemd) -> bool:
    """Whether the worker's unit runs or starts; asked twice, because the connection may have died with a signal."""
    try:
        return systemd.unit(handover.UNIT).active_state not in STOPPED
    except SystemdError:
        return systemd.unit(handover.UNIT).active_state not in STOPPED


def pre_copy(host: Host, plan: Plan) -> Copied:
    """Copy all that can be copied now; what will not be looked at again is compared now."""
    target = host.path(plan.target)
    make_directories(target, COPY_MODE)
    record = Unfinished.read(target) or Unfinished.begun(plan.source, plan.engine_id)
    record.write(target)
    trace("pre-copy.begun")
    copier = Copier(host.path(plan.source), host.path(plan.target), plan.same_file_system, plan.bwlimit)
    copied = copier.pre_copy(record)
    checked = check_layers(copier, copied)
    log.info("layers.checked", layers=len(checked))
    return replace(copied, layers=checked)


def check_layers(copier: Copier, copied: Copied) -> frozenset[str]:
    """The layers whose copy is equal to the source; one that vanished meanwhile is left to the final sync."""

    def check(cache_id: str) -> str | None:
        diff = f"{DRIVER}/{cache_id}/diff"
        try:
            require_equal(Comparison(copier.source / diff, copier.target / diff))
        except FileNotFoundError:
            return None
        return cache_id

    with ThreadPoolExecutor() as pool:
        return frozenset(one for one in pool.map(check, sorted(copied.layers)) if one)


def give_up(host: Host, run: Run, plan: Plan, failure: BaseException) -> None:
    """Empty the target again, and write down how the attempt ended."""
    interrupted = isinstance(failure, KeyboardInterrupt)
    reason = "interrupted" if interrupted else failure.text() if isinstance(failure, RelocatorError) else repr(failure)
    log.warning("giving_up", reason=reason)
    target = host.path(plan.target)
    left = ""
    try:
        if target.is_dir():
            remove_copy(target)
            remove_empty(host, reversed(plan.created))
            log.info("target.removed", target=plan.target)
    except (RelocatorError, OSError) as error:
        left = error.text() if isinstance(error, RelocatorError) else str(error)
    outcome = Outcome.INTERRUPTED if interrupted else Outcome.ROLLED_BACK
    facts = {"reason": reason, "failed_in": Phase.PRE_COPY, "root": plan.source, "left": left}
    run.append(Event.OUTCOME, outcome=outcome, **facts)

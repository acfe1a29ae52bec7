"""The part of a move that the operator watches: from facts to the hand-over, with the engine running throughout.

Whatever goes wrong here, or is interrupted, nothing of the host has changed but the target and the journal; the target
is emptied again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from entrypoint.commands.survey import look, make_plan, tell_there
from entrypoint.console.errors import ExitCode, Interrupted, PreflightError, RelocatorError, UsageError
from entrypoint.console.events import Phase, log, phase
from entrypoint.copy import content, cp
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.copy.pace.priority import come_last
from entrypoint.host import selinux
from entrypoint.host.host import Host
from entrypoint.host.machine import locality
from entrypoint.host.machine.standing import our_containers
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.journal.said import said
from entrypoint.journal.unfinished import KEPT, Unfinished, this_boot
from entrypoint.move import safety_net
from entrypoint.move.context import Context, copier_of
from entrypoint.move.recovery import (
    is_at_work,
    require_no_worker,
    save,
    settle_first,
    tell_amiss,
)
from entrypoint.move.roots import claim, finishing
from entrypoint.move.roots.discard import discard, may_go_on
from entrypoint.move.worker import handover, hold
from entrypoint.move.worker.hearing import obeying
from entrypoint.move.worker.hold import Terms
from entrypoint.move.worker.last_look import look_again
from entrypoint.plan import outlook
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.plan.when import HOW, When, seconds
from entrypoint.preflight import preflight
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import RootKind


def relocate(context: Context, request: Request) -> ExitCode:
    """Everything up to the hand-over."""
    at = going_at(context.host, request)
    if settle_first(context) is ExitCode.HANDED_OVER:
        return ExitCode.HANDED_OVER
    survey = look(context, request)
    if preflight.is_already_there(survey.facts):
        code = tell_there(context, survey.facts)
        return ExitCode.AMISS if tell_amiss(context.journal) else code
    preflight.require(survey.findings)
    plan = make_plan(survey, request, whole=False)
    if plan.holds and plan.direction is Direction.ADOPT:
        raise PreflightError("Nothing is copied to a root that is adopted, and there is nothing to hold.",
                             resolution="Run the same command without --hold.")  # fmt: skip
    context.host.trace("plan.made")
    seen = [root.target for root in survey.facts.roots]
    claim.require_as_seen(context.host, *seen)
    context.journal.prepare()
    with context.journal.locked():
        require_no_worker(context.services)
        claim.require_as_seen(context.host, *seen)
        if plan.direction is Direction.ADOPT:
            return hand_over_whole(context, context.journal.begin(), plan)
        finishing.take_over(context.host, plan, request.accepted)
        for root in plan.roots:
            claim.require_still_empty(context.host, root, plan.engine_id)
        run = context.journal.begin()
        begin(run, plan)
        terms = terms_of(survey.facts, request, at)
        return attempt(context, run, plan,
                       lambda: look_again(context, request, terms.sources, plan, our_containers())[0],
                       terms if plan.holds else None)  # fmt: skip


def begin(run: Run, plan: Plan, gone: Sequence[str] = ()) -> None:
    """The first record: from where to where, and what is `gone` and will not be found there."""
    first, *others = plan.roots
    along = {"containerd": (others[0].source, others[0].target)} if others else {}
    only = {"only": Only.CONTAINERD} if first.kind is RootKind.IMAGE_STORE else {}
    run.begun(source=first.source, target=first.target, direction=plan.direction, boot=this_boot(), **along, **only,
              **({"gone": list(gone)} if gone else {}), **({"hold": True} if plan.holds else {}))  # fmt: skip


def going_at(host: Host, request: Request) -> float | None:
    """When the run is to go by itself; nothing if the operator says when. Raises UsageError for what has passed."""
    if not request.at:
        return hold.AT_ONCE if request.longest and not request.holds else None
    try:
        return When.of(request.at).instant(time.time(), lambda name: locality.named(host, name))
    except ValueError as error:
        raise UsageError(str(error), resolution=HOW) from error


def terms_of(facts: HostFacts, request: Request, at: float | None) -> Terms:
    foreseen = outlook.downtime(facts)
    sources = {root.kind: root.source for root in facts.roots}
    longest = seconds(request.longest) if request.longest else None
    return Terms(request, sources, (foreseen.low, foreseen.high), at, longest)


def attempt(context: Context, run: Run, plan: Plan, again: Callable[[], Plan], terms: Terms | None = None) -> ExitCode:
    """Pre-copy, the plan looked at `again`, and hand-over; undone if they do not succeed."""
    try:
        with obeying(run):
            with phase(Phase.PRE_COPY), writing():
                come_last(context.host)
                copies = pre_copies(context.host, run, plan)
            plan = again()
            save(run, plan, copies, terms)
        with phase(Phase.HAND_OVER):
            handover.hand_over(context.host, context.services, run, plan)
        # The worker listens to the clock by now. Without this record it takes it that the clock was set.
        run.append(Event.HANDED_OVER, unit=handover.UNIT, clock_set=any(copied.clock_was_set for copied in copies))
    except BaseException as failure:
        if is_at_work(context.services):
            # Interrupted too late: the worker has what it needs, and its copy must not be taken from it.
            log.warning("handed_over.despite", failure=repr(failure))
            return ExitCode.HANDED_OVER
        left = give_up(context.host, run, plan, failure)
        if isinstance(failure, KeyboardInterrupt):
            raise interrupted(left) from failure
        if isinstance(failure, RelocatorError):
            failure.details = "\n".join(filter(None, (failure.details, undone(left))))
        raise
    return ExitCode.HANDED_OVER


def undone(left: str) -> str:
    """What became of everything after a copy that failed; `left`: what of it could not be removed."""
    return f"The engine was not stopped; {f'the copy is still there: {left}' if left else 'the copy was removed.'}"


def hand_over_whole(
    context: Context,
    run: Run,
    plan: Plan,
    expected: dict[str, Any] | None = None,
    gone: Sequence[str] = (),
) -> ExitCode:
    """Let the worker point the engine at a root that is whole; `expected` is what it must hold there, if known."""
    begin(run, plan, gone)
    if expected is not None:
        run.save_inventory(expected, "expected")
    try:
        save(
            run, plan, [Copied(frozenset(), 0.0, 0.0, identity(context.host.path(root.target))) for root in plan.roots]
        )
        with phase(Phase.HAND_OVER):
            handover.hand_over(context.host, context.services, run, plan)
    except BaseException as failure:
        if is_at_work(context.services):
            log.warning("handed_over.despite", failure=repr(failure))
            return ExitCode.HANDED_OVER
        safety_net.put_away(run)
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


def pre_copies(host: Host, run: Run, plan: Plan) -> list[Copied]:
    """Copy each root; images first, which are large and change least, and again what has changed there meanwhile."""
    for root in plan.roots[1:]:
        pre_copy(host, run, plan, root)
    return [pre_copy(host, run, plan, root) for root in plan.roots]


def pre_copy(host: Host, run: Run, plan: Plan, root: RootMove) -> Copied:
    """Copy all of a root that can be copied now, and compare it."""
    found = claim.take(host, root, plan.engine_id)
    target = host.path(root.target)
    selinux.label_directories(host, root.created[:-1])
    record = Unfinished.read(target) or Unfinished.begun(root.source, plan.engine_id, found)
    record.write(target)
    host.trace("pre-copy.begun")
    copier = copier_of(host, run, plan, root)
    copied = copier.pre_copy(record)
    if plan.checksum and not root.links:  # a layer that is linked has the content that it is compared with
        content.check(copier, copied)
    return copied


@contextmanager
def writing() -> Iterator[None]:
    """What we write into the target ourselves, directories and the record, fails as the programs that copy do."""
    try:
        yield
    except OSError as error:
        raise cp.failed("The target cannot be written.", str(error)) from error


def give_up(host: Host, run: Run, plan: Plan, failure: BaseException) -> str:
    """Empty the target again, unless another attempt could go on with the copy, and write down how this one ended.

    Returns why the copy is still there.
    """
    is_interrupt = isinstance(failure, KeyboardInterrupt)
    word = said(run)
    ended = "The operator has ended it (relocator abort)." if word.aborts else "interrupted"
    reason = ended if is_interrupt else failure.text() if isinstance(failure, RelocatorError) else repr(failure)
    left = KEPT if (word.keeps or not is_interrupt) and may_go_on(host, plan, failure) else ""
    log.warning("giving_up", reason=reason, why="Interrupted" if is_interrupt else "Failed",
                copy="is kept" if left else "is removed again")  # fmt: skip
    try:
        if not left:
            discard(host, plan)
    except (RelocatorError, OSError) as error:
        left = error.text() if isinstance(error, RelocatorError) else str(error)
    outcome = Outcome.INTERRUPTED if is_interrupt else Outcome.ROLLED_BACK
    facts = {"reason": reason, "failed_in": Phase.PRE_COPY, "root": plan.first.source, "left": left}
    run.append(Event.OUTCOME, outcome=outcome, **facts)
    return left

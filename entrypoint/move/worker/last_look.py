"""Once the copy is made, hours or days later: what speaks against a stop by now, and the plan as it is then."""

from dataclasses import replace

from entrypoint.console.errors import PreflightError
from entrypoint.host.services.units import UnitState
from entrypoint.move.context import Context
from entrypoint.move.worker import handover
from entrypoint.plan import outlook
from entrypoint.plan import plan as planning
from entrypoint.plan.outlook import Estimate
from entrypoint.plan.plan import Plan
from entrypoint.preflight import preflight
from entrypoint.preflight.gathering import Seen, gather
from entrypoint.preflight.request import Request
from entrypoint.settings import edits


def look_again(
    context: Context, request: Request, seen: Seen, plan: Plan, ours: frozenset[str]
) -> tuple[Plan, Estimate]:
    """The plan, and what its downtime would be but for what is left to copy.

    Raises PreflightError, or MoveError if a file that is to be edited is not what it was.
    """
    facts = gather(context.host, context.services, request, handover.UNIT, ours, seen)
    # The only worker there can be holds this very run: who copies has the lock, and was alone when it took it.
    facts = replace(facts, worker=replace(facts.worker, active_state=UnitState.INACTIVE))
    errors = preflight.refuses(preflight.check_again(facts, request.accepted))
    there = (plan.engine_id, plan.data_root(is_target=False))
    if errors or (facts.engine.engine_id, str(facts.data_root)) != there:
        raise PreflightError(
            "Something was changed on the host while the data was copied, and speaks against the move.",
            details="\n".join(finding.text() for finding in errors) or f"The engine runs on {facts.data_root} now.",
        )
    for edit in plan.edits_of_theirs:
        edits.require_unedited(context.host, edit)
    return planning.as_it_runs(plan, facts), outlook.downtime(facts)

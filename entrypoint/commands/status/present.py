"""Where the engine is now, whatever the journal says of the last run.

Others move it too: a tool that keeps files as they were sets the data root back, an administrator stops it, or puts
another root in the place of the one that was proven. What was true when the run ended is then told as the past.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from entrypoint.console.errors import EngineError, ExitCode, JournalError
from entrypoint.engine.containerd.service import works_on
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.host.host import Host
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.record import Outcome, Run
from entrypoint.move.context import Context
from entrypoint.move.roots.old_roots import plan_of
from entrypoint.plan.plan import Plan

LEFT_ON_SOURCE = (Outcome.ROLLED_BACK, Outcome.INTERRUPTED)
UNKNOWN = (Outcome.BROKEN,)  # the text of that says where to look


@dataclass(frozen=True)
class Present:
    """What is otherwise now than the run has left it, and what to do."""

    what: str
    remedy: str
    code: ExitCode


def look(context: Context, run: Run) -> Present | None:
    """Nothing where all is as the run has left it, or that is not known."""
    outcome = run.outcome()
    if outcome is None or outcome["outcome"] in UNKNOWN:
        return None
    try:
        plan = plan_of(run)
    except JournalError:
        return None  # it was over before there was a plan
    is_target = outcome["outcome"] not in LEFT_ON_SOURCE
    host, services = context.host, context.services
    return (
        _of_service(services, plan)
        or _of_engine(host, plan, run.number, is_target)
        or _of_containerd(host, services, plan, is_target)
    )


def _of_service(systemd: ServiceManager, plan: Plan) -> Present | None:
    """An engine that is down is not asked: that would start it."""
    state = systemd.unit(plan.service).active_state
    if state in RUNNING:
        return None
    return Present(
        f"The engine does not run now: {plan.service} is {state}.",
        f"If it is to run: systemctl start {plan.service}; why it does not: journalctl -u {plan.service} -n 50",
        ExitCode.BROKEN,
    )


def _of_engine(host: Host, plan: Plan, number: str, is_target: bool) -> Present | None:
    root = plan.data_root(is_target=is_target)
    owner = plan.target_engine_id if is_target else plan.engine_id
    try:
        with Engine.opened(socket_of(host)) as engine:
            info = engine.info()
    except EngineError as error:
        return Present(f"The engine runs, and does not answer: {error.details}.",
                       f"See why: journalctl -u {plan.service} -n 50", ExitCode.BROKEN)  # fmt: skip
    if str(info.data_root) != root:
        return Present(
            f"The engine runs on {info.data_root} now. Run {number} had left it on {root}; somebody has changed that.",
            f"If it was not meant: set the data root to {root} again where it is set now, and restart the engine. "
            f"To see what speaks against a move there: relocator check {root}",
            ExitCode.AMISS,
        )
    return _of_id(root, owner, info.engine_id)


def _of_id(root: str, owner: str, now: str) -> Present | None:
    if not owner or owner == now:
        return None
    return Present(
        f"The engine on {root} is another one now: its id was {owner}, and is {now}.",
        f"Find out why before anything else: something else may have been mounted on {root} (findmnt), or what was "
        "there removed.",
        ExitCode.AMISS,
    )


def another(runs: Sequence[Run], root: str, now: str) -> Present | None:
    """Whether an engine that is on a root already, by the id it has `now`, is another than the last run has left
    there."""
    arrived = [run for run in runs if run.has_arrived]
    with suppress(JournalError):
        if arrived and (plan := plan_of(arrived[-1])).data_root(is_target=True) == root:
            return _of_id(root, plan.target_engine_id, now)
    return None


def _of_containerd(host: Host, systemd: ServiceManager, plan: Plan, is_target: bool) -> Present | None:
    for moved in plan.roots:
        root, service = moved.place(is_target=is_target), moved.service
        if service and not works_on(host, systemd.unit(service.name).main_pid, host.resolve(root)):
            return Present(f"containerd does not work on {root} any more, where the run had left it.",
                           f"Set its root to {root} again, and restart {service.name} and the engine.",
                           ExitCode.AMISS)  # fmt: skip
    return None

"""Going back to the root that the last move has left, as a command.

What was written since the move is only on the root that is left; it is named, and agreed to, before anything is done.
The way back is a move whose target is there already: freeze, switch, start and verify, by the same worker, undone in
the same way if it fails. Both roots are complete throughout.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import Any

from entrypoint.commands.run import hand_over_whole
from entrypoint.commands.survey import tell
from entrypoint.console import wording
from entrypoint.console.errors import ExitCode, PreflightError
from entrypoint.console.events import Phase, log, phase
from entrypoint.engine.containerd.service import MANAGED_ROOT
from entrypoint.engine.holdings import whole, written_since
from entrypoint.engine.holdings.whole import Lack
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.host import Host
from entrypoint.host.machine.standing import our_containers
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Run
from entrypoint.move.context import Context
from entrypoint.move.proof import intact
from entrypoint.move.recovery import require_no_worker, settle_first
from entrypoint.move.roots.old_roots import Remains, moves
from entrypoint.move.worker import handover
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove, RootService
from entrypoint.preflight import preflight, validation
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.checks.way_back import SetIn, WayBack
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.gathering import gather
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import RootFacts, RootKind
from entrypoint.settings import edits, formats
from entrypoint.settings.file_edit import FileEdit

Now = Callable[[FileEdit], bytes | None]  # what a file holds now


def go_back(context: Context, *, agreed: bool) -> ExitCode:
    """The engine runs on the root of before the last move when the worker is done; without agreement that is only told.

    Raises PreflightError.
    """
    if settle_first(context) is ExitCode.HANDED_OVER:
        return ExitCode.HANDED_OVER
    last_move(context.journal)  # before anything is made: there may be no journal to lock
    with context.journal.locked():  # from the proof to the hand-over
        require_no_worker(context.services)
        return take_back(context, agreed=agreed)


def take_back(context: Context, *, agreed: bool) -> ExitCode:
    last = last_move(context.journal)
    run, made = last.run, last.plan
    if made.direction is Direction.BACK:
        log.info("already_back", root=made.first.target, left=made.first.source)
        return ExitCode.DONE
    facts = look(context, run, made)
    plan = plan_back(facts, made, lambda edit: edits.content(context.host.path(edit.path)))
    moved = plan.root(RootKind.DATA_ROOT)
    validation.require_valid(context.host, facts, moved.switch if moved else None, plan.data_root(is_target=True))
    with phase(Phase.PLAN):
        if not agreed:
            tell(plan, facts.inventory.containers)
    say_loss(context.host, run, facts.inventory)
    if not agreed:
        log.info("rollback.asked", agree="relocator rollback --yes")
        return ExitCode.DONE
    gone = intact.gone_since(context.host, run, made)
    return hand_over_whole(context, context.journal.begin(), plan, expected=expected(facts, run, made, gone),
                           gone=[one.text for one in gone])  # fmt: skip


def expected(facts: HostFacts, run: Run, made: Plan, gone: Collection[Lack] = ()) -> dict[str, Any]:
    """What the engine must hold then: what it held when it left, and of a data root that stays what it holds now."""
    held = run.inventory() or {}
    if RootKind.DATA_ROOT in made.stays:
        held = to_json(facts.inventory.with_images(held.get("images", {})))
    elif held and intact.is_shared(made):  # images are where they were, and what was removed of them is nowhere
        left = from_json(Inventory, held).without(frozenset(one.key for one in gone))
        held = to_json(left.with_images(facts.inventory.images))
    return held


def last_move(journal: Journal) -> Remains:
    """The last run that moved the engine. Raises PreflightError."""
    if not (found := moves(journal)):
        raise PreflightError("There is no move to take back.", details="No run in the journal has moved the engine.")
    return found[-1]


def look(context: Context, run: Run, made: Plan) -> HostFacts:
    """Facts and findings; an error refuses."""
    with phase(Phase.PREFLIGHT):
        data_root, images = made.root(RootKind.DATA_ROOT), made.root(RootKind.IMAGE_STORE)
        only = None if data_root and images else Only.DATA_ROOT if data_root else Only.CONTAINERD
        beside = PurePosixPath(images.source) if images and data_root else None
        request = Request(PurePosixPath(made.first.source), beside, only)
        facts = gather(context.host, context.services, request, handover.UNIT, our_containers())
        left = replace(left_by(context.host, run, made), undone=undone_since(context.journal, run))
        findings = preflight.check_return(facts, left, (EPHEMERAL,))
        for finding in findings:
            log.warning("finding", **asdict(finding))
    preflight.require(findings, "way back")
    return facts


def left_by(host: Host, run: Run, made: Plan) -> WayBack:
    """What the last move has left; of roots whose removal was begun nothing more is asked."""
    is_removed = any(record["event"] == Event.CLEANUP for record in run.records())
    found = intact.AsLeft() if is_removed else intact.as_left(host, run, made)
    lost = () if is_removed else intact.gone_since(host, run, made)
    stored = run.inventory() if RootKind.DATA_ROOT in made.stays else None
    return WayBack(
        run=run.number,
        source=made.data_root(is_target=False),
        target=made.data_root(is_target=True),
        first=made.first.source,
        engine_version=made.engine_version,
        kept=(made.store, made.driver),
        data_root=set_in(made.root(RootKind.DATA_ROOT)),
        images=set_in(made.root(RootKind.IMAGE_STORE)),
        removed=is_removed,
        gone=found.gone,
        lacking=found.lacking,
        changed=found.changed,
        shared=made.stays.get(RootKind.IMAGE_STORE, ""),
        lost=whole.told(lost) if lost else "",
        held=from_json(Inventory, stored) if stored else None,
    )


def undone_since(journal: Journal, run: Run) -> tuple[str, ...]:
    """The runs after a move that were to take it back, came to a start of the engine on its old root, and failed."""
    return tuple(one.number for one in journal.runs() if one.number > run.number and is_undone_return(one))


def is_undone_return(run: Run) -> bool:
    records = run.records()
    is_back = any((one["event"], one.get("direction")) == (Event.BEGUN, Direction.BACK) for one in records)
    has_begun = any((one["event"], one.get("step")) == (Event.INTENT, Phase.START) for one in records)
    return is_back and has_begun and not run.has_arrived


def set_in(root: RootMove | None) -> SetIn | None:
    return SetIn(root.source, root.target, root.switch.path, root.switch.setting.kind) if root else None


def plan_back(facts: HostFacts, made: Plan, now: Now) -> Plan:
    """The plan that takes a move back, from its own plan and what its files hold `now`. Raises PreflightError."""
    units = facts.units
    return replace(
        made,
        roots=tuple(root_back(root, seen, facts, now) for root, seen in zip(made.roots, facts.roots, strict=True)),
        units=tuple(unit.name for unit in units),
        started=tuple(unit.name for unit in units if unit.active_state in RUNNING),
        ordering=put_back(made.ordering, now),
        listening=tuple(put_back(edit, now) for edit in made.listening),
        waking=tuple(map(reverse, made.waking)),
        rules=tuple(map(reverse, made.rules)),
        dependents=facts.dependents,
        awaited=facts.awaited,
        service=facts.service.name,
        engine_version=facts.engine.version,
        direction=Direction.BACK,
        adopts="",
        holds=False,
        remove_ephemeral=True,
        driver=facts.engine.driver,
        driver_named=facts.told.driver,
        owners=facts.owners,
    )


def switched_back(edit: FileEdit, now: bytes | None, target: str) -> FileEdit:
    return replace(edit, before=now, after=taken_back(edit, now), setting=replace(edit.setting, was=target))


def root_back(root: RootMove, seen: RootFacts, facts: HostFacts, now: Now) -> RootMove:
    return replace(
        root,
        source=root.target,
        target=root.source,
        created=(),
        identity=seen.source.identity,
        born=seen.source.born,
        switch=switched_back(root.switch, now(root.switch), root.target),
        follow=tuple(reverse(edit) for edit in root.follow if now(edit) == edit.after),
        service=root.service and service_back(root.service, facts, now),
    )


def service_back(service: RootService, facts: HostFacts, now: Now) -> RootService:
    name = facts.containerd.service.name if facts.containerd else service.name
    return replace(service, name=name, started=True, ordering=put_back(service.ordering, now))


def put_back(edit: FileEdit, now: Now) -> FileEdit:
    """The edit of a file that is ours alone, taken back from whatever it holds."""
    return replace(edit, before=now(edit), after=edit.before)


def reverse(edit: FileEdit) -> FileEdit:
    return replace(edit, before=edit.after, after=edit.before)


def taken_back(edit: FileEdit, now: bytes | None) -> bytes | None:
    """What a file holds once an edit alone is taken back; whatever others have written into it since stays."""
    if now == edit.after or now is None:
        return edit.before
    return formats.with_old_root(now, edit.before, edit.setting, edit.path)


def say_loss(host: Host, run: Run, now: Inventory) -> None:
    """Say what going back would lose."""
    before, made = from_json(Inventory, run.inventory() or {}), from_json(Plan, run.plan()["plan"])
    target, moved = made.data_root(is_target=True), made.root(RootKind.IMAGE_STORE)
    images = moved.target if moved else f"{target}/{MANAGED_ROOT}"
    root, since = host.path(target) / made.within, intact.started_at(run)
    found = written_since.between(before, now, root, since, host.path(images), alone=RootKind.DATA_ROOT in made.stays)
    for what in found.made:
        log.warning("loss.made", what=what)
    for what in found.removed:
        log.warning("loss.removed", what=what)
    for one in found.written:
        log.warning("loss.written", place=one.place, files=one.files, size=wording.size(one.size))
    log.warning("loss.told", root=made.first.source, left=made.first.target)

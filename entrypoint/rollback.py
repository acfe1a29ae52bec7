"""Going back to the root that the last move has left, as a command.

What was written since the move is only on the root that is left; it is named, and agreed to, before anything is done.
The way back is a move whose target is there already: freeze, switch, start and verify, by the same worker, undone in
the same way if it fails. Both roots are complete throughout.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

from entrypoint import edits, handover, loss, preflight, setting_checks, settings, wording
from entrypoint.errors import ExitCode, PreflightError
from entrypoint.facts import HostFacts, gather
from entrypoint.findings import Finding, agreed, error, warning
from entrypoint.holdings import layer_directories
from entrypoint.host import Host
from entrypoint.host import run as run_program
from entrypoint.inventory import Inventory
from entrypoint.journal import Journal
from entrypoint.layers import DRIVER
from entrypoint.log import Phase, log, phase
from entrypoint.loss import MEASURING
from entrypoint.plan import Direction, FileEdit, Plan
from entrypoint.record import Event, Run
from entrypoint.recovery import require_no_worker, settle_first
from entrypoint.relocation import hand_over_whole, tell
from entrypoint.remains import Remains, is_same_directory, moves
from entrypoint.standing import our_containers
from entrypoint.systemd import RUNNING, Systemd

CHECKS = (
    preflight.of_return,
    preflight.live_restore,
    preflight.unit,
    *setting_checks.CHECKS,
    preflight.dependents,
    preflight.sub_mounts,
    preflight.ephemeral,
)


def go_back(host: Host, systemd: Systemd, *, agreed: bool) -> ExitCode:
    """The engine runs on the root of before the last move when the worker is done. Raises PreflightError."""
    journal = Journal(host)
    if settle_first(host, systemd, journal) is ExitCode.HANDED_OVER:
        return ExitCode.HANDED_OVER
    last_move(journal)  # before anything is made: there may be no journal to lock
    with journal.locked():  # from the proof to the hand-over
        require_no_worker(systemd)
        return take_back(host, systemd, journal, agreed=agreed)


def take_back(host: Host, systemd: Systemd, journal: Journal, *, agreed: bool) -> ExitCode:
    last = last_move(journal)
    run, made = last.run, last.plan
    if made.direction is Direction.BACK:
        log.info("already_back", root=made.target, left=made.source)
        return ExitCode.DONE
    facts = look(host, systemd, run, made)
    plan = plan_back(facts, made, *(edits.content(host.path(edit.path)) for edit in (made.switch, made.ordering)))
    with phase(Phase.PLAN):
        tell(plan, facts.inventory.containers)
    say_loss(host, run, facts.inventory)
    if not agreed:
        raise PreflightError("Nothing was changed.", resolution="To go back all the same: relocator rollback --yes")
    return hand_over_whole(host, systemd, journal.begin(), plan, expected=run.inventory() or {})


def last_move(journal: Journal) -> Remains:
    """The last run that moved the engine. Raises PreflightError."""
    if not (found := moves(journal)):
        raise PreflightError("There is no move to take back.", details="No run in the journal has moved the engine.")
    return found[-1]


def look(host: Host, systemd: Systemd, run: Run, made: Plan) -> HostFacts:
    """Facts and findings; an error refuses."""
    with phase(Phase.PREFLIGHT):
        facts = gather(host, systemd, PurePosixPath(made.source), handover.UNIT, our_containers())
        findings = [*checked(facts), *old_root(host, facts, run, made)]
        for finding in findings:
            log.warning("finding", **asdict(finding))
    preflight.require(findings, "way back")
    return facts


def checked(facts: HostFacts) -> Iterator[Finding]:
    """What `--yes` agrees to is said and refuses nothing."""
    for check in CHECKS:
        yield from (agreed(finding, (preflight.EPHEMERAL,)) for finding in check(facts))


def old_root(host: Host, facts: HostFacts, run: Run, made: Plan) -> Iterator[Finding]:
    """Whether the engine is where the move has put it, and the root it left is as it was left."""
    if str(facts.source.path) != made.target:
        yield error(
            "root-differs",
            "The engine does not run where the last move has put it",
            f"It runs on {facts.source.path}; run {run.number} moved it to {made.target}.",
        )
    decision = setting_checks.decided(facts)
    if decision and (str(decision.place.file.path), decision.place.setting.kind) != (
        made.switch.path, made.switch.setting.kind
    ):  # fmt: skip
        yield error(
            "setting-moved",
            "The data root is set in another place than the move has set it in",
            f"It is set in {decision.place.text()}; run {run.number} set it in {made.switch.path}.",
            f"Set it there to {made.source} by hand, and restart the engine.",
        )
    if any(record["event"] == Event.CLEANUP for record in run.records()):
        yield error("old-root-removed", "The old root has been removed", f"{made.source}, by `relocator cleanup`.")
    elif not is_same_directory(host, run, made):
        yield error("old-root-gone", "The old root is not there any more", f"{made.source} is missing or another one.")
    elif lacking := tuple(lacks(host, run, str(PurePosixPath(made.source, made.within)))):
        yield error("old-root-incomplete", "The old root is not complete any more", "; ".join(lacking[:5]))
    elif changed := changed_since(host.path(made.source) / made.within, left_at(run)):
        yield warning(
            "old-root-changed",
            "Something in the old root was changed since the engine left it",
            f"In {made.source}: {', '.join(changed[:5])}. Whether it is still whole cannot be told.",
        )
    if facts.engine.version != made.engine_version:
        yield warning(
            "engine-version",
            "The engine is another version now",
            f"The old root was last used by {made.engine_version}, the engine is {facts.engine.version} now.",
        )


def lacks(host: Host, run: Run, source: str) -> Iterator[str]:
    """What the engine held when it left a root, and is not there now. The files, for no engine can be asked."""
    root, stored = host.path(source), run.inventory()
    if stored is None:
        return
    held = Inventory.from_json(stored)
    names = [f"containers/{one.id}/config.v2.json" for one in held.containers if not one.is_fleeting]
    names += [f"volumes/{name}" for name, driver in held.volumes.items() if driver == "local"]
    names += [f"image/{DRIVER}/imagedb/content/{image.replace(':', '/')}" for image in held.images]
    names += layer_directories(root, [one.id for one in held.containers if not one.is_fleeting])
    yield from (f"{source}/{name} is missing" for name in names if not os.path.lexists(root / name))


def changed_since(root: Path, instant: float) -> tuple[str, ...]:
    """What has changed in a root that nobody should use, but for files in layers: those may have other names elsewhere,
    and removing these changes them too."""
    search = ["find", str(root), "-xdev", "-mindepth", "1", "-path", f"{root}/{DRIVER}/*", "-not", "-type", "d", "-o"]
    search += ["-newerct", f"@{instant:.6f}", "-printf", "%P\\0"]
    return tuple(filter(None, run_program(search, timeout=MEASURING, check=False).stdout.split("\0")))


def left_at(run: Run) -> float:
    """When the engine had left the old root (seconds since 1970)."""
    return _at(run, (Event.DONE, Phase.FREEZE))


def _at(run: Run, *wanted: tuple[Event, Phase]) -> float:
    """When the first of these was recorded; a run that was finished by another may lack one."""
    found = {(record["event"], record.get("step")): float(record["at"]) for record in reversed(run.records())}
    return next((found[one] for one in wanted if one in found), float(run.records()[0]["at"]))


def plan_back(facts: HostFacts, made: Plan, switch: bytes | None, ordering: bytes | None) -> Plan:
    """The plan that takes a move back, from its own plan and what the two files hold now. Raises PreflightError."""
    units = [unit for unit in (facts.socket, facts.service) if unit.exists]
    setting = replace(made.switch.setting, was=made.target)
    return replace(
        made,
        source=made.target,
        target=made.source,
        units=tuple(unit.name for unit in units),
        started=tuple(unit.name for unit in units if unit.active_state in RUNNING),
        ordering=replace(made.ordering, before=ordering, after=made.ordering.before),
        waking=tuple(map(reverse, made.waking)),
        rules=tuple(map(reverse, made.rules)),
        switch=replace(made.switch, before=switch, after=taken_back(made.switch, switch), setting=setting),
        dependents=facts.dependents,
        awaited=facts.awaited,
        created=(),
        service=facts.service.name,
        source_identity=facts.source.identity,
        source_born=facts.source.born,
        engine_version=facts.engine.version,
        direction=Direction.BACK,
        adopts="",
        remove_ephemeral=True,
        driver=facts.engine.driver,
        driver_named=facts.storage_driver(),
    )


def reverse(edit: FileEdit) -> FileEdit:
    return replace(edit, before=edit.after, after=edit.before)


def taken_back(edit: FileEdit, now: bytes | None) -> bytes | None:
    """What a file holds once an edit alone is taken back; whatever others have written into it since stays."""
    if now == edit.after or now is None:
        return edit.before
    return settings.with_old_root(now, edit.before, edit.setting, edit.path)


def say_loss(host: Host, run: Run, now: Inventory) -> None:
    """Say what going back would lose."""
    before, made = Inventory.from_json(run.inventory() or {}), Plan.from_json(run.plan()["plan"])
    found = loss.between(before, now, host.path(made.target), started_at(run))
    for what in found.made:
        log.warning("loss.made", what=what)
    for what in found.removed:
        log.warning("loss.removed", what=what)
    for one in found.written:
        log.warning("loss.written", place=one.place, files=one.files, size=wording.size(one.size))
    log.warning("loss.told", root=made.source, left=made.target)


def started_at(run: Run) -> float:
    """When the engine was first started on the new root (seconds since 1970)."""
    return _at(run, (Event.INTENT, Phase.START), (Event.INTENT, Phase.SWITCH))

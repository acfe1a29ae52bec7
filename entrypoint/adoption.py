"""Adopting a root: the engine is pointed at a whole data root that is in the target already, and nothing is copied.

Where `/etc` is made anew at each boot, a fresh engine runs on a small root of its own then, and the data is on its
disk. Whatever the engine holds now is left where it is; if the adopted root lacks any of it, that must be agreed to.

the target                                            without --adopt    with --adopt
has the record of a move on this host, and is whole   adopted            adopted
has another host's record, or none                    refused            adopted, if it is whole
lacks what the engine holds now, or has written       refused            adopted
is incomplete, in use, or of a newer engine           refused            refused
"""

from collections.abc import Iterator
from dataclasses import dataclass

from entrypoint import loss, selinux_checks, setting_checks, target_checks
from entrypoint.engine import Engine, socket_of
from entrypoint.errors import EngineError, VerificationError
from entrypoint.facts import HostFacts
from entrypoint.findings import Finding, error, warning
from entrypoint.finished import Finished, identities
from entrypoint.holdings import Holdings, is_root, lacking
from entrypoint.host import Host
from entrypoint.log import log
from entrypoint.loss import Written
from entrypoint.plan import Direction, Plan
from entrypoint.remains import is_in_use

ADOPT = "adopt"  # what the operator has accepted, as with the ids of findings
INSIST = "If it is to be used as it is, add: --adopt"
KEPT = "It stays in {source} and is not lost, but the engine will not see it."


@dataclass(frozen=True)
class Adoptable:
    """What is in the target, if it is a root: its record, what it holds, and what it has not of the engine's now.

    `lacks` are kinds and names, `written` what was written to the engine's root since the record was made. `host` are
    the ids of this host.
    """

    record: Finished | None
    holdings: Holdings
    lacks: tuple[tuple[str, str], ...]
    written: tuple[Written, ...]
    host: tuple[str, str]
    in_use: bool


def look(host: Host, facts: HostFacts) -> Adoptable | None:
    """A root in the target, if one is there."""
    if facts.alone:
        return None
    place = host.path(facts.target.resolved)
    record = Finished.read(place)
    root = place / (record.within if record else facts.engine.within)
    if target_checks.is_unfinished(facts) or not (record or is_root(root)):
        return None
    others = {name: tags for name, tags in facts.inventory.images.items() if name not in facts.own_images}
    source = host.path(facts.source.path) / facts.engine.within
    held = loss.between(facts.inventory, facts.inventory, source, record.at) if record else None
    return Adoptable(
        record=record,
        holdings=Holdings.of(root),
        lacks=tuple(lacking(root, facts.inventory.with_images(others))),
        written=tuple(one for one in held.written if not one.place.startswith("the log")) if held else (),
        host=identities(host),
        in_use=is_in_use(root),
    )


def is_meant(found: Adoptable | None, insisted: bool) -> bool:
    """Whether the target is to be adopted, and not to be copied to."""
    return insisted or (found is not None and found.record is not None)


def check(facts: HostFacts, found: Adoptable | None, insisted: bool) -> Iterator[Finding]:
    """What speaks against it."""
    if found is None:
        yield error("nothing-to-adopt", "The target is no data root", f"{facts.target.path} holds no engine's data.",
                    "Leave --adopt out to move the data there.")  # fmt: skip
        return
    yield from whole(facts, found)
    yield from fitting(facts, found)
    yield from (agreeable(one, insisted) for one in doubtful(facts, found))
    for kind, name in found.lacks:
        if kind not in ("container", "volume"):
            yield warning("adopted-lacks", f"The root that is adopted has no {kind} {name}",
                          KEPT.format(source=facts.source.path))  # fmt: skip


def whole(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    path = facts.target.path
    if found.in_use:
        yield error("root-in-use", "An engine works on the root in the target", f"Its databases in {path} are locked.",
                    f"See which: fuser -v {path}")  # fmt: skip
    if found.holdings.incomplete:
        shown = ", ".join(found.holdings.incomplete[:5])
        yield error("root-incomplete", "The root in the target is not complete", f"Missing in {path}: {shown}.",
                    "Bring it back from where it was copied, or choose another target.")  # fmt: skip
    yield from target_checks.left(facts)


def fitting(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    """Whether this engine can work on it."""
    record, engine = found.record, facts.engine
    if record is None:
        return
    known = record.engine_version.partition(".")[0]
    if known.isdigit() and engine.version.partition(".")[0].isdigit() and not engine.is_at_least(int(known)):
        yield error("root-newer", "The root in the target was used by a newer engine",
                    f"{facts.target.path} was used by {record.engine_version}; this engine is {engine.version}.",
                    "Upgrade the engine first.")  # fmt: skip
    if (record.driver, record.store) != (engine.driver, engine.store):
        yield error("root-driver", "The root in the target needs another storage driver",
                    f"It was used with {record.driver} ({record.store}).")  # fmt: skip
    if record.within != engine.within:
        yield error("root-remapped", "The root in the target has other users",
                    f"It was used within {record.within or '(no remapping)'}; the engine works within "
                    f"{engine.within or '(no remapping)'}.",
                    "Set userns-remap as it was, and restart the engine.")  # fmt: skip


def doubtful(facts: HostFacts, found: Adoptable) -> Iterator[tuple[str, str, str]]:
    """What a person may know better, as an id, a title and a detail."""
    path, record = facts.target.path, found.record
    if record is None:
        yield "root-unknown", "The root in the target has no record of relocator", f"{path} looks like a data root."
    elif not record.is_of_host(found.host):
        yield ("root-of-another-host", "The root in the target was used by another host",
               f"{path} was used on {record.machine}, this is {found.host[0]}. "
               "No other host may use it now.")  # fmt: skip
    elif record.engine_id != found.holdings.engine_id and found.holdings.engine_id:
        yield ("root-of-another-engine", "The root in the target is another engine's by now",
               f"Its record names {record.engine_id}, it says {found.holdings.engine_id}.")  # fmt: skip
    missed = [f"{kind} {name}" for kind, name in found.lacks if kind in ("container", "volume")]
    if missed:
        yield ("adopted-lacks", "The engine holds what the root in the target does not",
               f"{', '.join(missed[:5])}. {KEPT.format(source=facts.source.path)}")  # fmt: skip
    if found.written:
        places = ", ".join(one.place for one in found.written[:5])
        yield ("written-elsewhere", "Data was written to the engine's root since it had been moved to the target",
               f"{places}. {KEPT.format(source=facts.source.path)}")  # fmt: skip


def agreeable(doubt: tuple[str, str, str], insisted: bool) -> Finding:
    return warning(*doubt) if insisted else error(*doubt, INSIST)


def prove(host: Host, plan: Plan) -> None:
    """The engine that was started on an adopted root holds what its files say. Raises VerificationError."""
    if plan.direction is not Direction.ADOPT:
        return
    with Engine.opened(socket_of(host)) as engine:
        now = engine.inventory()
    held = Holdings.of(host.path(plan.target) / plan.within)
    lost = [f"container {name}" for key, name in held.containers.items() if now.container(key) is None]
    lost += [f"volume {name}" for name in sorted(held.volumes - now.volumes.keys())]
    if now.driver != plan.driver or lost:
        details = "\n".join([f"Its storage driver is {now.driver}.", *lost[:20]])
        raise VerificationError("The engine does not hold what the adopted root holds.", details=details)
    log.info("adoption.proven", containers=len(held.containers), volumes=len(held.volumes))


def mark(host: Host, plan: Plan) -> None:
    """Write into the roots which of them is the one to use; the engine is up on it.

    A record that cannot be written takes nothing back: only --adopt is needed then. A data root that stays is what it
    was.
    """
    if plan.alone:
        return
    try:
        if plan.direction is Direction.BACK:
            Finished.end(host.path(plan.source))
            return
        with Engine.opened(socket_of(host)) as engine:
            Finished.now(host, engine.info()).write(host.path(plan.target))
    except (OSError, EngineError) as problem:
        log.warning("root.unmarked", why=str(problem))


CHECKS = (
    target_checks.nesting,
    target_checks.characters,
    target_checks.file_system,
    target_checks.at_boot,
    target_checks.traverse,
    *selinux_checks.CHECKS,
    *setting_checks.CHECKS,
)

"""The checks of a root that is to be adopted: whether it is whole, fits this engine, and is the one that is meant."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from entrypoint.console import wording
from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error, warning
from entrypoint.console.findings import insisted as insisted_on
from entrypoint.engine.holdings.kinship import Kinship
from entrypoint.engine.info import CONTAINERD
from entrypoint.engine.versions import is_older, major
from entrypoint.preflight.adoption import Adoptable, Along
from entrypoint.preflight.checks import target
from entrypoint.preflight.checks.engine import store
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind

INSIST = "If it is to be used as it is, add: --adopt"
KEPT = "It stays in {source} and is not lost, but the engine will not see it."
ELSEWHERE = (
    "If containerd's root is elsewhere, name it with --containerd-root; if it was never moved, add: --only data-root"
)


def check(facts: HostFacts, found: Adoptable | None, insisted: bool) -> Iterator[Finding]:
    """What speaks against it."""
    if found is None:
        yield error("nothing-to-adopt", "The target is no data root",
                    f"{facts.first.target.path} holds no engine's data.",
                    "Leave --adopt out to move the data there.")  # fmt: skip
        return
    yield from whole(facts, found)
    yield from fitting(facts, found)
    doubts = tuple(doubtful(facts, found))
    yield from (insisted_on(doubt) if insisted else doubt for doubt in doubts)
    for kind, name in found.lacks:
        if kind not in ("container", "volume"):
            yield warning("adopted-lacks", f"The root that is adopted has no {kind} {name}",
                          KEPT.format(source=facts.data_root))  # fmt: skip


def whole(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    path = facts.first.target.path
    if found.in_use:
        yield error("root-in-use", "An engine works on the root in the target", f"Its databases in {path} are locked.",
                    f"See which: fuser -v {path}")  # fmt: skip
    if found.holdings.incomplete:
        shown = ", ".join(found.holdings.incomplete[:5])
        yield error("root-incomplete", "The root in the target is not complete", f"Missing in {path}: {shown}.",
                    "Bring it back from where it was copied, or choose another target.")  # fmt: skip
    for root in facts.roots:
        if root.target.unfinished:
            yield error("root-incomplete", "The root in the target is not complete",
                        f"{root.target.path} says of itself that it is an unfinished copy.",
                        "Choose another target, or empty this one after a look at what is in it.")  # fmt: skip
    yield from target.left(facts, facts.first)
    yield from older(facts, found)
    if found.along:
        yield from whole_along(facts, found, found.along)


def older(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    """Whatever is insisted: nobody wants what was written since to be gone."""
    if found.kin and found.kin.kinship is Kinship.OLDER and RootKind.DATA_ROOT not in facts.left:
        yield error("root-older", "The root in the target is an older copy of the one in use",
                    f"{facts.first.target.path} has nothing of its own. {since(facts, found)}",
                    f"To make it a copy as the other is now: {target.FINISH}, or empty it.")  # fmt: skip


def since(facts: HostFacts, found: Adoptable) -> str:
    """In numbers, what the root in use has that the other has not."""
    missed = [f"{kind} {name}" for kind, name in found.lacks if kind in ("container", "volume")]
    kin = found.kin
    told = [f"{one.place} ({one.files} file{'s' if one.files > 1 else ''}, {wording.size(one.size)})"
            for one in (kin.since if kin else ())]  # fmt: skip
    when = f"{datetime.fromtimestamp(kin.made, UTC):%Y-%m-%d %H:%M:%S} UTC" if kin else ""
    parts = [f"Since {when}, when its last file was made, was written to {facts.data_root}: {', '.join(told[:5])}."
             if told else "", f"It has no {', '.join(missed[:5])}." if missed else ""]  # fmt: skip
    return " ".join(filter(None, parts))


def compared(facts: HostFacts, found: Adoptable) -> str:
    """What a root without a record is, in numbers."""
    held, kin = found.holdings, found.kin
    size = f"{wording.counted(len(held.containers), 'container')} and {wording.counted(len(held.volumes), 'volume')}"
    if kin is None:
        return f"It has {size}."
    related = (
        "It has nothing in common with the root in use"
        if kin.kinship is Kinship.UNRELATED
        else f"It has the same origin as the root in use, and {_changed(kin.own)} there since it was made"
    )
    return f"It has {size}. {related}. {since(facts, found) if kin.kinship is not Kinship.UNRELATED else ''}".rstrip()


def _changed(files: int) -> str:
    return f"{wording.counted(files, 'file')} {'was' if files == 1 else 'were'} changed"


def whole_along(facts: HostFacts, found: Adoptable, along: Along) -> Iterator[Finding]:
    """containerd's root, and whether it is the one in which the containers have their files."""
    if RootKind.IMAGE_STORE in facts.left:
        yield error("root-left", "The engine was moved away from containerd's root",
                    f"{along.path} is as it was then; what containers have written since is elsewhere.",
                    f"See where: relocator status. {ELSEWHERE}.")  # fmt: skip
    if along.in_use:
        yield error("root-in-use", "A containerd works on the root in its target",
                    f"Its database in {along.path} is locked.", f"See which: fuser -v {along.path}")  # fmt: skip
    if along.holdings.incomplete:
        shown = ", ".join(along.holdings.incomplete[:5])
        yield error("root-incomplete", "containerd's root is not complete", f"Missing in {along.path}: {shown}.",
                    f"Bring it back from where it was copied. {ELSEWHERE}.")  # fmt: skip
    elif names := [name for key, name in found.holdings.containers.items() if key not in along.holdings.snapshots]:
        yield error("roots-unrelated", "The two roots do not belong together",
                    f"Containers of the data root have no files in {along.path}: {', '.join(names[:5])}.",
                    f"{ELSEWHERE}.")  # fmt: skip


def fitting(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    """Whether this engine can work on it."""
    record, engine = found.record, facts.engine
    if found.along and found.traces and not is_chosen(facts, found.traces):
        yield error("root-driver", "The engine would choose another store on the root in the target",
                    f"There, {', '.join(sorted(found.traces))} has left something, and the configuration names none.",
                    'Set "features": {"containerd-snapshotter": true} in daemon.json; restart the engine.')  # fmt: skip
    if record is None:
        return
    known = major(record.engine_version)
    if known is not None and is_older(engine.version, known):
        yield error("root-newer", "The root in the target was used by a newer engine",
                    f"{facts.first.target.path} was used by {record.engine_version}; this engine is {engine.version}.",
                    "Upgrade the engine first.")  # fmt: skip
    if (record.driver, record.store) != (engine.driver, engine.store):
        yield error("root-driver", "The root in the target needs another storage driver",
                    f"It was used with {record.driver} ({record.store}).")  # fmt: skip
    if record.within != engine.within:
        yield error("root-remapped", "The root in the target has other users",
                    f"It was used within {record.within or '(no remapping)'}; the engine works within "
                    f"{engine.within or '(no remapping)'}.",
                    "Set userns-remap as it was, and restart the engine.")  # fmt: skip


def is_chosen(facts: HostFacts, traces: frozenset[str]) -> bool:
    """Whether an engine keeps its images in containerd on a root in which these drivers have left something."""
    with suppress(PreflightError, ValueError):  # what cannot be read is told by another check
        return store.configured_store(replace(facts, traces=traces)) == CONTAINERD
    return True


def doubtful(facts: HostFacts, found: Adoptable) -> Iterator[Finding]:
    """What a person may know better, and insist."""
    path, record = facts.first.target.path, found.record
    if record is None:
        yield error("root-unknown", "The root in the target has no record of relocator",
                    f"{path} looks like a data root. {compared(facts, found)}", INSIST)  # fmt: skip
    elif not record.is_of_host(found.host):
        yield error("root-of-another-host", "The root in the target was used by another host",
                    f"{path} was used on {record.machine}, this is {found.host[0]}. "
                    "No other host may use it now.", INSIST)  # fmt: skip
    elif record.engine_id != found.holdings.engine_id and found.holdings.engine_id:
        yield error("root-of-another-engine", "The root in the target is another engine's by now",
                    f"Its record names {record.engine_id}, it says {found.holdings.engine_id}.", INSIST)  # fmt: skip
    along = found.along
    if along and along.is_adopted and (along.record is None or (record and along.record != record)):
        yield error("root-unmarked", "containerd's root has no record that it belongs to the root in the target",
                    f"{along.path} {'has that of another move' if along.record else 'has none'}.", INSIST)  # fmt: skip
    missed = [f"{kind} {name}" for kind, name in found.lacks if kind in ("container", "volume")]
    if missed:
        yield error("adopted-lacks", "The engine holds what the root in the target does not",
                    f"{', '.join(missed[:5])}. {KEPT.format(source=facts.data_root)}", INSIST)  # fmt: skip
    if found.written:
        places = ", ".join(one.place for one in found.written[:5])
        yield error("written-elsewhere", "Data was written to the engine's root since it had been moved to the target",
                    f"{places}. {KEPT.format(source=facts.data_root)}", INSIST)  # fmt: skip

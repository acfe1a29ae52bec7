"""Adopting a root: the engine is pointed at a whole data root that is in the target already, and nothing is copied.

Where `/etc` is made anew at each boot, a fresh engine runs on a small root of its own then, and the data is on its
disk. Whatever the engine holds now is left where it is; if the adopted root lacks any of it, that must be agreed to.

the target                                            without --adopt    with --adopt
has the record of a move on this host, and is whole   adopted            adopted
has another host's record, or none                    refused            adopted, if it is whole
lacks what the engine holds now, or has written       refused            adopted
is incomplete, in use, or of a newer engine           refused            refused
is an older copy of the engine's own root             refused            refused
was copied by a move that failed                      refused            refused
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.engine.containerd.holdings import ContainerdHoldings
from entrypoint.engine.containerd.service import MANAGED_ROOT
from entrypoint.engine.drivers import choice
from entrypoint.engine.holdings import kinship, written_since
from entrypoint.engine.holdings.holdings import Holdings, is_root, lacking
from entrypoint.engine.holdings.in_use import is_in_use
from entrypoint.engine.holdings.kinship import Kin, Kinship
from entrypoint.engine.holdings.written_since import Written
from entrypoint.engine.info import CONTAINERD, GRAPHDRIVER
from entrypoint.engine.inventory import Inventory
from entrypoint.host.host import Host
from entrypoint.journal.finished import Finished, identities
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind

ADOPT = "adopt"  # what the operator has accepted, as with the ids of findings


@dataclass(frozen=True)
class Along:
    """containerd's root that an engine on the adopted root would keep its images in, as it is in `path`.

    It `is_adopted` too, unless it stays where it is, or is a part of the data root.
    """

    path: PurePosixPath
    record: Finished | None
    holdings: ContainerdHoldings
    in_use: bool
    is_adopted: bool


@dataclass(frozen=True)
class Adoptable:
    """What is in the target, if it is a root: its record, what it holds, and what it has not of the engine's now.

    `lacks` are kinds and names, `written` what was written to the engine's root since the record was made. `host` are
    the ids of this host. `along` is where the images are, if they are in containerd; `traces` are those of drivers.
    `kin` is how one without a record is related to the engine's root.
    """

    record: Finished | None
    holdings: Holdings
    lacks: tuple[tuple[str, str], ...]
    written: tuple[Written, ...]
    host: tuple[str, str]
    in_use: bool
    along: Along | None = None
    traces: frozenset[str] = frozenset()
    kin: Kin | None = None


def as_there(host: Host, facts: HostFacts) -> HostFacts:
    """The facts as they are for an engine on the root in the target, if that is another store's.

    Since 29 an engine without a word in its configuration keeps its images in containerd on a fresh root, and in the
    root itself where a storage driver has left something: what counts is the root that would be used, and containerd's
    of the fresh engine stays where it is. Where several drivers have left something, the engine refuses to choose.
    """
    moved = facts.root(RootKind.DATA_ROOT)
    if moved is None or facts.engine.store != CONTAINERD:
        return facts
    place = host.path(moved.target.resolved)
    record = Finished.read(place)
    root = place / (record.within if record else facts.engine.within)
    traces = choice.seen(choice.traces(root), facts.engine.version)
    if len(traces) != 1 or not is_root(root) or _takes_containerd(facts, traces):
        return facts
    engine = replace(facts.engine, store=GRAPHDRIVER, driver=next(iter(traces)))
    return replace(facts, engine=engine, traces=traces, containerd=None, roots=(moved,))


def _takes_containerd(facts: HostFacts, traces: frozenset[str]) -> bool:
    """What cannot be read is told by a check, and changes nothing here."""
    with suppress(PreflightError, ValueError):
        return facts.told.takes_containerd(facts.engine.version, traces)
    return True


def look(host: Host, facts: HostFacts) -> Adoptable | None:
    """A root in the target, if one is there."""
    moved = facts.root(RootKind.DATA_ROOT)
    if moved is None:
        return None
    place = host.path(moved.target.resolved)
    record = Finished.read(place)
    root = place / (record.within if record else facts.engine.within)
    if moved.is_begun(facts.engine.engine_id) or not (record or is_root(root)):
        return None
    others = {name: tags for name, tags in facts.inventory.images.items() if name not in facts.own_images}
    along, used = look_along(host, facts), record or facts.engine
    held, lacking_there = Holdings.of(root, used.store, used.driver), tuple(
        lacks(root, along, facts.inventory.with_images(others)))  # fmt: skip
    return Adoptable(
        record=record,
        holdings=held,
        lacks=lacking_there,
        written=tuple(written(host, facts, record.at)) if record else (),
        kin=None if record else kin_of(host, facts, root, held, lacking_there),
        host=identities(host),
        in_use=is_in_use(root),
        along=along,
        traces=choice.seen(choice.traces(root), facts.engine.version),
    )


def look_along(host: Host, facts: HostFacts) -> Along | None:
    """containerd's root that belongs to the target, or is to."""
    found, own = facts.containerd, facts.root(RootKind.IMAGE_STORE)
    if found is None:
        return None
    managed = facts.data_root_to_be / MANAGED_ROOT if found.is_managed else None
    path = own.target.resolved if own else managed or found.root
    place, elsewhere = host.path(path), bool(found.snapshots_of(facts.engine.driver))
    return Along(
        path=path,
        record=Finished.read(place),
        holdings=ContainerdHoldings.of(place, live=not (own or managed), elsewhere=elsewhere),
        in_use=own is not None and is_in_use(place),
        is_adopted=own is not None,
    )


def lacks(root: Path, along: Along | None, held: Inventory) -> Iterator[tuple[str, str]]:
    """What an engine holds that it would not find there: its kind, and a name for people."""
    yield from lacking(root, held.with_images({}) if along else held)
    if along:
        yield from along.holdings.lacking(held)


def occupant(found: Adoptable | None) -> Kinship | None:
    """How a root is related to the engine's that nobody has asked to adopt."""
    return found.kin.kinship if found and found.kin else None


def kin_of(host: Host, facts: HostFacts, root: Path, held: Holdings, lacking_there: Iterable[tuple[str, str]]) -> Kin:
    """How a root that has no record is related to the engine's."""
    source, known = host.path(facts.data_root) / facts.engine.within, [one.id for one in facts.inventory.containers]
    related, made = kinship.are_related(root, source, held, known, facts.engine.engine_id), kinship.made_at(root)
    is_less = any(kind in ("container", "volume") for kind, _name in lacking_there)
    return kinship.of(related, kinship.own_files(root), tuple(written(host, facts, made)), is_less, made)


def written(host: Host, facts: HostFacts, instant: float) -> Iterator[Written]:
    """What was written to the roots that the engine works on since an instant, but for logs."""
    source = host.path(facts.data_root) / facts.engine.within
    store = facts.root(RootKind.IMAGE_STORE)
    images = host.path(store.source.path) if store else None
    if facts.containerd and facts.containerd.is_managed:
        images = source / MANAGED_ROOT
    since = written_since.between(facts.inventory, facts.inventory, source, instant, images)
    yield from (one for one in since.written if not one.place.startswith("the log"))


def is_meant(found: Adoptable | None, insisted: bool) -> bool:
    """Whether the target is to be adopted, and not to be copied to."""
    return insisted or (found is not None and found.record is not None)

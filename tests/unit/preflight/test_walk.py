"""All findings through all commands: who finds what is what docs/findings.md says, in both directions.

Each world has one fault. Every command looks at each: what it finds must be said of it on the page, and what the page
says of it must be found in some world. So a row of the table of who asks what that is taken out is seen, and so is one
that is there in vain.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pytest

from entrypoint.commands import rollback, run, survey, verbs
from entrypoint.commands.line.cli import parse
from entrypoint.console.errors import ExitCode, PreflightError
from entrypoint.console.findings import Finding
from entrypoint.engine.swarm import Swarm
from entrypoint.host.disks.filesystem import Space
from entrypoint.host.disks.stored import to_json
from entrypoint.host.machine.openers import Opener
from entrypoint.journal.record import Event
from entrypoint.plan.plan import Plan
from entrypoint.preflight import preflight
from entrypoint.preflight.adoption import ADOPT, Adoptable
from entrypoint.preflight.checks import way_back
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.removal import OldRoot
from entrypoint.preflight.checks.way_back import WayBack
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Left, Rest, RootKind
from tests.unit.engine.holdings.test_kinship import OLDER
from tests.unit.host import test_selinux as of_selinux
from tests.unit.move import test_going_back as of_going_back
from tests.unit.preflight import test_adoption as of_adoption
from tests.unit.preflight import test_adoption_pairs as of_pairs
from tests.unit.preflight import test_preflight as of_target
from tests.unit.preflight.checks import test_containerd as of_containerd
from tests.unit.preflight.checks import test_next_start as of_next_start
from tests.unit.preflight.checks import test_settings as of_settings
from tests.unit.preflight.checks import test_store as of_store
from tests.unit.preflight.checks.test_findings import ASKED
from tests.unit.support.fakes import DEFAULT_ROOT
from tests.unit.support.good_facts import (
    ALONE,
    CONTAINERD,
    GOOD,
    INVENTORY,
    STORE,
    TWO,
    UNFINISHED,
    config,
    container,
    engine,
    make,
    mount,
    with_source,
    with_target,
)
from tests.unit.support.world import make_world

T = TypeVar("T")
RUN, ADOPTING, ONLY, ROLLBACK, CLEANUP = "run", "--adopt", "--only containerd", "rollback", "cleanup"
COMMANDS = (RUN, ADOPTING, ONLY, ROLLBACK, CLEANUP)
OLD = OldRoot(PurePosixPath("/srv/old"), str(GOOD.data_root), GOOD.engine.engine_id)


@dataclass(frozen=True)
class World:
    """A host with one fault: what is seen of it, of a root in the target, and of one that a move has left."""

    facts: HostFacts
    there: Adoptable | None = None
    old: Mapping[str, Any] = field(default_factory=dict)
    accepted: Collection[str] = ()


def worlds() -> Iterator[World]:
    """Those of the tests of each check, and what they have not."""
    for table in (of_target.FOUND, of_containerd.FOUND, of_selinux.FOUND):
        yield from (World(facts) for _id, facts in table)
    yield from (World(facts) for facts, _found in of_settings.JUDGED)
    yield from (World(facts) for facts in (*of_next_start.GRAVE, *of_next_start.LESS))
    yield from (World(of_store.facts(store, version, config, flags))
                for store, version, config, flags, _then in of_store.PENDING)  # fmt: skip
    for _id, changed in (*of_adoption.NEVER.values(), *of_adoption.UNLESS_INSISTED.values()):
        yield World(GOOD, replace(of_adoption.FOUND, **changed))
    yield from (World(TWO, found) for _id, found in of_pairs.NEVER.values())
    yield from MORE


LEFT = (Left.WAY_BACK, Left.FAILED)
MORE: tuple[World, ...] = (
    World(GOOD), World(TWO), World(ALONE),
    *(World(replace(facts, left=dict.fromkeys(RootKind, how))) for facts in (GOOD, TWO) for how in LEFT),
    *(World(replace(with_target(facts, content=("a",)), left=dict.fromkeys(RootKind, how)))
      for facts in (GOOD, ALONE) for how in LEFT),
    World(with_target(GOOD, content=("a",), rest=Rest(2, 1))),
    World(with_source(TWO, 1, subvolumes=("a",))),
    World(replace(TWO, engine=replace(TWO.engine, swarm=Swarm("active", "N")),
                  inventory=replace(TWO.inventory, containers=(replace(TWO.inventory.containers[0], service="web"),)))),
    World(with_source(TWO, path=GOOD.first.target.path)),
    World(replace(GOOD, lost_programs=("/usr/bin/crun",))),
    World(GOOD, replace(of_adoption.FOUND, lacks=(("image", "app:1"),))),
    World(GOOD, None, accepted=(ADOPT,)),
    World(GOOD, OLDER),
    World(of_target.with_plugins(engine(live_restore=True), "vieux/sshfs:latest enabled")),
    World(engine(swarm=of_target.managers(3, 3, autolock=True))),
    World(engine(driver="vfs")),
    World(with_target(GOOD, space=Space(4096, None)), of_adoption.FOUND),
    World(of_store.migrating_at_next_start()), World(replace(TWO, roots=(GOOD.first, STORE))),
    World(replace(config(changed_at=50.0), service=replace(
        GOOD.service, before=(("jq", ".", str(GOOD.config.path)),), starting=(10.0, 12.0)))),
    World(with_target(ALONE, exists=True, is_directory=False)),
    World(with_target(ALONE, content=("a",), unfinished=replace(UNFINISHED, source=str(CONTAINERD.root)))),
    World(TWO, replace(of_pairs.FOUND, along=replace(of_pairs.ALONG, record=None))),
    # The old root of a move, when it is to be removed.
    World(GOOD, old={"target": "/elsewhere"}), World(GOOD, old={"engine_id": "OTHER"}),
    World(GOOD, old={"images": "/x"}),
    World(GOOD, old={"lost": ("image app:1",)}), World(GOOD, old={"in_use": True}),
    World(GOOD, old={"mentions": ("/etc/fstab",)}), World(GOOD, old={"path": GOOD.data_root}),
    World(GOOD, old={"openers": (Opener("tail (7)", "/srv/old/x", False),)}),
    World(replace(GOOD, mounts=(*GOOD.mounts, mount("/srv/old/x", "8:33")))),
    World(replace(GOOD, binds={"app": ("/srv/old/volumes",)})),
)  # fmt: skip


# --- the commands ----------------------------------------------------------------------------------------------------


def ids(found: Collection[Finding]) -> set[str]:
    return {one.id for one in found}


def to_run(world: World) -> set[str]:
    if is_alone(world.facts):
        return set()
    behind = images.left_behind(world.facts) if preflight.is_already_there(world.facts) else ()
    return ids((*preflight.check(world.facts, world.accepted), *behind))


def to_adopt(world: World) -> set[str]:
    if is_alone(world.facts):
        return set()
    well = of_pairs.FOUND if world.facts.containerd else of_adoption.FOUND
    there = world.there or (None if ADOPT in world.accepted else well)
    return ids(preflight.check_adoption(world.facts, there, world.accepted))


def to_move_images(world: World) -> set[str]:
    """Where there are some, and where there are none to move."""
    none = replace(world.facts, containerd=None, roots=())
    return ids(preflight.check(alone(world.facts))) | (set() if is_alone(world.facts) else ids(preflight.check(none)))


def to_return(world: World) -> set[str]:
    """Of both roots, and of containerd's alone."""
    facts, only = world.facts, alone(world.facts)
    found = found_by_return(only, MOVED)
    return found if is_alone(facts) else found | found_by_return(facts, MOVED if len(facts.roots) > 1 else ONE)


def found_by_return(facts: HostFacts, plan: Plan) -> set[str]:
    """Where nothing is wrong with the old root, nor with where the data root is."""
    images = rollback.set_in(plan.root(RootKind.IMAGE_STORE))
    left = WayBack("000001", "/old", str(facts.data_root), plan.first.source, facts.engine.version, images=images)
    return ids(preflight.check_return(facts, left))


def to_clean_up(world: World) -> set[str]:
    if is_alone(world.facts):
        return set()
    return ids(preflight.check_removal(world.facts, replace(OLD, **world.old)))


# As a move has left it that has put containerd's root where it is in these worlds, by the file that sets it.
ONE = make(GOOD)
MOVED: Plan = make(TWO)
MOVED = replace(
    MOVED, roots=(MOVED.roots[0], replace(MOVED.roots[1], source="/srv/images", target=str(CONTAINERD.root)))
)
WALK: Mapping[str, Callable[[World], set[str]]] = {
    RUN: to_run, ADOPTING: to_adopt, ONLY: to_move_images, ROLLBACK: to_return, CLEANUP: to_clean_up,
}  # fmt: skip


def is_alone(facts: HostFacts) -> bool:
    return [root.kind for root in facts.roots] == [RootKind.IMAGE_STORE]


def alone(facts: HostFacts) -> HostFacts:
    """The same fault on a host where containerd's root moves alone; what is wrong with one root is so with that."""
    if is_alone(facts):
        return facts
    base = TWO if facts.containerd else GOOD
    moved = changed(replace(base, roots=()), replace(facts, roots=()), ALONE)
    own = (STORE, *(changed(was, now, STORE) for was, now in zip(base.roots, facts.roots, strict=False)))
    return replace(moved, roots=(own[-1] if own[-1] != STORE or len(own) < 3 else own[1],))


def changed(base: T, faulty: T, onto: T) -> T:
    """What is different in one of two is so in a third."""
    found = {}
    for one in fields(base) if is_dataclass(base) and not isinstance(base, type) else ():
        was, now, here = (getattr(each, one.name) for each in (base, faulty, onto))
        if was != now:
            is_deep = is_dataclass(was) and type(was) is type(now) is type(here)
            found[one.name] = changed(was, now, here) if is_deep else now
    return replace(onto, **found)  # type: ignore[type-var]


def of_the_old_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What a way back finds in the root that it leads to, and in what the journal tells of the move."""
    moved = make_world(tmp_path, monkeypatch)
    moved.move.run.begun(boot="another")
    assert moved.work() is ExitCode.DONE
    run, switch = moved.move.run, replace(moved.move.plan.first.switch, path="/etc/elsewhere.json")
    found = {
        *of_going_back.findings(moved, identity=(1, 2)),
        *of_going_back.findings(moved, target="/elsewhere"),
        *of_going_back.findings(moved, version="17.05"),
        *of_going_back.findings(moved, switch=switch),
        *of_going_back.findings(moved, volumes={"data": "local"}),
    }
    moved.path(f"{DEFAULT_ROOT}/volumes/new").mkdir(parents=True)
    found |= {*of_going_back.findings(moved)}
    run.append(Event.CLEANUP)
    found |= {*of_going_back.findings(moved)}
    run.save_inventory(to_json(INVENTORY))
    made = replace(MOVED, stays={RootKind.DATA_ROOT: DEFAULT_ROOT})
    more = replace(ALONE, inventory=replace(INVENTORY, containers=(*INVENTORY.containers, container("since"))))
    left = rollback.left_by(moved.host, run, made)
    found |= ids((*way_back.since(more, left), *way_back.store(GOOD, left)))
    return found | ids((*way_back.gone_since(more, replace(left, lost="container stopped has no snapshot")),))


@cache
def walked() -> Mapping[str, frozenset[str]]:
    """What each command has found in any of the worlds."""
    every = [*worlds()]
    return {command: frozenset().union(*(walk(world) for world in every)) for command, walk in WALK.items()}


# --- the comparison --------------------------------------------------------------------------------------------------

BEFORE_ALL = {"selinux-access"}  # the program says it before any command is begun (test_access.py)


def said_of(command: str) -> set[str]:
    """Of which findings the page says that this command asks for them."""
    return {id for id, asking in ASKED.items() if asking == ["all"] or command in asking}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_finds_what_the_page_says_and_nothing_else(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set(walked()[command])
    if command == ROLLBACK:
        found |= of_the_old_root(tmp_path, monkeypatch)
    said = said_of(command) - BEFORE_ALL
    assert (sorted(found - said), sorted(said - found)) == ([], [])


@pytest.mark.parametrize("facts", [GOOD, TWO], ids=["one root", "two roots"])
@pytest.mark.parametrize("command", COMMANDS)
def test_where_nothing_is_wrong_no_command_finds_anything(command: str, facts: HostFacts) -> None:
    found = WALK[command](World(facts))
    assert found == ({"containerd-no-root"} if command == ONLY else set())  # of the host that has none


@pytest.mark.parametrize("verb", ["check", "plan", "run"])
def test_check_plan_and_run_refuse_alike(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what one look has found."""
    world = make_world(tmp_path, monkeypatch)
    seen = survey.Survey(GOOD, preflight.check(of_target.same_file_system(GOOD)))
    monkeypatch.setattr(run, "settle_first", lambda *_: ExitCode.DONE)
    for module in (survey, run):
        monkeypatch.setattr(module, "look", lambda *_: seen)
    asked = parse([verb, "/mnt/data/docker"])
    assert asked is not None
    with pytest.raises(PreflightError, match="refused, for 1 reason"):
        verbs.VERBS[verb](world.context, asked)

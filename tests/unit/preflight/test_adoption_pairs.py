"""Where images are in containerd, a whole root in the target is used together with the one that belongs to it."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import Any

import pytest

from entrypoint.console.errors import ExitCode, RelocatorError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.engine.containerd.holdings import ContainerdHoldings
from entrypoint.engine.containerd.service import MANAGED_ROOT
from entrypoint.engine.holdings.holdings import Holdings
from entrypoint.host.host import Host
from entrypoint.journal.finished import Finished
from entrypoint.journal.unfinished import NAME as UNFINISHED
from entrypoint.move import safety_net as net
from entrypoint.move.steps import STEPS_BACK, Step
from entrypoint.plan import outline, plan
from entrypoint.plan.plan import Direction
from entrypoint.preflight import adoption, preflight
from entrypoint.preflight.adoption import ADOPT, Adoptable, Along
from entrypoint.preflight.checks import adoption as adoption_checks
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Left, RootKind
from tests.unit.move.dying.test_crash_pairs import NEW, OLD, boot, safety_net
from tests.unit.preflight.test_adoption import RECORD as ONE_RECORD
from tests.unit.preflight.test_adoption import die, make_root, steps
from tests.unit.support.bolt_file import make_store
from tests.unit.support.fakes import CONTAINERD_ROOT, DEFAULT_ROOT, make_host
from tests.unit.support.good_facts import CONTAINERD, GOOD, STAYING, TWO, make, two, with_target
from tests.unit.support.good_facts import TARGET as TARGET_FACTS
from tests.unit.support.good_facts import UNFINISHED as UNFINISHED_COPY
from tests.unit.support.world import CONTAINERD_TARGET, TARGET, World, make_world_of_two

RECORD = replace(ONE_RECORD, driver="overlayfs", store="containerd", engine_version="29.0.0")
HELD = ContainerdHoldings(frozenset({"sha256:1"}), frozenset({"web"}), ())
ALONG = Along(PurePosixPath(CONTAINERD_TARGET), RECORD, HELD, in_use=False, is_adopted=True)
WHOLE = Holdings("ID", {"web": "web"}, frozenset(), ())
FOUND = Adoptable(RECORD, WHOLE, (), (), ("machine", "hardware"), in_use=False, along=ALONG)


# --- what is in the target -----------------------------------------------------------------------------------------


def make_pair(root: Path) -> Host:
    """A data root and a containerd root in the targets, which belong together."""
    host = make_host(root)
    rmtree(make_root(host.path("/mnt/data/docker"), "web") / "image")
    make_store(host.path("/mnt/data/containerd"), "web")
    for target in ("/mnt/data/docker", "/mnt/data/containerd"):
        RECORD.write(host.path(target))
    return host


def look(host: Host, facts: HostFacts = TWO) -> Adoptable:
    found = adoption.look(host, facts)
    assert found is not None
    return found


def test_both_roots_are_looked_at(tmp_path: Path) -> None:
    found = look(make_pair(tmp_path))
    assert found.holdings.incomplete == ()
    assert found.along == Along(PurePosixPath("/mnt/data/containerd"), RECORD,
                                ContainerdHoldings(HELD.images, HELD.snapshots | {"sha256:layer"}, ()),
                                in_use=False, is_adopted=True)  # fmt: skip
    assert list(adoption.lacks(tmp_path, found.along, replace(TWO.inventory, containers=()))) == []
    more = replace(TWO.inventory, containers=(), images={"sha256:2": "more:1"})
    assert list(adoption.lacks(tmp_path, found.along, more)) == [("image", "more:1")]


def test_a_containerd_root_that_stays_is_looked_at_where_it_is(tmp_path: Path) -> None:
    found = look(make_pair(tmp_path), STAYING)
    assert found.along is not None
    assert (found.along.path, found.along.is_adopted) == (CONTAINERD.root, False)
    assert [one.id for one in adoption_checks.whole(STAYING, found)] == ["root-incomplete"]


def test_that_of_the_engines_own_containerd_is_a_part_of_the_data_root(tmp_path: Path) -> None:
    managed = replace(two(is_managed=True), roots=TWO.roots[:1])
    host = make_pair(tmp_path)
    make_store(host.path(f"/mnt/data/docker/{MANAGED_ROOT}"), "web")
    found = look(host, managed)
    assert found.along is not None
    assert (found.along.path, found.along.is_adopted) == (TARGET_FACTS.path / MANAGED_ROOT, False)
    assert list(adoption_checks.whole(managed, found)) == []


# --- what speaks against it ------------------------------------------------------------------------------------------


def ids(found: Adoptable, facts: HostFacts = TWO, *, insisted: bool = False) -> list[tuple[str, str]]:
    accepted = {ADOPT} if insisted else ()
    return [(one.id, str(one.severity)) for one in preflight.check_adoption(facts, found, accepted)]


def along(**changed: Any) -> Adoptable:
    return replace(FOUND, along=replace(ALONG, **changed))


def test_a_containerd_root_that_a_move_has_left_is_refused_even_if_insisted_on() -> None:
    """Alone, and the data root stayed: it has the record still, and an older state of what containers write."""
    assert ids(FOUND, replace(TWO, left={RootKind.IMAGE_STORE: Left.ASIDE}), insisted=True) == [("root-left", "error")]
    stays = replace(STAYING, left={RootKind.IMAGE_STORE: Left.WAY_BACK})
    assert ids(along(is_adopted=False), stays, insisted=True) == [("root-left", "error")]


@pytest.mark.parametrize("number", range(len(TWO.roots)))
def test_an_unfinished_copy_is_no_root_even_if_insisted_on(number: int) -> None:
    facts = with_target(TWO, number, unfinished=UNFINISHED_COPY)
    assert ids(FOUND, facts, insisted=True) == [("root-incomplete", "error")]


def test_traces_of_a_driver_matter_without_a_record_too() -> None:
    found = replace(FOUND, record=None, traces=frozenset({"overlay2"}))
    assert ("root-driver", "error") in ids(found, insisted=True)
    assert ("root-driver", "error") not in ids(replace(found, traces=frozenset({"vfs"})), insisted=True)


NEVER = {
    "in use": ("root-in-use", along(in_use=True)),
    "incomplete": ("root-incomplete", along(holdings=replace(HELD, incomplete=("meta.db",)))),
    "another pair's": ("roots-unrelated", along(holdings=replace(HELD, snapshots=frozenset({"other"})))),
    "another store": ("root-driver", replace(FOUND, traces=frozenset({"overlay2"}))),
}


def test_nothing_speaks_against_a_pair() -> None:
    assert ids(FOUND) == []


@pytest.mark.parametrize("insisted", [False, True])
@pytest.mark.parametrize("name", NEVER)
def test_what_cannot_work_is_refused_even_if_insisted_on(name: str, insisted: bool) -> None:
    id, found = NEVER[name]
    assert ids(found, insisted=insisted) == [(id, "error")]


@pytest.mark.parametrize("record", [None, replace(RECORD, engine_id="OTHER"), replace(RECORD, at=1.0)])
def test_a_containerd_root_without_the_same_record_is_insisted_on(record: Finished | None) -> None:
    assert ids(along(record=record)) == [("root-unmarked", "error")]
    assert ids(along(record=record), insisted=True) == [("root-unmarked", "warning")]
    assert ids(along(record=record, is_adopted=False)) == []


def test_traces_of_a_driver_do_not_matter_where_the_store_is_named() -> None:
    named = replace(TWO.config, content=b'{"features": {"containerd-snapshotter": true}}')
    assert ids(replace(FOUND, traces=frozenset({"overlay2"})), replace(TWO, config=named)) == []


# --- doing it --------------------------------------------------------------------------------------------------------


def make_world_to_adopt(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world_of_two(root, monkeypatch)
    rmtree(world.move.run.place / "back")
    for target in NEW:
        world.path(f"{target}/{UNFINISHED}").unlink()
        RECORD.write(world.path(target))
    make_root(world.path(TARGET), *world.daemon.boxes)
    made = plan.adopting(world.move.plan, "ID")
    net.spread(world.move.run, made)
    copied = tuple(Copied(frozenset(), 0.0, 0.0, identity(world.path(target))) for target in NEW)
    move = replace(world.move, plan=made, copied=copied)
    return replace(world, move=move)


def require_one_pair(world: World, code: ExitCode) -> None:
    assert code in (ExitCode.DONE, ExitCode.ROLLED_BACK)
    containerd = world.daemon.containerd
    assert containerd is not None
    assert (world.daemon.root, containerd.root) == (NEW if code is ExitCode.DONE else OLD)
    assert set(containerd.pairs) <= {OLD, NEW}
    for target in NEW:
        found = Finished.read(world.path(target))
        assert found is not None
        assert (found.at > RECORD.at) is (code is ExitCode.DONE)
        assert not world.path(f"{target}/late").exists()
    for source in (DEFAULT_ROOT, CONTAINERD_ROOT):
        assert world.path(f"{source}/late").exists()


_freeze, SWITCH, _start, VERIFY = STEPS_BACK


@pytest.mark.parametrize(
    ("failing", "after"),
    [(None, safety_net), (None, boot), (SWITCH, boot), (VERIFY, safety_net)],
    ids=["whole-net", "whole-boot", "switch-boot", "verify-net"],
)
def test_killed_at_any_point_it_ends_on_one_pair(tmp_path: Path, failing: Step | None, after: Any) -> None:
    faults = {}
    with pytest.MonkeyPatch.context() as patch:
        points = die(make_world_to_adopt(tmp_path / "all", patch), failing, -1)
    for number, point in enumerate(points):
        with pytest.MonkeyPatch.context() as patch:
            world = make_world_to_adopt(tmp_path / str(number), patch)
            die(world, failing, number)
            after(world)
            fresh = replace(world, move=replace(world.move, run=world.journal.run(world.move.run.number)))
            try:
                require_one_pair(fresh, fresh.work(steps(failing)))
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:300]
    assert faults == {}
    assert ("commit.recorded" in points) is (failing is None)
    assert "switch.guarded" in points


def test_the_plan_makes_nothing_and_marks_both() -> None:
    made = plan.adopting(make(TWO), "ID")
    assert (made.direction, [root.created for root in made.roots]) == (Direction.ADOPT, [(), ()])
    told = outline.steps(made)
    assert [line for line in told if "that the move was committed" in line] == [
        f"write {one.target}/.relocator-root: that the move was committed, for this engine, on this host"
        for one in made.roots
    ]
    assert not any("copy " in line for line in told)


# --- a root that another store is chosen on -------------------------------------------------------------------------

FRESH = replace(TWO, engine=replace(TWO.engine, version="29.7.3"), traces=frozenset())


def test_a_fresh_engine_that_takes_a_storage_driver_on_the_target_is_judged_by_that(tmp_path: Path) -> None:
    """Moved under 28, upgraded to 29, and /etc made anew: the fresh engine keeps its images in containerd."""
    host = make_host(tmp_path)
    place = make_root(host.path("/mnt/data/docker"), "web")
    ONE_RECORD.write(place)
    there = adoption.as_there(host, FRESH)
    assert (there.engine.store, there.engine.driver, sorted(there.traces)) == ("graphdriver", "overlay2", ["overlay2"])
    assert (there.containerd, [root.kind for root in there.roots]) == (None, [RootKind.DATA_ROOT])
    found = replace(look(host, there), host=("machine", "hardware"))
    assert found.along is None
    assert preflight.refuses(preflight.check_adoption(there, found)) == []
    assert plan.adopting(make(there), "ID").store == "graphdriver"


def test_where_containerd_is_named_or_more_than_one_driver_was_it_is_not(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    assert adoption.as_there(host, FRESH) is FRESH  # no root is there
    place = make_root(host.path("/mnt/data/docker"), "web")
    explicit = replace(FRESH.config, content=b'{"features": {"containerd-snapshotter": true}}')
    for other in (
        replace(FRESH, config=explicit),
        replace(FRESH, config=replace(FRESH.config, content=b"{")),
        replace(FRESH, engine=replace(FRESH.engine, version="28.5.2")),
        GOOD,
    ):
        assert (adoption.as_there(host, other) is other) is (other.engine.version != "28.5.2")
    (place / "fuse-overlayfs/l").mkdir(parents=True)
    assert adoption.as_there(host, FRESH) is FRESH

"""A whole root in the target is used as it is, when it is this engine's; otherwise it is refused, or insisted on."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from entrypoint.commands.status import text
from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import Status
from entrypoint.console.errors import ExitCode, RelocatorError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.engine.holdings import holdings
from entrypoint.engine.holdings.holdings import Holdings
from entrypoint.engine.holdings.written_since import Written
from entrypoint.engine.inventory import Inventory
from entrypoint.host.disks.filesystem import existing_ancestor
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal import finished
from entrypoint.journal.finished import Finished
from entrypoint.journal.unfinished import NAME as UNFINISHED
from entrypoint.move.roots.old_roots import old_roots
from entrypoint.move.steps import STEPS_BACK, Step
from entrypoint.plan import outline, plan
from entrypoint.plan.plan import Direction, Plan
from entrypoint.preflight import adoption, preflight
from entrypoint.preflight.adoption import ADOPT, Adoptable
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Left, RootKind
from tests.unit.move.dying.test_crash_points import Deadly, Failing, Killed, safety_net
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, make_host
from tests.unit.support.good_facts import GOOD, INVENTORY, container, with_target, working_on
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_plan, make_world

RECORD = Finished("ID", "28.5.0", "overlay2", "graphdriver", "", "machine", "hardware", 0.0)
WHOLE = Holdings("ID", {"web": "web"}, frozenset(), ())
FOUND = Adoptable(RECORD, WHOLE, (), (), ("machine", "hardware"), in_use=False)
NETWORK = "0123456789abcdef"


def make_root(root: Path, *containers: str) -> Path:
    """A root as an engine leaves it, as far as it is looked at."""
    for name in (*holdings.SIGNS, "overlay2/layer/diff", "image/overlay2/layerdb/sha256/1", "volumes/data/_data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "image/overlay2/layerdb/sha256/1/cache-id").write_text("layer")
    (root / "engine-id").write_text("ID")
    for name in containers:
        place = root / "containers" / name
        place.mkdir()
        (place / "config.v2.json").write_text(json.dumps({"Name": f"/{name}"}))
        (place / "hostconfig.json").write_text(json.dumps({"AutoRemove": name.startswith("rm-")}))
        own = root / "image/overlay2/layerdb/mounts" / name
        own.mkdir(parents=True)
        (own / "mount-id").write_text(name)
        (root / f"overlay2/{name}/diff").mkdir(parents=True)
    return root


# --- what is in the target -----------------------------------------------------------------------------------------


def test_the_files_of_a_root_tell_what_it_holds(tmp_path: Path) -> None:
    root = make_root(tmp_path, "web", "rm-job")
    assert Holdings.of(root) == Holdings("ID", {"web": "web"}, frozenset({"data"}), ())
    for name, said in {"dead": {"State": {"Dead": True}}, "others": {"Driver": "overlayfs"}, "odd": []}.items():
        (root / "containers" / name).mkdir()
        (root / "containers" / name / "config.v2.json").write_text(json.dumps(said))
    held = {"web": "web", "odd": "odd"}
    assert Holdings.of(root, driver="overlay2").containers == held
    assert Holdings.of(root).containers == {**held, "others": "others"}
    (root / "overlay2/layer/diff").rmdir()
    (root / "network").rmdir()
    assert Holdings.of(root).incomplete == ("network", "overlay2/layer/diff")


def test_what_the_engine_holds_and_a_root_does_not_is_named(tmp_path: Path) -> None:
    root = make_root(tmp_path, "web")
    held = replace(
        INVENTORY,
        containers=(container("web"), container("new"), container("job", auto_remove=True)),
        images={"sha256:1": "app:1 app:latest", "sha256:2": ""},
        volumes={"data": "local", "more": "local", "far": "nfs"},
        networks={"bridge": "bridge", NETWORK: "backend bridge"},
    )
    lacks = [("container", "new"), ("volume", "more"), ("image", "app:1"), ("network", "backend")]
    assert list(holdings.lacking(root, held)) == lacks
    (root / holdings.NETWORKS).parent.mkdir()
    (root / holdings.NETWORKS).write_bytes(b"\0network/" + NETWORK.encode())
    assert list(holdings.lacking(root, held)) == lacks[:-1]


def look(root: Path, **facts: Any) -> Adoptable | None:
    host = make_host(root)
    make_root(host.path(TARGET), "web")
    RECORD.write(host.path(TARGET))
    target = PurePosixPath(TARGET)
    held = replace(GOOD, own_images=frozenset({"sha256:1"}))
    held = working_on(with_target(held, path=target, resolved=target, **facts), PurePosixPath(DEFAULT_ROOT))
    assert existing_ancestor(host, target) == target
    log = host.path(f"{DEFAULT_ROOT}/volumes/data/_data/log")
    log.parent.mkdir(parents=True)
    log.write_text("since")
    return adoption.look(host, held)


def test_a_root_is_found_by_its_record(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert found is not None
    assert (found.record, found.lacks) == (RECORD, ())
    assert found.written == (Written("volume data", 1, 5),)
    assert adoption.is_meant(found, insisted=False)
    assert not adoption.is_meant(replace(found, record=None), insisted=False)
    assert adoption.is_meant(replace(found, record=None), insisted=True)


def test_a_directory_of_other_things_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    assert not holdings.is_root(tmp_path)
    assert not adoption.is_meant(None, insisted=False)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 99}', b'{"version": 1, "at": "never"}'])
def test_what_is_no_record_of_ours_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / finished.NAME).write_bytes(content)
    assert Finished.read(tmp_path) is None


def test_a_record_leaves_the_times_of_its_root(tmp_path: Path) -> None:
    was = tmp_path.stat().st_mtime_ns
    RECORD.write(tmp_path)
    assert Finished.read(tmp_path) == RECORD
    Finished.end(tmp_path)
    assert (list(tmp_path.iterdir()), tmp_path.stat().st_mtime_ns) == ([], was)


# --- what speaks against it ------------------------------------------------------------------------------------------


def record(**changed: Any) -> dict[str, Any]:
    return {"record": replace(RECORD, **changed)}


NEVER: dict[str, tuple[str, dict[str, Any]]] = {
    "in use": ("root-in-use", {"in_use": True}),
    "incomplete": ("root-incomplete", {"holdings": replace(WHOLE, incomplete=("image",))}),
    "newer": ("root-newer", record(engine_version="29.0.1")),
    "another driver": ("root-driver", record(driver="btrfs")),
    "in containerd": ("root-driver", record(store="containerd")),
    "remapped": ("root-remapped", record(within="100000.100000")),
}
UNLESS_INSISTED: dict[str, tuple[str, dict[str, Any]]] = {
    "no record": ("root-unknown", {"record": None}),
    "another host": ("root-of-another-host", {"host": ("elsewhere", "")}),
    "another engine": ("root-of-another-engine", record(engine_id="OTHER")),
    "a container": ("adopted-lacks", {"lacks": (("container", "new"),)}),
    "a volume": ("adopted-lacks", {"lacks": (("volume", "new"),)}),
    "writes": ("written-elsewhere", {"written": (Written("volume data", 1, 5),)}),
}
WELL: dict[str, dict[str, Any]] = {
    "an older engine": record(engine_version="20.10.5"),
    "the same hardware": {"host": ("elsewhere", "hardware")},
    "a root that does not say whose it is": {"holdings": replace(WHOLE, engine_id="")},
}


def findings(insisted: bool, found: Adoptable | None, facts: HostFacts = GOOD) -> list[tuple[str, str]]:
    accepted = {ADOPT} if insisted else ()
    return [(one.id, str(one.severity)) for one in preflight.check_adoption(facts, found, accepted)]


def test_nothing_speaks_against_a_good_one() -> None:
    assert findings(False, FOUND) == []


@pytest.mark.parametrize("name", WELL)
def test_what_may_differ_is_adopted(name: str) -> None:
    assert findings(False, replace(FOUND, **WELL[name])) == []


@pytest.mark.parametrize("insisted", [False, True])
@pytest.mark.parametrize("name", NEVER)
def test_what_cannot_work_is_refused_even_if_insisted_on(name: str, insisted: bool) -> None:
    id, changed = NEVER[name]
    assert findings(insisted, replace(FOUND, **changed)) == [(id, "error")]


@pytest.mark.parametrize("insisted", [False, True])
def test_a_root_that_a_move_has_left_is_refused_even_if_insisted_on(insisted: bool) -> None:
    facts = replace(GOOD, left={RootKind.DATA_ROOT: Left.WAY_BACK})
    assert findings(insisted, FOUND, facts) == [("root-left", "error")]


@pytest.mark.parametrize("name", UNLESS_INSISTED)
def test_what_a_person_may_know_better_is_refused_unless_insisted_on(name: str) -> None:
    id, changed = UNLESS_INSISTED[name]
    assert findings(False, replace(FOUND, **changed)) == [(id, "error")]
    assert findings(True, replace(FOUND, **changed)) == [(id, "warning")]


def test_images_can_be_fetched_again_and_are_only_named() -> None:
    assert findings(False, replace(FOUND, lacks=(("image", "app:1"),))) == [("adopted-lacks", "warning")]


def test_an_empty_target_is_not_adopted() -> None:
    assert findings(True, None) == [("nothing-to-adopt", "error")]


def test_what_any_move_needs_is_asked_too() -> None:
    facts = replace(GOOD, engine=replace(GOOD.engine, live_restore=True))
    assert findings(True, FOUND, facts) == [("live-restore", "warning")]


# --- doing it --------------------------------------------------------------------------------------------------------


def make_world_to_adopt(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A fresh engine with nothing of its own, and a whole root with three containers in the target."""
    world = make_world(root, monkeypatch)
    world.path(f"{TARGET}/{UNFINISHED}").unlink()
    make_root(world.path(TARGET), *world.daemon.boxes)
    RECORD.write(world.path(TARGET))
    kept, start = dict(world.daemon.boxes), world.daemon.start
    world.daemon.boxes.clear()

    def start_with_what_the_root_holds() -> None:
        start()
        world.daemon.boxes = dict(kept) if world.daemon.root == TARGET else {}

    world.daemon.start = start_with_what_the_root_holds  # type: ignore[method-assign]
    made = plan.adopting(make_plan(), "ID")
    copied = Copied(frozenset(), 0.0, 0.0, identity(world.path(TARGET)))
    return replace(world, move=replace(world.move, plan=made, copied=(copied,)))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world_to_adopt(tmp_path, monkeypatch)


def require_adopted(world: World) -> None:
    assert world.outcome["outcome"] == "committed"
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)
    assert world.path(CONFIG).read_bytes() == world.move.plan.first.switch.after
    assert world.path(DROP_IN).exists()


def require_fresh(world: World) -> None:
    assert world.outcome["outcome"] == "rolled-back"
    assert (world.daemon.up, world.daemon.root) == (True, DEFAULT_ROOT)
    assert world.path(CONFIG).read_bytes() == CONTENT
    assert not world.path(DROP_IN).exists()
    assert Finished.read(world.path(TARGET)) == RECORD


def require_the_data(world: World) -> None:
    """Whatever happens, nothing of the root is removed, and nothing is copied into it."""
    assert Holdings.of(world.path(TARGET)).containers.keys() == {"no", "always", "unless-stopped"}
    assert not world.path(f"{TARGET}/late").exists()
    assert world.path(f"{DEFAULT_ROOT}/late").exists()


def test_the_engine_is_pointed_at_the_root_and_nothing_is_copied(world: World) -> None:
    assert world.work() is ExitCode.DONE
    require_adopted(world)
    require_the_data(world)
    now = Finished.read(world.path(TARGET))
    assert now is not None
    assert now.at > RECORD.at
    assert world.daemon.boxes.keys() == {"no", "always", "unless-stopped"}


def test_the_status_of_an_adoption_offers_no_removal_of_what_was_not_copied() -> None:
    told = text.text(Status(State.COMMITTED, "000001", "/fresh", "/data", Direction.ADOPT, "kept"))
    assert "is /data, which was there already" in told
    assert "cleanup" not in told


def test_what_an_adoption_has_left_is_never_cleaned_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.move.run.save_plan({"plan": to_json(world.move.plan)})
    world.work()
    monkeypatch.setattr("entrypoint.move.roots.old_roots.is_same_directory", lambda *_: True)
    assert old_roots(world.host, world.journal) == ()


@pytest.mark.parametrize("lost", ["container", "volume"])
def test_an_engine_that_does_not_load_what_the_root_holds_is_taken_back(world: World, lost: str) -> None:
    start = world.daemon.start

    def start_without() -> None:
        start()
        if lost == "container":
            world.daemon.boxes.pop("always", None)
        else:
            world.daemon.volumes.pop("data", None)

    world.daemon.start = start_without  # type: ignore[method-assign]
    before = from_json(Inventory, {**to_json(INVENTORY), "containers": [], "images": {}, "networks": {}, "volumes": {}})
    world.calls.moments["stop"] = lambda: world.move.run.save_inventory(to_json(before))
    assert world.work() is ExitCode.ROLLED_BACK
    assert lost in world.outcome["reason"]
    require_fresh(world)
    require_the_data(world)


def steps(failing: Step | None) -> list[Step]:
    return [Failing(one) if one is failing else one for one in STEPS_BACK]


def die(world: World, failing: Step | None, at: int) -> list[str]:
    world.daemon.serves = failing is None  # where it is to go back, nobody has written on the target
    deadly = Deadly(at)
    with pytest.MonkeyPatch.context() as inner:
        deadly.install(inner, world)
        with suppress(Killed):
            world.work(steps(failing))
    return deadly.passed


@pytest.mark.parametrize("failing", [None, *STEPS_BACK], ids=lambda step: step.name if step else "none")
def test_killed_at_any_point_and_started_again_it_ends_on_one_root(tmp_path: Path, failing: Step | None) -> None:
    faults = {}
    with pytest.MonkeyPatch.context() as patch:
        points = die(make_world_to_adopt(tmp_path / "all", patch), failing, -1)
    for number, point in enumerate(points):
        with pytest.MonkeyPatch.context() as patch:
            world = make_world_to_adopt(tmp_path / str(number), patch)
            die(world, failing, number)
            safety_net(world)
            fresh = replace(world, move=replace(world.move, run=world.journal.run(world.move.run.number)))
            try:
                done = fresh.work(steps(failing)) is ExitCode.DONE
                (require_adopted if done else require_fresh)(fresh)
                require_the_data(fresh)
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:300]
    assert faults == {}
    assert ("commit.recorded" in points) is (failing is None)


def test_the_plan_says_that_nothing_is_copied(world: World) -> None:
    made = world.move.plan
    assert (made.direction, made.target_engine_id, made.first.created) == (Direction.ADOPT, "ID", ())
    assert from_json(Plan, to_json(made)) == made
    assert not any("copy " in line for line in outline.steps(made))
    assert "what is in the adopted root" in outline.steps(made)[7]

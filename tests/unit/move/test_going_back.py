"""Going back as a command: killed at any instant and started again, it ends wholly on the old root or on the new."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands import rollback
from entrypoint.console.errors import ExitCode, RelocatorError
from entrypoint.console.findings import Severity
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.engine.inventory import Inventory, Status
from entrypoint.host.disks.filesystem import birth
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal import finished
from entrypoint.journal.record import Event
from entrypoint.move.location import is_switched
from entrypoint.move.proof import intact
from entrypoint.move.steps import STEPS_BACK
from entrypoint.plan import outline
from entrypoint.plan.plan import Direction, Plan
from entrypoint.preflight.asked import OF_WAY_BACK
from entrypoint.preflight.checks import way_back
from entrypoint.preflight.roots import RootKind
from entrypoint.settings.edits import content
from entrypoint.settings.file_edit import FileEdit
from tests.unit.move.dying.test_crash_points import Deadly, Failing, Killed, safety_net
from tests.unit.support.bolt_file import make_store
from tests.unit.support.data_root import write
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.support.good_facts import GOOD, TWO, config, container, working_on
from tests.unit.support.world import CONTENT, DROP_IN, OTHER_RULE, RULE, RULES, TARGET, World, make_world, with_first


def make_world_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A host whose engine was moved, got one more container there, and is about to be taken back."""
    world = make_world(root, monkeypatch)
    assert world.work() is ExitCode.DONE
    made, moved = world.move.plan, world.move.run
    world.daemon.add("since")
    named = config(content=b'{"storage-driver": "overlay2"}')  # the roots here are without any layers
    plan = rollback.plan_back(named, made, lambda edit: content(world.path(edit.path)))
    run = world.journal.begin()
    run.save_inventory(moved.inventory() or {}, "expected")
    copied = Copied(frozenset(), 0.0, 0.0, identity(world.path(DEFAULT_ROOT)))
    world.calls.made.clear()
    back = replace(world, move=replace(world.move, run=run, plan=plan, copied=(copied,)))
    forget_since(back)
    return back.serving_nobody()


def forget_since(world: World) -> None:
    """The old root knows nothing of what was made on the new one."""
    start = world.daemon.start

    def start_on_its_root() -> None:
        start()
        if world.daemon.root == DEFAULT_ROOT:
            world.daemon.boxes.pop("since", None)
        elif "since" not in world.daemon.boxes:
            world.daemon.add("since", Status.EXITED)

    world.daemon.start = start_on_its_root  # type: ignore[method-assign]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world_back(tmp_path, monkeypatch)


def require_back(world: World) -> None:
    assert world.outcome["outcome"] == "committed"
    assert not world.path(f"{TARGET}/{finished.NAME}").exists()
    assert (world.daemon.up, world.daemon.root) == (True, DEFAULT_ROOT)
    assert world.path(CONFIG).read_bytes() == CONTENT
    assert not world.path(DROP_IN).exists()
    assert not world.path(DROP_IN).parent.exists()
    assert world.path(RULES).read_bytes() == OTHER_RULE


def require_still_there(world: World) -> None:
    assert world.outcome["outcome"] == "rolled-back"
    assert world.outcome["left"] == ""
    assert world.path(f"{TARGET}/{finished.NAME}").exists()
    assert (world.daemon.up, world.daemon.root) == (True, TARGET)
    assert world.path(CONFIG).read_bytes() == world.move.plan.first.switch.before
    assert world.path(DROP_IN).read_bytes() == world.move.plan.ordering.before
    assert world.path(RULES).read_bytes() == OTHER_RULE + RULE
    assert world.daemon.boxes["since"].container.status is Status.RUNNING


def require_both_roots(world: World) -> None:
    """Neither root is ever removed, whatever happens."""
    assert {place.name for place in world.path(DEFAULT_ROOT).iterdir()} == {"early", "late"}
    assert {place.name for place in world.path(TARGET).iterdir()} - {finished.NAME} == {"early", "late"}


def test_the_engine_runs_on_the_old_root_again_with_all_that_it_held(world: World) -> None:
    assert world.work() is ExitCode.DONE
    require_back(world)
    require_both_roots(world)
    assert {box.container.status for box in world.daemon.boxes.values()} == {"running"}
    assert "since" not in world.daemon.boxes
    assert [call for call in world.calls.made if call[0] == "final_sync"] == []


@pytest.mark.parametrize("step", STEPS_BACK, ids=[step.name for step in STEPS_BACK])
def test_a_way_back_that_fails_leaves_the_engine_where_it_was(world: World, step: object) -> None:
    steps = [Failing(one) if one is step else one for one in STEPS_BACK]
    assert world.work(steps) is ExitCode.ROLLED_BACK
    require_still_there(world)
    require_both_roots(world)


def test_an_old_root_that_lacks_something_is_left_again(world: World) -> None:
    world.daemon.forgets_images_on = DEFAULT_ROOT
    images = dict(world.daemon.images)
    world.calls.moments["reload"] = lambda: None
    start = world.daemon.start

    def start_with_images() -> None:
        start()
        if world.daemon.root != DEFAULT_ROOT:
            world.daemon.images = dict(images)

    world.daemon.start = start_with_images  # type: ignore[method-assign]
    assert world.work() is ExitCode.ROLLED_BACK
    assert "image" in world.outcome["reason"]
    require_still_there(world)


def points_of(folder: Path, failing: bool) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        return die(make_world_back(folder, patch), failing, patch, -1).passed


def steps(failing: bool) -> list[object]:
    return [*STEPS_BACK[:-1], Failing(STEPS_BACK[-1])] if failing else list(STEPS_BACK)


def die(world: World, failing: bool, patch: pytest.MonkeyPatch, at: int) -> Deadly:
    deadly = Deadly(at)
    with pytest.MonkeyPatch.context() as inner:
        deadly.install(inner, world)
        with suppress(Killed):
            world.work(steps(failing))  # type: ignore[arg-type]
    return deadly


@pytest.mark.parametrize("failing", [False, True])
def test_killed_at_any_point_and_started_again_it_ends_whole(tmp_path: Path, failing: bool) -> None:
    faults = {}
    points = points_of(tmp_path / "all", failing)
    for number, point in enumerate(points):
        with pytest.MonkeyPatch.context() as patch:
            world = make_world_back(tmp_path / str(number), patch)
            die(world, failing, patch, number)
            safety_net(world)
            fresh = replace(world, move=replace(world.move, run=world.journal.run(world.move.run.number)))
            try:
                (require_back if fresh.work(steps(failing)) is ExitCode.DONE else require_still_there)(fresh)  # type: ignore[arg-type]
                require_both_roots(fresh)
            except (AssertionError, OSError, KeyError, RelocatorError) as fault:
                faults[f"{number} {point}"] = str(fault)[:300]
    assert faults == {}
    assert "freeze.stopped" in points
    assert ("commit.recorded" in points) is not failing


# --- the plan ------------------------------------------------------------------------------------------------------


def planned(world: World) -> Plan:
    return world.move.plan


def test_the_plan_is_the_moves_own_turned_round(world: World) -> None:
    plan = planned(world)
    assert (plan.first.source, plan.first.target, plan.direction) == (TARGET, DEFAULT_ROOT, Direction.BACK)
    assert (plan.first.switch.after, plan.ordering.after, plan.first.created) == (CONTENT, None, ())
    assert (plan.units, plan.started) == ((SOCKET, SERVICE), (SOCKET, SERVICE))
    assert plan == from_json(Plan, to_json(plan))
    assert not any("copy" in line for line in outline.steps(plan))
    assert RULES in outline.steps(plan)[2]
    assert f"remove {DROP_IN}" in outline.steps(plan)[3]


def test_the_way_back_of_a_move_that_was_held_is_not_held(moved: World) -> None:
    """A worker would wait for a word that nobody knows of."""
    held = replace(moved.move.plan, holds=True)
    plan = rollback.plan_back(GOOD, held, lambda edit: edit.after)
    assert not plan.holds


def test_a_configuration_without_a_root_leads_back(world: World) -> None:
    assert not is_switched(world.move)
    world.path(CONFIG).write_bytes(CONTENT)
    assert is_switched(world.move)
    world.path(CONFIG).unlink()
    assert is_switched(world.move)


@pytest.mark.parametrize("content", [b'{"data-root": "/another"}', b"{", b"\xff"])
def test_a_configuration_that_names_another_root_or_cannot_be_read_does_not_lead_back(
    world: World, content: bytes
) -> None:
    world.path(CONFIG).write_bytes(content)
    assert not is_switched(world.move)


@pytest.mark.parametrize(
    ("before", "now", "then"),
    [
        (b'{"a": 1}', b'{"a": 1, "data-root": "/new"}', b'{"a": 1}'),
        (None, b'{"a": 1, "data-root": "/new"}', None),
        (b'{"a": 1}', b'{"a": 2, "data-root": "/new", "b": 3}', b'{"a": 2, "b": 3}'),
        (None, b'{"data-root": "/new", "b": 3}', b'{"b": 3}'),
        (b'{"data-root": "/old"}', b'{"data-root": "/new", "b": 3}', b'{"data-root": "/old", "b": 3}'),
        (b'{"a": 1}', None, b'{"a": 1}'),
    ],
)
def test_what_others_have_written_since_the_move_stays(
    before: bytes | None, now: bytes | None, then: bytes | None
) -> None:
    edit = FileEdit(CONFIG, before, b'{"a": 1, "data-root": "/new"}')
    assert rollback.taken_back(edit, now) == then


# --- what refuses it -----------------------------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A host after a move, with the old root's identity in the plan."""
    world = make_world(tmp_path, monkeypatch)
    world.move.run.begun(boot="another")
    assert world.work() is ExitCode.DONE
    return world


def findings(
    world: World, volumes: dict[str, str] | None = None, version: str = GOOD.engine.version, **facts: object
) -> list[str]:
    """By other `facts` of the root that has moved."""
    known = identity(world.path(DEFAULT_ROOT))
    plan = with_first(world.move.plan, identity=known, born=birth(world.path(DEFAULT_ROOT)))
    plan = with_first(replace(plan, engine_version=version), **facts)
    held = world.move.run.inventory() or {}
    for name in ("inventory", "left"):
        world.move.run.save_inventory({**held, "containers": [], "volumes": volumes or {}, "images": {}}, name)
    seen, left = working_on(GOOD, PurePosixPath(TARGET)), rollback.left_by(world.host, world.move.run, plan)
    return [finding.id for check in OF_WAY_BACK for finding in check(seen, left)]


def test_an_old_root_as_it_was_left_speaks_against_nothing(moved: World) -> None:
    assert findings(moved) == []


def test_an_old_root_that_is_another_directory_is_not_gone_back_to(moved: World) -> None:
    assert findings(moved, identity=(1, 2)) == ["old-root-gone"]
    moved.path(DEFAULT_ROOT).rename(moved.path("/srv/elsewhere"))
    moved.path(DEFAULT_ROOT).symlink_to("elsewhere")
    assert findings(moved) == ["old-root-gone"]


def test_an_old_root_whose_removal_was_begun_is_not_gone_back_to(moved: World) -> None:
    moved.move.run.append(Event.CLEANUP)
    assert findings(moved) == ["old-root-removed"]


def test_an_old_root_without_a_volume_that_it_held_is_not_gone_back_to(moved: World) -> None:
    assert findings(moved, volumes={"data": "local"}) == ["old-root-incomplete"]


def test_an_engine_that_is_elsewhere_by_now_is_not_taken_back(moved: World) -> None:
    assert findings(moved, target="/elsewhere") == ["root-differs"]


def test_an_engine_of_another_version_is_warned_of(moved: World) -> None:
    assert findings(moved, version="17.05") == ["engine-version"]


def test_a_root_that_is_set_elsewhere_by_now_is_not_taken_back(moved: World) -> None:
    switch = replace(moved.move.plan.first.switch, path="/etc/elsewhere.json")
    assert findings(moved, switch=switch) == ["setting-moved"]


def test_what_was_changed_in_the_old_root_since_is_told(moved: World) -> None:
    left = intact.left_at(moved.move.run)
    place = moved.path(f"{DEFAULT_ROOT}/volumes/data/_data/file")
    place.parent.mkdir(parents=True)
    assert findings(moved) == ["old-root-changed"]
    place.touch()
    for path in (place, *place.parents):
        os.utime(path)
    linked = moved.path(f"{DEFAULT_ROOT}/overlay2/layer/diff/file")
    linked.parent.mkdir(parents=True)
    linked.touch()
    changed = intact.changed_since(moved.path(DEFAULT_ROOT), left)
    assert "volumes/data/_data/file" in changed
    assert "overlay2/layer/diff/file" not in changed
    assert intact.changed_since(moved.path(DEFAULT_ROOT), left + 1000) == ()


@pytest.mark.parametrize(("direction", "step", "outcome", "told"), [
    ("back", "start", "rolled-back", True), ("back", "start", "rollback-failed", True),
    ("back", "switch", "rolled-back", False), ("forth", "start", "rolled-back", False),
    ("back", "start", "committed", False),
])  # fmt: skip
def test_it_is_said_if_it_was_a_way_back_of_ours_that_has_changed_the_old_root(
    moved: World, direction: str, step: str, outcome: str, told: bool
) -> None:
    later = moved.journal.begin()
    later.begun(direction=direction)
    later.append(Event.INTENT, step=step)
    later.append(Event.OUTCOME, outcome=outcome)
    undone = rollback.undone_since(moved.journal, moved.move.run)
    assert undone == ((later.number,) if told else ())
    left = replace(rollback.left_by(moved.host, moved.move.run, moved.move.plan), gone="", lacking=(),
                   changed={"/old": ("engine-id",)}, undone=undone)  # fmt: skip
    (found,) = way_back.as_left(GOOD, left)
    assert (f"a way back that failed and was undone: run {later.number}." in found.detail) is told


def test_a_run_that_another_has_finished_has_a_start_all_the_same(moved: World) -> None:
    run = moved.journal.begin()
    run.begun()
    assert intact.started_at(run) == run.records()[0]["at"]
    run.append(Event.INTENT, step="switch")
    assert intact.started_at(run) == run.records()[1]["at"]


def test_what_the_old_root_lacks_is_named(moved: World) -> None:
    held = from_json(Inventory, moved.move.run.inventory() or {})
    moved.move.run.save_inventory(to_json(held), "left")  # no file of a container was there in this world
    lacking = list(intact.lacks(moved.host, moved.move.run, moved.move.plan))
    gone = "volume data has no directory (volumes/data)"
    assert gone in lacking
    assert len(lacking) == 2 * len(held.containers) + len(held.volumes) + len(held.images)  # a record, and a layer
    moved.path(f"{DEFAULT_ROOT}/volumes/data/_data").mkdir(parents=True)
    assert gone not in intact.lacks(moved.host, moved.move.run, moved.move.plan)


def test_what_was_removed_from_an_images_root_that_both_use_is_told_and_not_expected(moved: World) -> None:
    """Engine 29.5 and later would list the container, and start nothing."""
    made = replace(moved.move.plan, store="containerd", stays={RootKind.IMAGE_STORE: "/srv/images"})
    make_store(moved.path("/srv/images"), "web")
    boxes = (container("web"), container("stopped"))
    for box in boxes:
        write(moved.path(f"{DEFAULT_ROOT}/containers/{box.id}/config.v2.json"))
    held = replace(TWO.inventory, containers=boxes, images={"sha256:1": "app:1", "sha256:2": "old:1"})
    for name in ("inventory", "left"):
        moved.move.run.save_inventory(to_json(held), name)
    (found,) = way_back.gone_since(TWO, rollback.left_by(moved.host, moved.move.run, made))
    assert (found.id, found.severity) == ("gone-since", Severity.WARNING)
    assert "container stopped has no snapshot; image old:1 has no record" in found.detail
    gone = intact.gone_since(moved.host, moved.move.run, made)
    wanted = from_json(Inventory, rollback.expected(TWO, moved.move.run, made, gone))
    assert ([one.name for one in wanted.containers], wanted.images) == (["web"], TWO.inventory.images)
    left = rollback.left_by(moved.host, moved.move.run, replace(made, stays={}))
    assert list(way_back.gone_since(TWO, left)) == []

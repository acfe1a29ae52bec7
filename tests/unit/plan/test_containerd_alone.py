"""containerd's root moves alone: what is asked of it, what is planned, and what its way back needs."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands import rollback
from entrypoint.commands.status import status, text
from entrypoint.commands.status.state import State
from entrypoint.console.errors import MoveError, UsageError
from entrypoint.engine.holdings import written_since
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.host import Host
from entrypoint.host.selinux import SELinux
from entrypoint.host.services import waking
from entrypoint.host.services.ordering import IMAGES, Guarded, guarded, ordering_drop_in
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event
from entrypoint.move.roots import old_roots
from entrypoint.move.switch import paired_switch
from entrypoint.plan import outline, outlook
from entrypoint.plan.outlook import rows
from entrypoint.plan.plan import Direction, Plan
from entrypoint.preflight import preflight
from entrypoint.preflight.adoption import look
from entrypoint.preflight.checks import way_back
from entrypoint.preflight.checks.way_back import WayBack
from entrypoint.preflight.edits import engine as edits
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.request import Only, Request
from entrypoint.preflight.roots import RootKind
from tests.unit.support.fakes import CONTAINERD_ROOT
from tests.unit.support.good_facts import (
    ALONE,
    CONTAINERD,
    DROP_IN,
    GOOD,
    INVENTORY,
    SOURCE,
    STAYING,
    TARGET,
    TWO,
    container,
    make,
    mount,
    with_source,
    with_target,
)
from tests.unit.support.world import make_world_alone, with_first

DATA, STORE, NEW = PurePosixPath("/var/lib/docker"), PurePosixPath("/var/lib/containerd"), "/mnt/data/containerd"


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in preflight.check(facts)]


def test_a_good_root_that_moves_alone_has_no_finding() -> None:
    assert ids(ALONE) == []
    assert not preflight.is_already_there(ALONE)


def to(**facts: object) -> HostFacts:
    return with_target(ALONE, **facts)


GRAPHDRIVER = b'{"features": {"containerd-snapshotter": false}}'
TASK = replace(container("web.1"), service="web")


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        ("containerd-no-root", replace(ALONE, containerd=None, roots=())),
        ("containerd-no-root", replace(ALONE, containerd=replace(CONTAINERD, is_managed=True), roots=())),
        ("containerd-users", replace(ALONE, containerd=replace(CONTAINERD, users=("k8s.io",)))),
        ("containerd-target-nested", to(resolved=DATA / "containerd")),
        ("containerd-tasks", replace(ALONE, inventory=replace(INVENTORY, containers=(TASK,)))),
        ("target-not-empty", to(exists=True, is_directory=True, content=("a",))),
        ("target-space", to(space=replace(TARGET.space, free=1))),
        ("same-file-system", to(mount=SOURCE.mount, space=TARGET.space)),
        ("mount-not-in-fstab", to(mount=mount("/mnt/other", "8:33"))),
        ("configured-root-differs", replace(ALONE, configured_root=PurePosixPath("/elsewhere"))),
        ("config-read-only", replace(ALONE, drop_in=replace(DROP_IN, writable=False))),
        ("subvolume", with_source(ALONE, subvolumes=("a",))),
        ("store-pending", replace(ALONE, config=replace(ALONE.config, content=GRAPHDRIVER))),
    ],
)  # fmt: skip
def test_a_fault_is_found(expected: str, facts: HostFacts) -> None:
    assert ids(facts) == [expected]


def test_a_setting_of_the_data_root_that_cannot_be_edited_is_not_asked_about() -> None:
    config = replace(ALONE.config, path=PurePosixPath("/usr/lib/docker/daemon.json"), writable=False)
    assert ids(replace(ALONE, config=config)) == []


def test_it_is_there_already_when_containerd_works_in_the_target() -> None:
    assert preflight.is_already_there(with_source(ALONE, path=PurePosixPath(NEW)))


def test_the_plan_moves_one_root_and_edits_one_file_that_names_it() -> None:
    plan = make(ALONE)
    assert from_json(Plan, to_json(plan)) == plan
    assert [(one.source, one.target) for one in plan.roots] == [(str(STORE), NEW)]
    assert [plan.data_root(is_target=is_target) for is_target in (False, True)] == [str(DATA), str(DATA)]
    assert plan.every_unit == ("docker.socket", "docker.service", "containerd.service")
    assert plan.first.switch.path == "/etc/containerd/config.toml"
    assert [edit.path for edit in plan.edits] == [
        *(edit.path for edit in plan.waking), plan.ordering.path, str(CONTAINERD.drop_in.path),
        *(edit.path for edit in plan.listening), plan.first.switch.path
    ]  # fmt: skip
    told = "\n".join(outline.steps(plan))
    assert f"from here on containerd's root is {NEW}" in told
    assert f"leave {STORE} as it is" in told
    assert "daemon.json" not in told


def test_the_figures_are_those_of_the_root_that_moves() -> None:
    plan = make(ALONE)
    assert rows(plan, ALONE)["source"].startswith(f"{STORE} on")
    document = outlook.to_json(plan, ALONE, ())
    assert (document["only"], document["containerd"], document["target"]["path"]) == ("containerd", None, NEW)


def test_selinux_treats_it_as_containerds_root() -> None:
    rules = HostFile(PurePosixPath("/etc/selinux/subs"), b"", True, True, PurePosixPath("/etc/selinux"))
    [rule] = make(replace(ALONE, selinux=SELinux(True, b"", rules))).rules
    assert rule.after == f"{NEW} /var/lib/containerd\n".encode()


# --- what waits for which disk ---------------------------------------------------------------------------------------

BOTH, IMAGES_ONLY = ordering_drop_in(DATA, STORE), ordering_drop_in(STORE, what=IMAGES)
NEXT = PurePosixPath("/mnt/data/docker")


@pytest.mark.parametrize(
    ("facts", "there", "before", "after"),
    [
        (ALONE, None, None, ordering_drop_in(PurePosixPath(NEW), what=IMAGES)),
        (ALONE, b"a leftover", None, ordering_drop_in(PurePosixPath(NEW), what=IMAGES)),
        (ALONE, IMAGES_ONLY, IMAGES_ONLY, ordering_drop_in(PurePosixPath(NEW), what=IMAGES)),
        (ALONE, ordering_drop_in(DATA), ordering_drop_in(DATA), ordering_drop_in(DATA, PurePosixPath(NEW))),
        (ALONE, BOTH, BOTH, ordering_drop_in(DATA, PurePosixPath(NEW))),
        (STAYING, BOTH, BOTH, ordering_drop_in(NEXT, STORE)),
        (STAYING, IMAGES_ONLY, IMAGES_ONLY, ordering_drop_in(NEXT, STORE)),
        (STAYING, ordering_drop_in(DATA), ordering_drop_in(DATA), ordering_drop_in(NEXT)),
        (STAYING, None, None, ordering_drop_in(NEXT)),
        (TWO, ordering_drop_in(DATA), ordering_drop_in(DATA), ordering_drop_in(NEXT, PurePosixPath(NEW))),
    ],
)
def test_a_root_that_stays_is_waited_for_as_before(
    facts: HostFacts, there: bytes | None, before: bytes | None, after: bytes
) -> None:
    found = replace(facts, drop_in=replace(DROP_IN, content=there))
    edit, [listening] = edits.ordering_edit(found), edits.listening_edits(found)
    assert (edit.before, edit.after) == (before, after)
    assert roots_in(listening.after) == roots_in(after)


def roots_in(content: bytes | None) -> list[bytes]:
    return [line for line in (content or b"").splitlines() if line.startswith(b"RequiresMountsFor=")]


def test_a_drop_in_of_somebody_else_guards_nothing() -> None:
    assert guarded(b"[Unit]\n", DATA, STORE) == guarded(None, DATA, None) == Guarded()


def test_a_disk_of_a_root_that_stays_goes_on_to_wake_the_engine() -> None:
    point = PurePosixPath("/mnt/other")
    data_root = point / "docker"
    facts = replace(ALONE, engine=replace(ALONE.engine, data_root=data_root),
                    mounts=(*ALONE.mounts, mount(str(point), "8:33")))  # fmt: skip
    files = [HostFile(PurePosixPath(path), b"ours", True, True, PurePosixPath("/etc"))
             for path in waking.places(point, PurePosixPath("/mnt/data"))]  # fmt: skip
    made = {edit.path: edit.after for edit in edits.waking_edits(replace(facts, waking=tuple(files)))}
    assert made[waking.drop_in(point)] == waking.WANTS
    assert f"ConditionPathIsMountPoint={point}".encode() in (made[waking.UNIT] or b"")
    absent = tuple(replace(one, content=None) for one in files)
    made = {edit.path: edit.after for edit in edits.waking_edits(replace(facts, waking=absent))}
    assert waking.drop_in(point) not in made


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_target_is_containerds() -> None:
    assert Request.of("/new", only=Only.CONTAINERD) == Request(PurePosixPath("/new"), None, Only.CONTAINERD)


@pytest.mark.parametrize("words", [{"containerd": "/a"}, {"adopts": True}])
def test_what_has_no_meaning_with_it_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Request.of("/new", only=Only.CONTAINERD, **words)  # type: ignore[arg-type]


def test_the_status_says_which_root_has_moved(tmp_path: Path) -> None:
    journal = Journal(Host(tmp_path))
    journal.prepare()
    run = journal.begin()
    run.begun(source=str(STORE), target=NEW, direction=Direction.FORTH, only=Only.CONTAINERD)
    found = status.of_run(run, busy=False)
    assert (found.only, found.to_json()["only"]) == (Only.CONTAINERD, "containerd")
    committed = replace(found, state=State.COMMITTED)
    assert f"containerd's root was moved from {STORE} to {NEW}" in text.text(committed)
    assert f"containerd works on {STORE}, as before" in text.text(replace(found, state=State.ROLLED_BACK))
    assert "containerd config dump" in text.text(replace(found, state=State.CUT_OFF))


def test_no_root_is_looked_for_to_be_adopted(tmp_path: Path) -> None:
    assert look(Host(tmp_path), ALONE) is None


def test_what_its_removal_gives_back_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    world.move.run.save_plan({"plan": to_json(with_first(world.move.plan, size=7))})
    assert old_roots.frees(world.move.run) == 7


# --- the way back ----------------------------------------------------------------------------------------------------


def test_containers_that_were_made_since_refuse_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    made, run = world.move.plan, world.move.run
    run.save_inventory(to_json(INVENTORY))
    new = replace(ALONE, inventory=replace(INVENTORY, containers=(*INVENTORY.containers, container("since"))))
    left = rollback.left_by(world.host, run, made)
    [finding] = way_back.since(new, left)
    assert (finding.id, "since" in finding.detail) == ("containers-since", True)
    going = replace(INVENTORY, containers=(container("once", auto_remove=True), *INVENTORY.containers))
    for held in (INVENTORY, going):
        assert list(way_back.since(replace(ALONE, inventory=held), left)) == []
    assert list(way_back.since(new, rollback.left_by(world.host, run, replace(made, stays={})))) == []


def test_what_was_removed_is_named_and_not_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    world.move.run.append(Event.CLEANUP, root=CONTAINERD_ROOT)
    left = rollback.left_by(world.host, world.move.run, world.move.plan)
    found = {one.id: one.detail for one in way_back.as_left(ALONE, left)}
    assert found["old-root-removed"] == f"{CONTAINERD_ROOT}, by `relocator cleanup`."


def test_one_that_is_made_during_the_way_back_ends_it_before_the_engine_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    back = replace(world.move, plan=replace(world.move.plan, direction=Direction.BACK))
    back.run.save_inventory(to_json(INVENTORY), "expected")
    paired_switch.require_none_made(back, INVENTORY)
    with pytest.raises(MoveError, match="made meanwhile"):
        paired_switch.require_none_made(back, replace(INVENTORY, containers=(container("since"),)))


def test_what_is_expected_then_is_what_the_data_root_holds_with_the_images_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world_alone(tmp_path, monkeypatch)
    world.move.run.save_inventory(to_json(replace(INVENTORY, images={"sha256:0": "old:1"})))
    now = replace(ALONE, inventory=replace(INVENTORY, volumes={"since": "local"}))
    expected = rollback.expected(now, world.move.run, world.move.plan)
    assert (expected["images"], expected["volumes"]) == ({"sha256:0": "old:1"}, {"since": "local"})


def test_only_images_are_lost_and_what_was_written_outside_volumes(tmp_path: Path) -> None:
    (tmp_path / "volumes/kept/_data").mkdir(parents=True)
    (tmp_path / "volumes/kept/_data/file").touch()
    now = replace(INVENTORY, images={"sha256:2": "new:1"}, volumes={"since": "local"})
    found = written_since.between(INVENTORY, now, tmp_path, 0.0, tmp_path / "store", alone=True)
    assert (found.made, found.removed, found.written) == (("image new:1",), ("image app:1",), ())


def test_a_way_back_of_one_root_leaves_the_file_of_the_other() -> None:
    made = make(ALONE)
    there = replace(ALONE, containerd=replace(CONTAINERD, root=PurePosixPath(NEW)))
    back = rollback.plan_back(there, made, lambda edit: edit.after)
    assert (back.stays, back.direction) == ({RootKind.DATA_ROOT: str(DATA)}, Direction.BACK)
    assert [(one.source, one.target) for one in back.roots] == [(NEW, str(STORE))]
    assert (back.first.switch.before, back.first.switch.after) == (made.first.switch.after, made.first.switch.before)
    assert back.is_target(None)


def test_an_engine_without_it_is_what_it_was() -> None:
    assert (GOOD.stays, TWO.stays) == ({}, {})
    assert STAYING.stays == {RootKind.IMAGE_STORE: STORE}
    assert ALONE.stays == {RootKind.DATA_ROOT: DATA}


def test_an_engine_that_keeps_its_images_elsewhere_by_now_does_not_go_back() -> None:
    left = WayBack("000001", "/var/lib/docker", "/mnt/data/docker", "/var/lib/docker", "29.7.3",
                   kept=("graphdriver", "overlay2"))  # fmt: skip
    assert list(way_back.store(GOOD, left)) == []
    migrated = replace(GOOD, engine=replace(GOOD.engine, store="containerd", driver="overlayfs"))
    [finding] = way_back.store(migrated, left)
    assert (finding.id, "overlay2 (graphdriver)" in finding.detail) == ("store-since", True)

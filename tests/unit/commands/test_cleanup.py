"""Which old roots may be removed, what speaks against it, and what is left when it is cut off."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands import cleanup
from entrypoint.console.errors import Interrupted, JournalError, RollbackError
from entrypoint.console.events import Phase, log
from entrypoint.console.findings import Severity
from entrypoint.engine.holdings.in_use import is_in_use
from entrypoint.engine.holdings.whole import Lack
from entrypoint.host.confined.removal import Removal
from entrypoint.host.disks.filesystem import birth
from entrypoint.host.disks.reach import Reach
from entrypoint.host.disks.stored import to_json
from entrypoint.host.host import Host
from entrypoint.host.machine.openers import Opener
from entrypoint.journal.amiss import Amiss, Kind
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.journal.unfinished import KEPT, Unfinished, this_boot
from entrypoint.move.proof import intact
from entrypoint.move.roots import old_roots as remains
from entrypoint.move.roots.old_roots import Remains, how_left, old_roots
from entrypoint.plan.plan import Direction
from entrypoint.preflight.checks.removal import OldRoot, in_use, named, opened
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check_removal
from entrypoint.preflight.roots import Left, Size
from tests.unit.support.fakes import make_host
from tests.unit.support.good_facts import CONTAINERD, GOOD, mount, unit, with_target
from tests.unit.support.world import make_plan, with_first


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def journal(host: Host) -> Journal:
    made = Journal(host)
    made.prepare()
    return made


def moved(
    journal: Journal,
    host: Host,
    source: str,
    target: str,
    boot: str = "",
    known: Mapping[str, object] | None = None,
    **facts: object,
) -> Run:
    """A run that has moved the engine from one root to another; both are there, and the source is as it is `known`."""
    for root in (source, target):
        host.path(f"{root}/volumes/data").mkdir(parents=True, exist_ok=True)
    info = host.path(source).stat()
    born = birth(host.path(source))
    known = {"identity": (info.st_dev, info.st_ino), "born": born} | dict(known or {})
    plan = with_first(make_plan(), source=source, target=target, **known)
    run = journal.begin()
    run.begun(source=source, target=target, boot=boot or this_boot())
    run.save_plan({"plan": to_json(replace(plan, **facts))})  # type: ignore[arg-type]
    run.append(Event.OUTCOME, outcome=Outcome.COMMITTED)
    return run


def paths(host: Host, journal: Journal) -> list[str]:
    return [one.path for one in old_roots(host, journal)]


def test_the_source_of_a_move_is_an_old_root(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    assert paths(host, journal) == ["/a"]


def test_after_several_moves_all_but_the_last_target_are_old_roots(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    moved(journal, host, "/b", "/c")
    assert paths(host, journal) == ["/a", "/b"]


def test_a_root_that_was_gone_back_to_is_none(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    moved(journal, host, "/b", "/a")
    assert paths(host, journal) == ["/b"]


FORTH, ADOPT, BACK = Direction.FORTH, Direction.ADOPT, Direction.BACK


@pytest.mark.parametrize(
    ("runs", "left"),
    [
        ([(ADOPT, "/fresh", "/data")], []),
        ([(ADOPT, "/fresh", "/data"), (BACK, "/data", "/fresh")], []),
        ([(FORTH, "/a", "/data"), (ADOPT, "/a", "/data")], []),
        ([(FORTH, "/a", "/b"), (ADOPT, "/fresh", "/b")], ["/a"]),
        ([(ADOPT, "/fresh", "/b"), (FORTH, "/b", "/c"), (BACK, "/c", "/b")], ["/c"]),
    ],
)
def test_what_was_never_copied_is_none(
    host: Host, journal: Journal, runs: list[tuple[Direction, str, str]], left: list[str]
) -> None:
    """An adopted root that was gone back from, and what an adoption has left, which it was promised to keep."""
    for direction, source, target in runs:
        moved(journal, host, source, target, direction=direction)
    assert paths(host, journal) == left


def test_what_no_run_has_moved_is_none(host: Host, journal: Journal) -> None:
    run = moved(journal, host, "/a", "/b")
    run.append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK)
    assert paths(host, journal) == []


def test_what_was_removed_is_none_and_what_was_removed_in_part_still_is(host: Host, journal: Journal) -> None:
    run = moved(journal, host, "/a", "/b")
    run.append(Event.CLEANUP)
    assert paths(host, journal) == ["/a"]
    run.append(Event.CLEANED)
    assert paths(host, journal) == []


def test_another_directory_of_the_same_name_is_none(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    host.path("/a").rename(host.path("/elsewhere"))
    assert paths(host, journal) == []
    host.path("/a/volumes").mkdir(parents=True)
    assert paths(host, journal) == []


def test_a_link_to_it_is_none(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    host.path("/a").rename(host.path("/elsewhere"))
    host.path("/a").symlink_to("elsewhere")
    assert paths(host, journal) == []


@pytest.mark.parametrize(("boot", "still"), [("", False), ("an earlier one", True)])
def test_a_device_may_have_another_number_after_a_reboot(host: Host, journal: Journal, boot: str, still: bool) -> None:
    host.path("/a").mkdir()
    inode = host.path("/a").stat().st_ino
    moved(journal, host, "/a", "/b", boot, {"identity": (12345, inode)})
    assert paths(host, journal) == (["/a"] if still else [])


def test_a_directory_that_was_made_anew_with_the_same_number_is_none(host: Host, journal: Journal) -> None:
    """ext4 gives a freed inode number to the next directory; only the instant of its making differs."""
    moved(journal, host, "/a", "/b", known={"born": "2020-01-01 00:00:00.000000001 +0000"})
    assert paths(host, journal) == []


@pytest.mark.parametrize(("engine_id", "still"), [("ID\n", True), ("another", False)])
def test_the_root_of_another_engine_is_none(host: Host, journal: Journal, engine_id: str, still: bool) -> None:
    moved(journal, host, "/a", "/b")
    host.path("/a/engine-id").write_text(engine_id)
    assert paths(host, journal) == (["/a"] if still else [])


def test_the_plan_of_another_version_is_told(host: Host, journal: Journal) -> None:
    run = moved(journal, host, "/a", "/b")
    plan = run.plan()["plan"]
    del plan["roots"][0]["identity"]
    run.save_plan({"plan": plan})
    with pytest.raises(JournalError, match="plan of another version"):
        old_roots(host, journal)


def test_a_root_whose_databases_are_locked_is_in_use(host: Host) -> None:
    root = host.path("/a")
    (root / "network/files").mkdir(parents=True)
    assert not is_in_use(root)
    database = root / "network/files/local-kv.db"
    database.touch()
    assert not is_in_use(root)
    with database.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_in_use(root)


def test_an_old_root_that_an_engine_works_on_is_not_removed(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    (one,) = old_roots(host, journal)
    assert not cleanup.old_root(host, one, one).in_use
    database = host.path("/a/network/files/local-kv.db")
    database.parent.mkdir(parents=True)
    with database.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [finding.id for finding in in_use(GOOD, cleanup.old_root(host, one, one))] == ["old-root-in-use"]


def test_a_path_that_leads_through_a_link_is_seen_as_what_it_leads_to(host: Host) -> None:
    host.path("/var/lib/docker").symlink_to("/srv/old")
    found = Reach().resolved(host, ("/var/lib/docker/volumes", "/srv/old", "tmpfs"))
    assert found == ("/var/lib/docker/volumes", "/srv/old", "/srv/old/volumes")


# --- what speaks against it ----------------------------------------------------------------------------------------


def left(host: Host, journal: Journal) -> Remains:
    moved(journal, host, "/srv/old", str(GOOD.data_root), engine_id=GOOD.engine.engine_id)
    return remains.moves(journal)[-1]


def against(host: Host, one: Remains, seen: HostFacts = GOOD, **binds: tuple[str, ...]) -> list[str]:
    found = check_removal(replace(seen, binds=binds), cleanup.old_root(host, one, one))
    return [finding.id for finding in found]


SOURCE = GOOD.data_root


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        ({}, []),
        ({"engine": replace(GOOD.engine, data_root=PurePosixPath("/x"))}, ["root-differs", "configured-root-differs"]),
        ({"configured_root": PurePosixPath("/x")}, ["configured-root-differs"]),
        ({"configured_root": None}, ["configured-root-differs"]),
        ({"engine": replace(GOOD.engine, engine_id="other")}, ["another-engine"]),
        ({"missing": (Lack("container", "web", "web", "snapshot"),)}, ["source-incomplete"]),
        ({"mounts": (*GOOD.mounts, mount("/srv/old/volumes/x", "0:1", "ext4"))}, ["old-root-mounts"]),
        ({"mounts": (*GOOD.mounts, mount("/srv/old", "0:1", "ext4"))}, []),
        ({"mounts": (*GOOD.mounts, mount("/srv/older", "0:1", "ext4"))}, []),
        ({"worker": unit("relocator.service")}, ["already-running"]),
        ({"containerd": CONTAINERD}, []),
        ({"containerd": replace(CONTAINERD, root=PurePosixPath("/srv/old/containerd"))}, ["roots-nested"]),
        ({"containerd": replace(CONTAINERD, root=PurePosixPath("/srv"))}, ["roots-nested"]),
    ],
)
def test_the_new_root_is_proven_and_the_old_one_needed_by_nobody(
    host: Host, journal: Journal, facts: dict[str, object], finding: list[str]
) -> None:
    assert against(host, left(host, journal), replace(GOOD, **facts)) == finding  # type: ignore[arg-type]


def test_an_old_root_is_kept_while_the_engine_lacks_what_only_it_holds(host: Host, journal: Journal) -> None:
    one = left(host, journal)
    one.run.note([Amiss(Kind.CONTAINER, "app was running and is exited", "a")])
    assert against(host, one) == []
    one.run.note([Amiss(Kind.HELD, "image sha256:1 (app:1) is missing", "sha256:1")])
    assert against(host, one) == ["only-in-old-root"]


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        ("/srv/old", ["old-root-bound"]),
        ("/srv/old/volumes", ["old-root-bound"]),
        ("/srv/older", []),
        ("/srv", []),
        ("/", []),
    ],
)
def test_a_container_that_uses_a_path_in_the_old_root_is_named(
    host: Host, journal: Journal, path: str, finding: list[str]
) -> None:
    assert against(host, left(host, journal), portainer=(path,)) == finding


def test_a_bind_mount_of_a_directory_in_the_old_root_is_named(host: Host, journal: Journal) -> None:
    bound = replace(mount("/srv/web", "8:1"), root=PurePosixPath("/srv/old/volumes/web/_data"))
    assert against(host, left(host, journal), replace(GOOD, mounts=(*GOOD.mounts, bound))) == ["old-root-bound"]


def test_a_container_that_uses_it_by_another_name_is_named(host: Host, journal: Journal) -> None:
    around = replace(mount("/data", "8:1"), root=PurePosixPath("/srv"))
    seen = replace(GOOD, mounts=(*GOOD.mounts, around))
    assert against(host, left(host, journal), seen, app=("/data/old/volumes",)) == ["old-root-bound"]
    assert against(host, left(host, journal), seen, app=("/data", "/data/older", "//data/old", "tmpfs")) == []


def test_roots_within_each_other_are_refused(host: Host, journal: Journal) -> None:
    one = left(host, journal)
    outer = replace(one, root=replace(one.root, source=str(SOURCE.parent)))
    assert against(host, outer) == ["roots-nested"]
    inner = replace(one, root=replace(one.root, source=str(SOURCE / "x")))
    assert against(host, inner) == ["roots-nested"]


def test_the_engines_own_root_under_another_name_is_refused(host: Host, journal: Journal) -> None:
    """A bind mount at the old place, for scripts that know no other."""
    same = with_target(GOOD, identities=(GOOD.first.source.identity, *GOOD.first.target.identities[1:]))
    assert against(host, left(host, journal), same) == ["roots-nested"]


def test_rollback_leads_back_to_what_the_last_move_has_left(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    assert how_left(host, journal, "/a") is Left.WAY_BACK
    assert how_left(host, journal, "/b") is None
    moved(journal, host, "/b", "/c")
    assert how_left(host, journal, "/a") is Left.ASIDE
    assert how_left(host, journal, "/b") is Left.WAY_BACK


def test_nothing_leads_back_to_what_a_rollback_has_left(host: Host, journal: Journal) -> None:
    moved(journal, host, "/a", "/b")
    moved(journal, host, "/b", "/a", direction=Direction.BACK)
    assert how_left(host, journal, "/b") is Left.ASIDE


def test_what_is_only_in_a_root_that_a_way_back_has_left_is_told(
    host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []

    def say(event: str, **facts: str) -> None:
        said.append((event, facts.get("what") or facts["place"]))

    monkeypatch.setattr(log, "warning", say)
    moved(journal, host, "/a", "/b").append(Event.INTENT, step=Phase.START)
    back = moved(journal, host, "/b", "/a", direction=Direction.BACK)
    new = replace(GOOD.inventory.containers[0], id="new", name="newone")
    held = replace(GOOD.inventory, containers=(*GOOD.inventory.containers, new), volumes={"fresh": "local"})
    back.save_inventory(to_json(held))
    host.path("/b/volumes/fresh/_data").mkdir(parents=True)
    host.path("/b/volumes/fresh/_data/file").write_text("x")
    found = remains.moves(journal)
    cleanup.say_only_there(host, found, found[-1], GOOD.inventory)
    assert said == [
        ("cleanup.only", "container newone"), ("cleanup.only", "volume fresh"), ("cleanup.written", "volume fresh"),
    ]  # fmt: skip
    said.clear()
    cleanup.say_only_there(host, found, found[0], GOOD.inventory)
    assert said == []


@pytest.mark.parametrize("within", ["", "100000.100000"])
def test_what_was_written_into_an_old_root_since_the_engine_left_it_is_told(
    host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    said: list[tuple[str, int]] = []
    monkeypatch.setattr(log, "warning", lambda event, place, files, **_facts: said.append((f"{event} {place}", files)))
    run = moved(journal, host, "/a", "/b")
    run.save_inventory(to_json(GOOD.inventory))
    root = host.path(f"/a/{within}")
    for place in ("volumes/data/_data/late", "network/files/local-kv.db", "of-mine", ".relocator-root"):
        root.joinpath(place).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(place).write_text("x")
    root.joinpath("volumes/data/_data/link").symlink_to("late")
    plan = with_first(make_plan(), source="/a", target="/b", within=within)
    one = Remains(run, plan, plan.first)
    monkeypatch.setattr(intact, "left_at", lambda _run: 4e9)
    cleanup.say_written_behind(host, one)
    assert said == []
    monkeypatch.setattr(intact, "left_at", lambda _run: 0.0)
    cleanup.say_written_behind(host, one)
    assert sorted(said) == [("cleanup.behind network in the root", 1), ("cleanup.behind volume data", 2)]
    run.append(Event.CLEANUP, root="/a")
    said.clear()
    cleanup.say_written_behind(host, one)
    assert said == []


# --- the removal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["", KEPT, "the engine was started on it"])
def test_a_copy_that_an_engine_was_started_on_is_named_and_left(
    host: Host, journal: Journal, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda _event, root, why: said.append(f"{root} {why}"))
    moved(journal, host, "/a", "/b").append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK, left=left)
    cleanup.say_kept(host, journal)
    assert said == ([f"/b {left}"] if left not in ("", KEPT) else [])


@pytest.mark.skipif(os.geteuid() != 0, reason="a record is root's")
def test_a_copy_that_some_attempt_has_left_is_named(
    host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, root: said.append(f"{event} {root}"))
    moved(journal, host, "/a", "/b").append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK, left=KEPT)
    moved(journal, host, "/a", "/c")
    cleanup.say_unfinished(host, journal)
    assert said == []
    Unfinished.begun("/a", "ID").write(host.path("/b"))
    cleanup.say_unfinished(host, journal)
    assert said == ["cleanup.unfinished /b"]


def test_no_copy_is_spoken_of_where_an_engine_works_on_it_or_nothing_was_planned(
    host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "warning", lambda *_words, **facts: pytest.fail(str(facts)))
    for place in ("/b/volumes", "/c/lost+found"):
        host.path(place).mkdir(parents=True)
    database = host.path("/b/volumes/metadata.db")
    database.touch()
    for target in ("/b", "/c"):
        run = journal.begin()
        run.begun(source="/a", target=target, boot=this_boot())
        run.append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK, left="it could not be removed")
        with database.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            cleanup.say_kept(host, journal)


def events(one: Remains) -> list[str]:
    return [record["event"] for record in one.run.records()][2:]


def test_an_old_root_is_removed_and_recorded(host: Host, journal: Journal) -> None:
    one = left(host, journal)
    cleanup.remove(host, one, Size(1, 1))
    assert not host.path("/srv/old").exists()
    assert events(one) == ["cleanup", "cleaned"]
    assert host.path(str(SOURCE)).exists()


def test_what_is_not_the_engines_stays(host: Host, journal: Journal) -> None:
    one = left(host, journal)
    host.path("/srv/old/backup").mkdir()
    cleanup.remove(host, one, Size(1, 1))
    assert os.listdir(host.path("/srv/old")) == ["backup"]
    assert events(one) == ["cleanup", "cleaned"]


def test_lost_and_found_stays(host: Host, journal: Journal) -> None:
    one = left(host, journal)
    host.path("/srv/old/lost+found").mkdir()
    cleanup.remove(host, one, Size(1, 1))
    assert os.listdir(host.path("/srv/old")) == ["lost+found"]


def test_a_removal_that_was_cut_off_goes_on(host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    one = left(host, journal)

    def interrupted(_self: Removal, _names: list[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Removal, "remove", interrupted)
        with pytest.raises(Interrupted, match="removed in part"):
            cleanup.remove(host, one, Size(1, 1))
    assert events(one) == ["cleanup"]
    host.path("/srv/old/.relocator-removing-1").mkdir()
    cleanup.remove(host, old_roots(host, journal)[0], Size(1, 1))
    assert not host.path("/srv/old").exists()
    assert events(one) == ["cleanup", "cleanup", "cleaned"]


def test_what_cannot_be_removed_is_told(host: Host, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    one = left(host, journal)

    def cannot(self: Removal, _names: list[str]) -> None:
        self.problems.append("x: Operation not permitted")

    monkeypatch.setattr(Removal, "remove", cannot)
    with pytest.raises(RollbackError) as failed:
        cleanup.remove(host, one, Size(1, 1))
    assert "/srv/old/x: Operation not permitted" in failed.value.details
    assert failed.value.exit_code == 5
    assert events(one) == ["cleanup"]


def test_who_has_it_open_keeps_it_and_who_names_it_is_told() -> None:
    old = OldRoot(PurePosixPath("/srv/old"), target=str(SOURCE), engine_id="ID")
    reader = Opener("tail (7)", f"{old.path}/log", writes=False, unit="logs.service")
    (found,) = opened(GOOD, replace(old, openers=(reader,)))
    assert (found.id, found.severity) == ("old-root-open", Severity.ERROR)
    assert "tail (7) of logs.service" in found.detail
    (told,) = named(GOOD, replace(old, mentions=("/etc/fstab",)))
    assert (told.id, told.severity) == ("old-root-named", Severity.WARNING)

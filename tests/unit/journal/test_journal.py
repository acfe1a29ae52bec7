"""The journal is there after a power cut, holds whole records, and says when it is damaged."""

import errno
import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pytest

from entrypoint.console.errors import JournalError, PreflightError
from entrypoint.console.events import open_log
from entrypoint.host.disks.filesystem import atomic_write, make_directories
from entrypoint.host.host import Host
from entrypoint.journal.journal import ROOM, Journal
from entrypoint.journal.record import Event, Outcome, Run


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    (tmp_path / "var/lib").mkdir(parents=True)
    made = Journal(Host(tmp_path))
    made.prepare()
    return made


@pytest.fixture
def run(journal: Journal) -> Run:
    return journal.begin()


def file_of(run: Run) -> Path:
    return run.place / "journal.jsonl"


def events(run: Run) -> list[str]:
    return [record["event"] for record in run.records()]


def test_a_journal_that_was_never_begun_is_empty(tmp_path: Path) -> None:
    journal = Journal(Host(tmp_path))
    assert (journal.exists(), journal.runs(), journal.is_locked()) == (False, [], False)
    assert list(tmp_path.iterdir()) == []


def test_the_journal_is_for_root_alone(journal: Journal, run: Run) -> None:
    run.save_plan({})
    run.save_inventory({})
    run.append(Event.BEGUN)
    assert {oct(place.stat().st_mode) for place in (journal.place, run.place)} == {"0o40700"}
    assert {oct(place.stat().st_mode) for place in run.place.iterdir()} == {"0o100600"}


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("bits", [0, 0o077, 0o022])
def test_it_is_root_alone_from_the_first_instant_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    """What is put right afterwards could be opened before."""
    (tmp_path / "var/lib").mkdir(parents=True)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with umask(bits):
        journal = Journal(Host(tmp_path))
        journal.prepare()
        with journal.locked():
            run = journal.begin()
        run.append(Event.BEGUN)
        run.save_plan({})
        run.save_inventory({})
        open_log(run.log).close()
        make_directories(run.place / "back/deeper", 0o700)
        atomic_write(run.place / "back/switch.before", b"", mode=0o600)
    modes = {place.is_dir(): set[str]() for place in (tmp_path, run.log)}
    for place in (journal.place, *journal.place.rglob("*")):
        modes[place.is_dir()].add(oct(place.stat().st_mode))
    assert modes == {True: {"0o40700"}, False: {"0o100600"}}


def test_what_others_have_said_is_kept_without_what_looks_like_a_secret_and_a_path_as_it_is(run: Run) -> None:
    run.append(Event.OUTCOME, reason="data: password=geheim", problems=["http://a:geheim@b"], root="/srv/token=x")
    assert b"geheim" not in file_of(run).read_bytes()
    assert run.records()[-1]["root"] == "/srv/token=x"


def test_the_journal_follows_the_hosts_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/lib").symlink_to("/writable/lib")
    assert Journal(Host(tmp_path)).place == tmp_path / "writable/lib/relocator"


def test_runs_are_numbered_upwards(journal: Journal) -> None:
    assert [journal.begin().number for _ in range(11)][-2:] == ["000010", "000011"]
    assert [run.number for run in journal.runs()] == [f"{number:06}" for number in range(1, 12)]
    assert journal.run("000007") == journal.runs()[6]


def test_a_number_is_never_used_again_while_a_later_one_exists(journal: Journal) -> None:
    first, _second = journal.begin(), journal.begin()
    rmtree(first.place)
    assert journal.begin().number == "000003"


def test_records_are_read_as_they_were_written(run: Run) -> None:
    run.append(Event.BEGUN, source="/old", target="/neu\nß\udcff")
    run.append(Event.OUTCOME, outcome=Outcome.COMMITTED, problems=["a"])
    begun, outcome = run.records()
    assert (begun["event"], begun["source"], begun["target"]) == (Event.BEGUN, "/old", "/neu\nß\udcff")
    assert (outcome["outcome"], outcome["problems"]) == (Outcome.COMMITTED, ["a"])
    assert begun["at"] <= outcome["at"]


def test_a_run_without_records_has_no_outcome(run: Run) -> None:
    assert (run.records(), run.outcome()) == ([], None)


def test_the_last_outcome_counts(run: Run) -> None:
    run.append(Event.OUTCOME, outcome=Outcome.BROKEN)
    run.append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK)
    assert (run.outcome() or {})["outcome"] == "rolled-back"


@pytest.mark.parametrize("torn", [1, 2, 10])
def test_a_torn_last_record_is_taken_for_not_written(run: Run, torn: int) -> None:
    run.append(Event.BEGUN)
    run.append(Event.INTENT, step="freeze")
    file_of(run).write_bytes(file_of(run).read_bytes()[:-torn])
    assert events(run) == ["begun"]


@pytest.mark.parametrize("torn", [1, 2, 10])
def test_the_next_record_takes_the_place_of_a_torn_one(run: Run, torn: int) -> None:
    """As recovery does after a power cut: glued to the torn one it would be damage."""
    run.append(Event.BEGUN)
    run.append(Event.INTENT, step="freeze")
    file_of(run).write_bytes(file_of(run).read_bytes()[:-torn])
    run.append(Event.ROLLBACK)
    assert events(run) == ["begun", "rollback"]


def test_a_last_line_that_is_no_record_is_taken_for_not_written(run: Run) -> None:
    run.append(Event.BEGUN)
    with file_of(run).open("ab") as file:
        file.write(b"\0" * 80 + b"\n")
    assert events(run) == ["begun"]
    run.append(Event.ROLLBACK)
    assert events(run) == ["begun", "rollback"]


NO_RECORDS = [b"\0\0\0", b"garbage", b"[]", b"{}", b'{"event": "begun"}', b'{"at": 1.5, "event": "unheard of"}', b""]


@pytest.mark.parametrize("line", NO_RECORDS)
def test_a_damaged_earlier_record_is_an_error(run: Run, line: bytes) -> None:
    run.append(Event.BEGUN)
    run.append(Event.INTENT, step="freeze")
    file_of(run).write_bytes(line + b"\n" + file_of(run).read_bytes())
    with pytest.raises(JournalError, match="is damaged") as damaged:
        run.records()
    assert "mv /var/lib/relocator/runs/000001 /var/lib/relocator/runs/000001.aside" in damaged.value.resolution


def test_a_record_that_was_set_aside_is_none(journal: Journal, run: Run) -> None:
    run.place.rename(f"{run.place}.aside")
    assert journal.runs() == []
    assert journal.begin().number == "000001"


def test_the_record_of_a_newer_version_is_not_guessed_at(run: Run) -> None:
    run.append(Event.BEGUN, version=2)
    with pytest.raises(JournalError, match="newer relocator"):
        run.records()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of a file is cut short, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_that_cannot_be_written_is_an_error(run: Run) -> None:
    run.append(Event.BEGUN)
    with largest_file(file_of(run).stat().st_size), pytest.raises(JournalError) as failed:
        run.append(Event.INTENT, step="freeze")
    assert os.strerror(errno.EFBIG) in failed.value.details


def test_a_record_that_is_written_in_part_is_an_error(run: Run) -> None:
    run.append(Event.BEGUN)
    with largest_file(file_of(run).stat().st_size + 10), pytest.raises(JournalError):
        run.append(Event.INTENT, step="freeze")
    assert file_of(run).read_bytes().endswith(b"\n")
    run.append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK)  # there is space again
    assert events(run) == ["begun", "outcome"]


def test_a_full_disk_gives_a_record_the_room_that_was_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begun()
    write = os.pwrite

    def until_there_is_room(handle: int, line: bytes, at: int) -> int:
        if run.room.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, line, at)

    monkeypatch.setattr(os, "pwrite", until_there_is_room)
    run.append(Event.TOOK_OVER)
    assert events(run) == ["begun", "took-over"]


def test_a_journal_that_cannot_be_opened_is_an_error(run: Run) -> None:
    file_of(run).mkdir()
    with pytest.raises(JournalError):
        run.append(Event.BEGUN)


@pytest.mark.parametrize("event", [Event.ROLLBACK, Event.OUTCOME])
def test_room_is_kept_until_a_run_turns_back_or_ends(run: Run, event: Event) -> None:
    run.begun()
    run.append(Event.INTENT, step="freeze")
    assert run.room.stat().st_blocks * 512 >= ROOM
    run.append(event)
    assert not run.room.exists()


def test_a_journal_without_room_begins_no_run(journal: Journal) -> None:
    journal.begin()
    with largest_file(ROOM - 1), pytest.raises(PreflightError, match="cannot be written") as refused:
        journal.begin()
    assert [run.number for run in journal.runs()] == ["000001"]
    assert os.strerror(errno.EFBIG) in refused.value.details
    assert [place.name for place in journal.place.iterdir() if place.is_file()] in ([], ["lock"])


def test_a_journal_whose_place_is_taken_refuses_the_move(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/relocator").touch()
    with pytest.raises(PreflightError, match="cannot be written"):
        Journal(Host(tmp_path)).prepare()


def test_a_plan_is_read_as_it_was_saved(run: Run) -> None:
    run.save_plan({"plan": {"source": "/ä"}, "ours": ["a"]})
    assert run.plan() == {"version": 2, "plan": {"source": "/ä"}, "ours": ["a"]}


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_a_plan_that_is_missing_or_damaged_is_an_error(run: Run, content: bytes | None) -> None:
    if content is not None:
        (run.place / "plan.json").write_bytes(content)
    with pytest.raises(JournalError, match="has no plan that can be read"):
        run.plan()


def test_a_plan_of_another_version_is_not_carried_out(run: Run) -> None:
    (run.place / "plan.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(JournalError, match="another version"):
        run.plan()


def test_an_inventory_is_there_once_it_was_saved(run: Run) -> None:
    assert run.inventory() is None
    run.save_inventory({"engine_id": "ID"})
    assert run.inventory() == {"engine_id": "ID"}


def test_two_that_write_at_the_same_time_lose_no_record(tmp_path: Path) -> None:
    run = Journal(Host(tmp_path)).run("000001")
    run.place.mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: run.append(Event.DONE, step=str(number)), range(40)))
    assert sorted(int(record["step"]) for record in run.records()) == list(range(40))

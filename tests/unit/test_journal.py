"""The journal is there after a power cut, holds whole records, and says when it is damaged."""

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrypoint.errors import JournalError, PreflightError
from entrypoint.host import Host
from entrypoint.journal import ROOM, Event, Journal, Outcome, Run


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
    first.place.rmdir()
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


def test_a_damaged_earlier_record_is_an_error(run: Run) -> None:
    run.append(Event.BEGUN)
    run.append(Event.INTENT, step="freeze")
    file_of(run).write_bytes(b"\0\0\0" + file_of(run).read_bytes()[3:])
    with pytest.raises(JournalError, match="is damaged"):
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


def test_a_journal_that_cannot_be_opened_is_an_error(run: Run) -> None:
    file_of(run).mkdir()
    with pytest.raises(JournalError):
        run.append(Event.BEGUN)


def test_the_room_that_was_looked_for_is_given_back(journal: Journal) -> None:
    journal.begin()
    assert [place.name for place in journal.place.iterdir()] == ["runs"]


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
    assert run.plan() == {"version": 1, "plan": {"source": "/ä"}, "ours": ["a"]}


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_a_plan_that_is_missing_or_damaged_is_an_error(run: Run, content: bytes | None) -> None:
    if content is not None:
        (run.place / "plan.json").write_bytes(content)
    with pytest.raises(JournalError, match="cannot be read"):
        run.plan()


def test_a_plan_of_another_version_is_not_carried_out(run: Run) -> None:
    (run.place / "plan.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(JournalError, match="another version"):
        run.plan()


def test_an_inventory_is_there_once_it_was_saved(run: Run) -> None:
    assert run.inventory() is None
    run.save_inventory({"engine_id": "ID"})
    assert run.inventory() == {"engine_id": "ID"}

"""The record of an unfinished copy is read as it was written, or taken for none of ours."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.journal import unfinished
from entrypoint.journal.unfinished import INDEX, NAME, PLACES, Clock, Found, Unfinished

RECORD = Unfinished("/old", "ID", "this boot", 12.5, ("a", "b"), ("c",))


@pytest.fixture(autouse=True)
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "boot_id"
    place.write_text("this boot\n")
    monkeypatch.setattr(unfinished, "BOOT", place)
    return place


RECORDS = (
    RECORD,
    replace(RECORD, layers=(), shards=()),
    replace(RECORD, found=Found(1, 2, 0o755, 16, {"user.a": "AA=="}), clock=Clock("this boot", 1.5)),
    Unfinished("/ä b", "", "", 0.0, (), ()),
)


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: Unfinished) -> None:
    record.write(tmp_path)
    assert Unfinished.read(tmp_path) == record


def test_a_record_is_for_root_alone_and_says_what_it_is(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert oct((tmp_path / NAME).stat().st_mode) == "0o100600"
    assert "made by relocator" in (tmp_path / NAME).read_text()


def test_a_later_record_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    replace(RECORD, shards=()).write(tmp_path)
    assert Unfinished.read(tmp_path) == replace(RECORD, shards=())


GOOD = {"version": 2, "source": "/old", "engine_id": "ID", "boot": "", "since": 1.0, "layers": [], "shards": []}
GARBLED = (
    b"", b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"1", b"{}",
    json.dumps(GOOD | {"version": 1}).encode(),
    json.dumps({key: value for key, value in GOOD.items() if key != "layers"}).encode(),
    json.dumps(GOOD | {"layers": 1}).encode(),
    json.dumps(GOOD | {"since": "then"}).encode(),
)  # fmt: skip


@pytest.mark.parametrize("content", GARBLED)
def test_a_foreign_or_garbled_record_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert Unfinished.read(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
@pytest.mark.parametrize("name", [NAME, "."])
def test_what_others_can_write_is_no_record(tmp_path: Path, name: str) -> None:
    RECORD.write(tmp_path)
    os.chown(tmp_path / name, 1000, 0)
    assert Unfinished.read(tmp_path) is None


def test_no_record_is_none(tmp_path: Path) -> None:
    assert Unfinished.read(tmp_path) is None
    assert Unfinished.read(tmp_path / "missing") is None
    (tmp_path / NAME).mkdir()
    assert Unfinished.read(tmp_path) is None


def test_an_ended_record_is_gone(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    for name in (PLACES, INDEX):
        (tmp_path / name).touch()
    Unfinished.end(tmp_path)
    assert not any((tmp_path / name).exists() for name in (NAME, PLACES, INDEX))
    Unfinished.end(tmp_path)  # a worker that starts again ends it once more


def test_another_boot_is_told_from_this_one(boot: Path) -> None:
    begun = Unfinished.begun("/old", "ID")
    assert (begun.boot, begun.is_of_this_boot, begun.layers, begun.shards) == ("this boot", True, (), ())
    boot.write_text("another boot\n")
    assert not begun.is_of_this_boot


@pytest.mark.parametrize(
    ("ahead", "since", "of_boot", "was_set"),
    [(0, -9, "this boot", False), (0.5, -9, "this boot", False), (2, -9, "this boot", True),
     (-2, -9, "this boot", True), (-2, -9, "another boot", False), (0, 9, "another boot", True)],
)  # fmt: skip
def test_a_clock_that_was_set_since_is_seen(ahead: float, since: float, of_boot: str, was_set: bool) -> None:
    now = time.time()
    record = replace(RECORD, since=now + since, clock=Clock(of_boot, now - time.monotonic() + ahead))
    assert record.clock_was_set is was_set


def test_a_record_without_a_clock_tells_nothing() -> None:
    assert RECORD.clock_was_set


@pytest.mark.parametrize(("source", "engine_id"), [("/other", "ID"), ("/old", "OTHER"), ("", "")])
def test_a_record_is_of_one_source_and_one_engine(source: str, engine_id: str) -> None:
    assert RECORD.is_of("/old", "ID")
    assert not RECORD.is_of(source, engine_id)


def test_layers_are_added_and_none_is_forgotten() -> None:
    assert RECORD.with_layers(frozenset({"c", "a"})).layers == ("a", "b", "c")
    assert RECORD.with_shards(frozenset({"d", "c"})).shards == ("c", "d")

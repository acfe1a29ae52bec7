"""Files of the future are counted; those of now, and those that no pass looks at, are not."""

import time
from pathlib import Path

import pytest

from entrypoint.copy.looking import clock
from entrypoint.copy.looking.clock import Ahead, ahead
from entrypoint.copy.looking.left_out import left_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("volumes/a", "overlay2/layer/diff", "tmp"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    return tmp_path


def set_back(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A ctime cannot be set, but the clock can."""
    monkeypatch.setattr("entrypoint.copy.looking.clock.time.time", lambda now=time.time: now() - seconds)


def test_with_a_good_clock_there_are_none(root: Path) -> None:
    assert ahead(root, left_out(["overlay2/layer/diff"])) == Ahead()


def test_with_a_clock_that_was_set_back_there_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_back(monkeypatch, 3600)
    found = ahead(root, left_out(["overlay2/layer/diff"]))
    assert found.entries == len({".", "volumes", "volumes/a", "volumes/a/file", "overlay2", "overlay2/layer"})
    assert 3590 < found.seconds <= 3600


def test_a_clock_that_is_a_little_behind_is_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_back(monkeypatch, clock.TOLERATED / 2)
    assert ahead(root, ()) == Ahead()


def test_what_changes_during_the_walk_is_of_now(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk begins an hour ago, and everything was changed since."""
    instants = iter([time.time() - 3600])
    monkeypatch.setattr("entrypoint.copy.looking.clock.time.time", lambda now=time.time: next(instants, None) or now())
    assert ahead(root, ()) == Ahead()

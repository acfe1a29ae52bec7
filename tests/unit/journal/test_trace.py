"""A trace point acts only if the host's root has armed it, and once."""

import os
import signal
from pathlib import Path

import pytest

from entrypoint.console.errors import FullError, MoveError
from entrypoint.host.host import Host
from entrypoint.journal.trace import PLACE, REACHED, armed
from tests.unit.support.fakes import make_host

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root arms a point")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


def test_a_point_is_passed_when_nothing_is_armed(host: Host) -> None:
    host = armed(host)
    host.trace("")
    host.trace("freeze.held")
    assert not host.path(REACHED).exists()


@as_root
def test_an_armed_point_acts_and_no_other(host: Host) -> None:
    host.path(PLACE).write_text("final sync.copied fail\n")
    host = armed(host)
    host.trace("freeze.held")
    assert not host.path(REACHED).exists()
    with pytest.raises(MoveError, match=r"Stopped at the trace point final sync\.copied"):
        host.trace("final sync.copied")
    assert [place.name for place in host.path(REACHED).iterdir()] == ["final sync.copied"]


@as_root
def test_a_point_tells_of_a_full_disk(host: Host) -> None:
    host.path(PLACE).write_text("final sync.copied full\n")
    host = armed(host)
    with pytest.raises(FullError, match=r"final sync\.copied"):
        host.trace("final sync.copied")


@as_root
def test_an_armed_point_acts_once_in_whichever_process(host: Host) -> None:
    host.path(PLACE).write_text("freeze.held fail")
    host = armed(host)
    with pytest.raises(MoveError):
        host.trace("freeze.held")
    host.trace("freeze.held")
    host = armed(host)
    host.trace("freeze.held")


@as_root
def test_a_file_of_another_owner_arms_nothing(host: Host) -> None:
    host.path(PLACE).write_text("freeze.held fail")
    os.chown(host.path(PLACE), 12345, 0)
    host = armed(host)
    host.trace("freeze.held")


def test_a_directory_arms_nothing(host: Host) -> None:
    host.path(PLACE).mkdir()
    host = armed(host)
    host.trace("freeze.held")


@as_root
def test_an_armed_point_kills(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    host.path(PLACE).write_text("freeze.held kill")
    host = armed(host)
    host.trace("freeze.held")
    assert killed == [(os.getpid(), signal.SIGKILL)]


@as_root
def test_several_points_are_armed_and_each_acts_once(host: Host) -> None:
    host.path(PLACE).write_text("verify.proven fail\n\nverify.undo fail\n")
    host = armed(host)
    for point in ("verify.proven", "verify.undo"):
        with pytest.raises(MoveError, match=point):
            host.trace(point)
        host.trace(point)


@as_root
def test_a_paused_point_goes_on_when_it_is_told_to(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            host.path(f"{REACHED}/freeze.held.go").touch()

    monkeypatch.setattr("entrypoint.journal.trace.time.sleep", sleep)
    host.path(PLACE).write_text("freeze.held pause\n")
    host = armed(host)
    host.trace("freeze.held")
    host.trace("freeze.held")
    assert len(waits) == 3

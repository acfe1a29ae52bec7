"""The engine's unit is found by its process, and a number in an old file is no process of the engine's."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.engine.unit import service
from entrypoint.host.host import Host


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[Path]:
    """This process listens."""
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        yield place


def noted(host: Host, engine_socket: Path, pid: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    file = engine_socket.with_name("pid")
    file.write_text(f"{pid}\n")
    monkeypatch.setattr(service, "PID_FILE", str(file))
    monkeypatch.setattr(service, "listener", lambda _place: 1)  # systemd's, which has started the engine by it
    return list(service._pids(host, engine_socket))


def test_a_number_that_is_another_process_by_now_is_none(engine_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert noted(Host(Path("/")), engine_socket, other.pid, monkeypatch) == []
        other.kill()
    assert noted(Host(Path("/")), engine_socket, other.pid, monkeypatch) == []


def test_the_process_that_has_the_socket_is_the_engine(engine_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert noted(Host(Path("/")), engine_socket, os.getpid(), monkeypatch) == [os.getpid()]


def test_a_socket_that_the_kernel_does_not_tell_is_no_reason_to_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert noted(Host(Path("/")), tmp_path / "none", os.getpid(), monkeypatch) == [os.getpid()]

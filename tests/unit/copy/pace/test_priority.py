"""The copy comes last as a whole container, and leaves alone what the operator has set."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoint.console.errors import EngineError
from entrypoint.copy.pace import priority
from entrypoint.engine.docker import Engine
from entrypoint.host.host import Host


class Api:
    """A container of given CPU shares, and what it was given."""

    def __init__(self, shares: int) -> None:
        self.shares = shares
        self.given: list[tuple[str, int]] = []

    def inspect_container(self, _container: str) -> dict[str, Any]:
        return {"HostConfig": {"CpuShares": self.shares}}

    def update_container(self, container: str, *, cpu_shares: int) -> None:
        self.given.append((container, cpu_shares))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "autogroup"
    place.write_text("")
    monkeypatch.setattr(priority, "SESSION", place)
    monkeypatch.setattr(priority, "own_container", lambda: "me")
    monkeypatch.setattr(priority, "socket_of", lambda _host: Path("/socket"))
    return place


def answering(monkeypatch: pytest.MonkeyPatch, api: Any) -> None:
    @contextmanager
    def opened(_socket: Path) -> Any:
        if api is None:
            raise EngineError("It does not answer.")
        yield Engine(SimpleNamespace(api=api))  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "opened", opened)


@pytest.mark.parametrize(("shares", "given"), [(0, [("me", 2)]), (2048, [])])
def test_the_container_gets_the_least_share_unless_it_was_given_one(
    session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shares: int, given: list[tuple[str, int]]
) -> None:
    api = Api(shares)
    answering(monkeypatch, api)
    priority.come_last(Host(tmp_path))
    assert api.given == given
    assert session.read_text() == "19"


def test_a_kernel_and_an_engine_that_cannot_are_no_reason_to_stop(
    session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session.unlink()
    monkeypatch.setattr(priority, "SESSION", tmp_path / "no/such")
    answering(monkeypatch, None)
    priority.come_last(Host(tmp_path))


def test_what_is_no_container_is_left_alone(session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(priority, "own_container", lambda: None)
    priority.come_last(Host(tmp_path))
    assert not session.read_text()

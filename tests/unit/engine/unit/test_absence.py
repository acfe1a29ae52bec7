"""Where no engine answers, it is said in words of ours what there is, and how an engine is started."""

from collections.abc import Callable
from pathlib import Path

import pytest
from docker.errors import DockerException

from entrypoint.commands import sibling
from entrypoint.console.errors import EngineError, ExitCode, PreflightError
from entrypoint.engine.docker import SOCKET, Engine
from entrypoint.engine.unit import absence
from entrypoint.host.host import Host
from entrypoint.host.services.units import UnitState
from tests.unit.engine.test_products import ENGINE_INFO, ENGINE_VERSION
from tests.unit.support.fakes import SERVICE, Calls, FakeSystemd, make_host

CLIENTS = "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file'))"


@pytest.fixture(autouse=True)
def _no_podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(absence, "IN_PODMAN", tmp_path / "none")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = make_host(tmp_path / "host")
    made.path("/run").mkdir(exist_ok=True)
    return made


@pytest.fixture
def systemd(host: Host) -> FakeSystemd:
    return FakeSystemd(host, Calls())


def unknown(_host: Host, systemd: FakeSystemd) -> None:
    systemd.states.clear()


def never_started(_host: Host, systemd: FakeSystemd) -> None:
    systemd.states[SERVICE] = UnitState.INACTIVE


def failed(_host: Host, systemd: FakeSystemd) -> None:
    systemd.states[SERVICE] = UnitState.FAILED


def deaf(host: Host, _systemd: FakeSystemd) -> None:
    host.path(SOCKET).touch()


def elsewhere(_host: Host, _systemd: FakeSystemd) -> None:
    pass


def podmans_socket(host: Host, _systemd: FakeSystemd) -> None:
    """As podman-docker's tmpfiles make it, whether anybody listens there or not."""
    host.path(SOCKET).symlink_to("/run/podman/podman.sock")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (unknown, "There is no Docker engine on this host."),
        (never_started, "systemctl start docker.service"),
        (failed, "docker.service is failed"),
        (elsewhere, "does not listen on /run/docker.sock"),
        (deaf, "does not answer on /run/docker.sock"),
        (podmans_socket, "[other-product]"),
    ],
)
def test_what_there_is_in_place_of_an_engine_is_told(
    monkeypatch: pytest.MonkeyPatch,
    host: Host,
    systemd: FakeSystemd,
    made: Callable[[Host, FakeSystemd], None],
    told: str,
) -> None:
    made(host, systemd)
    monkeypatch.setattr("docker.DockerClient", refusing)
    with pytest.raises(PreflightError) as refused:
        absence.require_engine(host, systemd, host.path(SOCKET))
    said = refused.value.text()
    assert refused.value.exit_code is ExitCode.REFUSED
    assert told in said
    assert "Nothing was changed." in said
    assert ("fetching server API" in said) is (made is deaf)


def refusing(**_: object) -> None:
    raise DockerException(CLIENTS)


def test_a_container_that_podman_has_started_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(absence, "IN_PODMAN", tmp_path)
    with pytest.raises(PreflightError, match="refused") as refused:
        sibling.require_engine(tmp_path / "docker.sock")
    assert "[other-product]" in refused.value.text()


def test_a_socket_that_leads_to_no_engine_is_no_rollback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("docker.DockerClient", refusing)
    with pytest.raises(PreflightError) as refused:
        sibling.require_engine(tmp_path / "docker.sock")
    assert refused.value.exit_code is ExitCode.REFUSED


class Podman:
    """What answers like an engine, and knows little of what an engine knows."""

    def info(self) -> dict[str, object]:
        return {"BuildahVersion": "1.39.4", "Driver": "overlay"}  # no ID

    def version(self) -> dict[str, object]:
        return {"Components": [{"Name": "Podman Engine"}]}

    def close(self) -> None:
        pass


def test_podman_on_the_socket_is_known_before_anything_else_is_asked(
    monkeypatch: pytest.MonkeyPatch, host: Host, systemd: FakeSystemd
) -> None:
    monkeypatch.setattr("docker.DockerClient", lambda **_: Podman())
    asks: tuple[Callable[[], None], ...] = (
        lambda: absence.require_engine(host, systemd, host.path(SOCKET)),
        lambda: sibling.require_engine(host.path(SOCKET)),
    )
    for ask in asks:
        with pytest.raises(PreflightError) as refused:
            ask()
        assert "[other-product]" in refused.value.text()
        assert "storage.conf" in refused.value.text()


def test_an_engine_is_no_podman(monkeypatch: pytest.MonkeyPatch, host: Host, systemd: FakeSystemd) -> None:
    class Docker(Podman):
        def info(self) -> dict[str, object]:
            return ENGINE_INFO

        def version(self) -> dict[str, object]:
            return ENGINE_VERSION

    monkeypatch.setattr("docker.DockerClient", lambda **_: Docker())
    absence.require_engine(host, systemd, host.path(SOCKET))
    with pytest.raises(EngineError), Engine.opened(host.path(SOCKET)):
        raise DockerException("later")

"""What a start of a container needs and is gone, or of another kind, by now."""

import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest

from entrypoint.engine.containers import needs
from entrypoint.engine.containers.needs import Surroundings, obstacles
from entrypoint.host.disks import reach
from entrypoint.host.disks.reach import Reach
from entrypoint.host.host import Host
from entrypoint.host.machine import listeners
from entrypoint.host.machine.listeners import Listener
from entrypoint.preflight.checks.engine import restart
from tests.unit.support.good_facts import GOOD

AROUND = Surroundings(
    containers=frozenset({"there"}),
    runtimes={"runc": "runc", "crun": "/usr/bin/crun", "gone": "/opt/gone"},
    devices={"bound": "/srv/volume", "lost": "/srv/lost", "far": "//server/share"},
    listeners=(
        Listener("tcp", ip_address("0.0.0.0"), 80, "nginx", 7),
        Listener("tcp", ip_address("127.0.0.1"), 81, "nginx", 7),
        Listener("tcp", ip_address("::"), 82, "docker-proxy", 8),
    ),
)


def told(root: Path, mounts: list[dict[str, Any]] | None = None, **asked: Any) -> list[str]:
    for folder in ("dev", "srv/dir", "srv/volume", "usr/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("srv/file", "usr/bin/crun"):
        (root / name).touch()
    if not (root / "dev/null").exists():
        os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    one = {"Name": "/web", "State": {"Pid": 0}, "HostConfig": asked, "Mounts": mounts or []}
    return [found.what for found in obstacles(Host(root), [one], AROUND)]


def device(path: str) -> list[dict[str, str]]:
    return [{"PathOnHost": path}]


def bind(source: str) -> list[dict[str, Any]]:
    return [{"Type": "bind", "Source": source, "Destination": "/there"}]


def strict(source: str) -> list[dict[str, Any]]:
    return [{"Type": "bind", "Source": source, "Target": "/there"}]


def volume(name: str) -> list[dict[str, Any]]:
    return [{"Type": "volume", "Name": name, "Source": f"/var/lib/docker/volumes/{name}/_data"}]


def port(number: str, address: str = "") -> dict[str, Any]:
    return {"80/tcp": [{"HostPort": number, "HostIp": address}]}


GONE: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "device": (lambda root: told(root, Devices=device("/dev/ttyX")), "the device /dev/ttyX is gone"),
    "device that is none": (lambda root: told(root, Devices=device("/srv/file")),
                            "the device /srv/file is no device any more"),
    "source of -v": (lambda root: told(root, bind("/srv/gone")),
                     "/srv/gone, which it mounts, is gone: the engine makes an empty directory there"),
    "source of --mount": (lambda root: told(root, bind("/srv/gone"), Mounts=strict("/srv/gone")),
                          "/srv/gone, which it mounts, is gone"),
    "device of a volume": (lambda root: told(root, volume("lost")), "/srv/lost, which its volume lost mounts, is gone"),
    "network": (lambda root: told(root, NetworkMode="container:gone"),
                "the container gone, whose network namespace it shares, is gone"),
    "runtime": (lambda root: told(root, Runtime="gone"), "its runtime gone is gone (/opt/gone)"),
    "runtime that is not set up": (lambda root: told(root, Runtime="kata"), "its runtime kata is gone (not set up)"),
    "port": (lambda root: told(root, PortBindings=port("80")), "its port 80/tcp is held by nginx (process 7)"),
    "port at an address": (lambda root: told(root, PortBindings=port("81")),
                           "its port 81/tcp is held by nginx (process 7)"),
}  # fmt: skip
THERE: dict[str, Callable[[Path], list[str]]] = {
    "device": lambda root: told(root, Devices=device("/dev/null")),
    "directory of devices": lambda root: told(root, Devices=device("/dev")),
    "device of a privileged container": lambda root: told(root, Devices=device("/dev/ttyX"), Privileged=True),
    "sources": lambda root: told(root, bind("/srv/dir") + bind("/srv/file"), Mounts=strict("/srv/dir")),
    "volumes": lambda root: told(root, volume("bound") + volume("own") + volume("far")[:0]),
    "network": lambda root: told(root, NetworkMode="container:there", IpcMode="private", PidMode="host"),
    "runtimes": lambda root: [*told(root, Runtime="crun"), *told(root, Runtime="runc"), *told(root, Runtime="io.x.v2")],
    "port that its own proxy holds": lambda root: told(root, PortBindings=port("82")),
    "port at another address": lambda root: told(root, PortBindings=port("81", "10.0.0.1")),
    "port that the engine chooses": lambda root: told(root, PortBindings={"80/tcp": [{"HostPort": ""}], "1/udp": None}),
}


@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_is_named(tmp_path: Path, name: str) -> None:
    look, said = GONE[name]
    assert look(tmp_path) == [said]


@pytest.mark.parametrize("name", THERE)
def test_what_is_there_is_no_obstacle(tmp_path: Path, name: str) -> None:
    assert THERE[name](tmp_path) == []


def test_what_was_a_file_and_is_a_directory_now_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is mounted stays for whom it was mounted for, whatever comes in its place."""
    monkeypatch.setattr(needs, "_kind_inside", lambda _pid, _path: 0o100000)
    assert told(tmp_path, bind("/srv/dir")) == ["/srv/dir, which it mounts, is a directory now and was a file"]
    assert told(tmp_path, bind("/srv/file")) == []


def test_the_root_of_all_is_a_directory_though_it_is_seen_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "_kind_inside", lambda _pid, _path: 0o040000)
    (tmp_path / "root").symlink_to(tmp_path)
    assert told(tmp_path / "root", bind("/")) == []


@pytest.mark.parametrize(("comm", "name"), [(b"nginx\n", "nginx"), (b"\xff\x1b[2J\n", "\ufffd\\x1b[2J")])
def test_who_listens_is_read_from_the_kernels_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comm: bytes, name: str
) -> None:
    (tmp_path / "1/net").mkdir(parents=True)
    (tmp_path / "9/fd").mkdir(parents=True)
    (tmp_path / "9/comm").write_bytes(comm)
    (tmp_path / "9/fd/3").symlink_to("socket:[77]")
    row = "  0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1\n"
    rows = (("0100007F:0050", "0A", 77), ("00000000:0050", "01", 77), ("00000000:0051", "0A", 77),
            ("00000000:0050", "0A", 78))  # fmt: skip
    (tmp_path / "1/net/tcp").write_text("header\n" + "".join(row.format(*one) for one in rows))
    (tmp_path / "1/net/udp6").write_text("header\n" + row.format("0" * 24 + "01000000:0050", "07", 77))
    monkeypatch.setattr(listeners, "PROC", tmp_path)
    assert listeners.listeners({80}) == (
        Listener("tcp", ip_address("127.0.0.1"), 80, name, 9),
        Listener("udp", ip_address("::1"), 80, name, 9),
    )


def test_the_kind_of_what_a_container_sees_is_not_that_of_a_link_out_of_it() -> None:
    assert needs._kind_inside(0, "/etc") == 0
    assert needs._kind_inside(os.getpid(), "/etc") == 0o040000


def test_what_does_not_answer_is_waited_for_with_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone: one of many containers has its paths there, and all others are looked at."""
    monkeypatch.setattr(reach, "EACH", 0.3)
    monkeypatch.setattr(reach, "BRIEFLY", 0.05)
    silent, kind = Event(), needs._kind

    def look(host: Host, path: str) -> int:
        if path.startswith("/far"):
            silent.wait()
        return kind(host, path)

    monkeypatch.setattr(needs, "_kind", look)
    around = replace(AROUND, reach=Reach(left=0.5), devices={"far": "/far/volume"})
    mounts = [*bind("/far/data"), *bind("/far/more"), *bind("/far/again"), *bind("/srv/gone"), *volume("far")]
    one = {"Name": "/web", "State": {"Pid": 0}, "HostConfig": {"Devices": device("/far/dev")}, "Mounts": mounts}
    began = monotonic()
    found = obstacles(Host(tmp_path), [one], around)
    assert monotonic() - began < 5
    silent.set()
    assert [one.what for one in found if one.is_seen] == [
        "/srv/gone, which it mounts, is gone: the engine makes an empty directory there"
    ]
    assert {one.what for one in found if not one.is_seen} == {
        "/far/dev, which it needs, could not be looked at in 0.3 s",
        "/far/data, which it needs, could not be looked at in 0.3 s",
        "/far/more, which it needs, could not be looked at in 0.05 s",
        "/far/again, which it needs, could not be looked at in 0.05 s",
        "/far/volume, which it needs, could not be looked at in 0.05 s",
    }
    titles = {one.title for one in restart.startable(replace(GOOD, obstacles=found))}
    assert titles == {"The container web runs, and cannot be started again as it is",
                      "Whether the container web can be started again is not known"}  # fmt: skip


def test_links_without_end_are_gone(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/loop").symlink_to("loop")
    assert told(tmp_path, bind("/srv/loop"), Mounts=strict("/srv/loop")) == ["/srv/loop, which it mounts, is gone"]
    assert Reach().resolved(Host(tmp_path), ("/srv/loop",)) == ("/srv/loop",)

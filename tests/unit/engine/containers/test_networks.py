"""The networks of a container that runs, of which its next start would not find something."""

from pathlib import Path
from typing import Any

import pytest

from entrypoint.engine.containers import networks
from entrypoint.engine.containers.needs import Surroundings, obstacles
from entrypoint.host.host import Host
from entrypoint.host.machine import listeners

PARENTS = {"1": "", "2": "eth0", "3": "eth1", "4": "eth0.10", "5": "eth1.10", "6": "eth0.x"}
HAS = frozenset({"lo", "eth0"})


def on(name: str, number: str) -> dict[str, Any]:
    asked = {"NetworkMode": name}
    return {"Name": "/web", "State": {"Pid": 0}, "HostConfig": asked,
            "NetworkSettings": {"Networks": {name: {"NetworkID": number}}}}  # fmt: skip


@pytest.mark.parametrize(("name", "number", "said"), [
    ("there", "1", ""),
    ("away", "9", "its network away is gone"),
    ("bridge", "9", ""),  # made anew at each start of the engine
    ("not-joined", "", ""),
    ("lan", "2", ""),
    ("usb", "3", "the interface eth1, on which its network usb is, is gone"),
    ("vlan", "4", ""),  # which the engine makes
    ("usb-vlan", "5", "the interface eth1.10, on which its network usb-vlan is, is gone"),
    ("odd", "6", "the interface eth0.x, on which its network odd is, is gone"),
])  # fmt: skip
def test_what_of_a_network_is_gone_is_named(tmp_path: Path, name: str, number: str, said: str) -> None:
    around = Surroundings(frozenset(), {}, {}, networks=PARENTS, interfaces=HAS)
    assert [one.what for one in obstacles(Host(tmp_path), [on(name, number)], around)] == [said] * bool(said)


def test_nothing_is_said_of_interfaces_that_could_not_be_seen() -> None:
    assert list(networks.gone(on("usb", "3"), PARENTS, frozenset())) == []


def test_one_that_is_on_none_lacks_none() -> None:
    found: tuple[Any, ...] = (None, {}, {"Networks": None}, {"Networks": {}})
    for settings in found:
        assert list(networks.gone({"NetworkSettings": settings}, PARENTS, HAS)) == []


def test_the_hosts_interfaces_are_read_from_the_kernels_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "PROC", tmp_path)
    assert networks.interfaces() == frozenset()
    (tmp_path / "1/net").mkdir(parents=True)
    (tmp_path / "1/net/dev").write_text("Inter-| Receive\n face |bytes\n    lo: 1 2\n eth0.10: 3 4\n")
    assert networks.interfaces() == {"lo", "eth0.10"}

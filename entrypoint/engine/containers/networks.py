"""The networks that a container is on, and what of them its next start would not find.

gone                        how that comes (tried on 26.1)
the network itself          the engine has lost it while the container ran on (live-restore): the engine refuses to
                            start it, for it knows the network by its number, and one of the same name has another
the host's interface        of a macvlan or ipvlan network: it was unplugged, or taken down. The engine cannot make the
                            network at its next start, and refuses every container that is on it

One from which a container was disconnected is none that it needs: it starts without.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from entrypoint.engine.inventory import PREDEFINED_NETWORKS
from entrypoint.host.host import HOST_PID
from entrypoint.host.machine import listeners


def gone(
    described: Mapping[str, Any], parents: Mapping[str, str], interfaces: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the networks of a container as the engine describes it, and what to do.

    `parents` are the engine's networks by their numbers, with the interface of the host that each is on, if it names
    one; `interfaces` are those that the host has, none where that is not known.
    """
    on = (described.get("NetworkSettings") or {}).get("Networks") or {}
    for name, facts in on.items():
        number = str((facts or {}).get("NetworkID") or "")
        if not number or name in PREDEFINED_NETWORKS:
            continue
        if number not in parents:
            yield f"its network {name} is gone", "Make the network and the container anew; volumes stay."
        elif (parent := parents[number]) and interfaces and not is_there(parent, interfaces):
            yield f"the interface {parent}, on which its network {name} is, is gone", f"Bring {parent} back."


def is_there(parent: str, interfaces: Collection[str]) -> bool:
    """A VLAN is made by the engine, on an interface that is there (moby libnetwork, createVlanLink)."""
    base, _, vlan = parent.rpartition(".")
    return parent in interfaces or (vlan.isdigit() and base in interfaces)


def interfaces() -> frozenset[str]:
    """Those of the host's network, as the kernel's table tells (proc_net(5)); none where it cannot be read."""
    with suppress(OSError):
        rows = (listeners.PROC / str(HOST_PID) / "net/dev").read_text().splitlines()[2:]
        return frozenset(row.partition(":")[0].strip() for row in rows)
    return frozenset()

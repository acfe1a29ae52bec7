"""Who listens on the host's ports, as the kernel's tables tell (proc_net(5)), and which process that is."""

import os
import re
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeAlias

from entrypoint.console.wording import printable
from entrypoint.host.host import HOST_PID

PROC = Path("/proc")
TABLES = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}
LISTEN, UNCONNECTED = "0A", "07"  # include/net/tcp_states.h; a UDP socket that is bound has the second
Address: TypeAlias = IPv4Address | IPv6Address
SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Listener:
    """A program that listens on an address and port."""

    protocol: str
    address: Address
    port: int
    program: str
    pid: int

    def takes(self, protocol: str, address: str, port: int) -> bool:
        """Whether nobody else can listen there; an empty address is each of the host's."""
        if (self.protocol, self.port) != (protocol, port):
            return False
        wanted = ip_address(address) if address else IPv4Address(0)
        same_family = self.address.version == wanted.version or self.address == IPv6Address(0)
        return same_family and (self.address == wanted or 0 in (int(self.address), int(wanted)))


def listeners(ports: Collection[int]) -> tuple[Listener, ...]:
    """Those on certain ports of the host."""
    found = [one for protocol, names in TABLES.items() for name in names for one in _rows(protocol, name, ports)]
    holders = dict(_holders({inode for *_others, inode in found}))
    return tuple(
        Listener(protocol, address, port, *holders[inode])
        for protocol, address, port, inode in found
        if inode in holders
    )


def _rows(protocol: str, name: str, ports: Collection[int]) -> Iterator[tuple[str, Address, int, str]]:
    with suppress(OSError):
        for line in (PROC / str(HOST_PID) / "net" / name).read_text().splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == (LISTEN if protocol == "tcp" else UNCONNECTED) and int(port, 16) in ports:
                yield protocol, _address(address), int(port, 16), words[9]


def _address(text: str) -> Address:
    """Words of four bytes, each in the machine's own order."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return ip_address(socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw))


def _holders(inodes: Collection[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Sockets by inode, with the program and number of the process that has them open."""
    for place in PROC.glob("[0-9]*") if inodes else ():
        with suppress(OSError):
            for inode in _sockets(place.joinpath("fd").iterdir()):
                if inode in inodes:
                    yield inode, (printable((place / "comm").read_text(errors="replace").strip()), int(place.name))


def _sockets(handles: Iterable[Path]) -> Iterator[str]:
    for handle in handles:
        with suppress(OSError):
            if found := SOCKET.fullmatch(os.readlink(handle)):
                yield found[1]

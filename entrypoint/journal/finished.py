"""A finished root knows itself: a record in it, from the commit of a move on, until the engine is taken from it again.

It outlives the host's configuration. Where `/etc` is made anew at each boot, the record is how the same command knows
that what is in the target is whole, and this host's own (adoption.py). It is never copied along.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from entrypoint.engine.info import EngineInfo
from entrypoint.host.disks.filesystem import atomic_write, read_ours, remove_durably
from entrypoint.host.disks.stored import mark, read_mark
from entrypoint.host.host import Host

NAME = ".relocator-root"
VERSION = 1
NOTE = "Written by relocator when it had moved a Docker engine's data root here. Without it, --adopt is needed."
MACHINE_ID, HARDWARE_ID = "/etc/machine-id", "/sys/class/dmi/id/product_uuid"


@dataclass(frozen=True)
class Finished:
    """Which engine was proven on a root, on which host, and when (seconds since 1970).

    `machine` is systemd's id of the host, `hardware` that of its board or hypervisor; either may be empty.
    """

    engine_id: str
    engine_version: str
    driver: str
    store: str
    within: str
    machine: str
    hardware: str
    at: float

    @classmethod
    def now(cls, host: Host, engine: EngineInfo) -> "Finished":
        machine, hardware = identities(host)
        return cls(engine.engine_id, engine.version, engine.driver, engine.store, engine.within,
                   machine, hardware, time.time())  # fmt: skip

    @classmethod
    def read(cls, root: Path) -> "Finished | None":
        """The record in a root; nothing if there is none, or none of ours."""
        with suppress(OSError, ValueError):
            return read_mark(cls, read_ours(root, NAME), VERSION)
        return None

    def write(self, root: Path) -> None:
        with kept_times(root):
            atomic_write(root / NAME, mark(self, NOTE, VERSION), mode=0o600)

    @staticmethod
    def end(root: Path) -> None:
        """The engine has left this root, and goes on elsewhere: it is not to be taken for the one to use."""
        if (root / NAME).exists():
            with kept_times(root):
                remove_durably(root / NAME)

    def is_of_host(self, host: tuple[str, str]) -> bool:
        """Whether one of the ids is known and the same: a stateless host may be given another id at each boot."""
        return any(one and one == other for one, other in zip((self.machine, self.hardware), host, strict=True))


@contextmanager
def kept_times(place: Path) -> Iterator[None]:
    """A directory's times are the data's, and stay."""
    was = place.stat()
    try:
        yield
    finally:
        os.utime(place, ns=(was.st_atime_ns, was.st_mtime_ns))


def identities(host: Host) -> tuple[str, str]:
    """What tells this host from others: systemd's id, and that of the hardware."""
    return _word(host, MACHINE_ID), _word(host, HARDWARE_ID)


def _word(host: Host, path: str) -> str:
    try:
        return host.path(host.resolve(path)).read_text().strip()
    except (OSError, ValueError):
        return ""

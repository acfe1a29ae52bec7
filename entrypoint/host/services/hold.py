"""Holding the engine down: while the hold file is there, systemd starts neither the service nor its socket.

A drop-in below /run asserts that the hold file is absent. Against masking it has two merits: a unit in /etc cannot be
masked from /run, and lifting the hold is the removal of one file, with no reload. A reboot lifts it too.
"""

from collections.abc import Iterable
from contextlib import suppress

from entrypoint.host.disks.filesystem import make_directories
from entrypoint.host.host import Host

HOLD = "/run/relocator/hold"
ASSERTION = f"# Written by relocator for the time of a move\n[Unit]\nAssertPathExists=!{HOLD}\n"


def drop_in(unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/00-relocator-hold.conf"


def prepare(host: Host, units: Iterable[str]) -> None:
    """Write the drop-ins; they are in force after a reload, and hold nothing yet."""
    for unit in units:
        place = host.path(drop_in(unit))
        make_directories(place.parent)
        place.write_text(ASSERTION)


def take(host: Host) -> None:
    place = host.path(HOLD)
    make_directories(place.parent, 0o700)
    place.touch()


def lift(host: Host) -> None:
    host.path(HOLD).unlink(missing_ok=True)


def remove(host: Host, units: Iterable[str]) -> None:
    """Take the drop-ins away; they are out of force after a reload."""
    for place in (host.path(HOLD), *(host.path(drop_in(unit)) for unit in units)):
        place.unlink(missing_ok=True)
        with suppress(OSError):  # not ours alone, or not there
            place.parent.rmdir()

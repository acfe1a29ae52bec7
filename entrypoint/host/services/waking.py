"""What starts the engine by itself when the disk of its root is mounted after the boot.

The engine does not start without the disk, and systemd does not try again. So the mount, however it comes about (by
fstab, a unit, or by hand), wants a unit of ours that starts what is enabled: systemd asks what a mount wants when it
sees it, also if nobody asked it to mount anything. Not the engine itself: a rescue shell mounts disks too.
"""

import string
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from entrypoint.host.services.ordering import DROP_IN

UNIT = "/etc/systemd/system/relocator-mounted.service"
PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")
WANTS = b"""\
# Written by relocator: the disk of the engine's root
[Unit]
Wants=relocator-mounted.service
Before=relocator-mounted.service
"""
# A mount that fails wants it too, and may be tried again and again: then it has nothing to do. Nor where an automount
# waits, which is a mount point with nothing in it for systemd: else the mount would be tried again and again.
STARTS = """\
# Written by relocator
[Unit]
StartLimitIntervalSec=0
{conditions}
Description=Start the Docker engine now that its disk is mounted (relocator)
Requisite=multi-user.target
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for unit in {units}; do if systemctl is-enabled --quiet "$$unit"; then \
systemctl start --no-block "$$unit"; fi; done'
"""
ROOT = PurePosixPath("/")
MOUNTED, FILLED = "ConditionPathIsMountPoint=", "ConditionDirectoryNotEmpty="


def escaped(path: PurePosixPath) -> str:
    """A path as the name of its mount unit, without the suffix (systemd.unit(5), systemd-escape --path)."""
    text = str(path).strip("/")
    if not text:
        return "-"
    return "".join(
        "-" if char == "/" else char if char in PLAIN and not (char == "." and number == 0) else _bytes(char)
        for number, char in enumerate(text)
    )


def _bytes(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def drop_in(point: PurePosixPath) -> str:
    return f"/etc/systemd/system/{escaped(point)}.mount.d/{DROP_IN}"


def places(*points: PurePosixPath) -> tuple[str, ...]:
    """The files that may have to be written or removed when a root moves from one mount to another."""
    return (UNIT, *dict.fromkeys(drop_in(point) for point in points if point != ROOT))


def starts(point: PurePosixPath, units: tuple[str, ...], *others: PurePosixPath) -> bytes:
    """The unit that starts what is enabled, once the disk is mounted, and `others` that are needed with it."""
    escaped_points = [str(one).replace("%", "%%") for one in (point, *others)]
    conditions = "\n".join(f"{condition}{one}" for condition in (MOUNTED, FILLED) for one in escaped_points)
    return STARTS.format(conditions=conditions, units=" ".join(units)).encode()


def by_either(before: bytes | None, after: bytes | None) -> bytes | None:
    """What is in such a file while either root may be the configured one: nothing that starts an engine is away, and
    the mount of any of them starts it. Of several conditions one is enough then, but not of several pairs."""
    if before is None or after is None or before == after:
        return after or before
    lines = after.decode().splitlines()
    old = [line for line in before.decode(errors="replace").splitlines() if line.startswith(MOUNTED)]
    new = [line for line in lines if line.startswith(MOUNTED)]
    points = dict.fromkeys(line.removeprefix(MOUNTED).lstrip("|") for line in (*old, *new))
    first = lines.index(new[0]) if new else len(lines)
    others = [line for line in lines[first:] if line not in new and not line.startswith(FILLED)]
    return "".join(f"{line}\n" for line in (*lines[:first], *(f"{MOUNTED}|{one}" for one in points), *others)).encode()


def wanted(targets: Iterable[PurePosixPath], units: tuple[str, ...]) -> Mapping[str, bytes]:
    """What is to be in these files for roots on the mounts at `targets`; the others are not to be there."""
    points = [point for point in dict.fromkeys(targets) if point != ROOT]
    if not points:
        return {}
    first, *others = points
    return {UNIT: starts(first, units, *others), **{drop_in(point): WANTS for point in points}}

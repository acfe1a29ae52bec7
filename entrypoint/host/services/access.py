"""What SELinux's policy lets this program ask of systemd. The kernel is asked for each permission; nothing is tried.

systemd asks the policy for leave to each call, in the caller's name (systemd: src/core/selinux-access.c). Debian's
policy confines privileged containers there, and a move must not learn that in the middle.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.console.events import log
from entrypoint.console.findings import Finding, error
from entrypoint.host.confined.entries import LABEL
from entrypoint.host.host import HOST_PID, Host
from entrypoint.host.selinux import is_enforcing

POLICY = PurePosixPath("/sys/fs/selinux")
UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
UNIT = "docker.service"
# The classes of systemd's own objects: itself, and each of its units.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "system": ("status", "reload", "start"),
    "service": ("status", "reload", "start", "stop"),
}
# The attribute of all units' types in the reference policy, which Debian's is made of.
OBJECTS = {"system": "init_t", "service": "systemdunit"}
MODULE = "relocator"


def require(host: Host) -> None:
    """Raises PreflightError where the policy is in force and does not let this program work with systemd."""
    if not is_enforcing(host):
        return
    own = own_context()
    if missing := denied(host, own):
        found = finding(own, missing)
        log.warning("finding", **asdict(found))
        raise PreflightError("SELinux forbids it. Nothing was changed.", details=found.text())


def finding(own: str, missing: Sequence[str]) -> Finding:
    return error(
        "selinux-access",
        "SELinux's policy does not let this container work with systemd",
        f"It runs as {own}, which lacks: {', '.join(missing)}.",
        way(type_of(own)),
    )


def own_context() -> str:
    return _read(Path("/proc/self/attr/current")).rstrip("\0\n")


def way(domain: str) -> str:
    """What to do: a module for the time of the move, in one line that a shell takes as it is."""
    lines = " ".join(f"'{line}'" for line in module(domain))
    return (
        f"Let it, as root, until you need {MODULE} no more (docs/selinux.md says what that means), and run again:\n\n"
        f"    printf '%s\\n' {lines} >{MODULE}.cil && semodule --install={MODULE}.cil\n\n"
        f"Take it out afterwards: semodule --remove={MODULE}"
    )


def module(domain: str) -> tuple[str, ...]:
    """The lines of CIL that are lacking, each whole."""
    return tuple(f"(allow {domain} {OBJECTS[kind]} ({kind} ({' '.join(names)})))" for kind, names in NEEDED.items())


def type_of(context: str) -> str:
    """The third word of `user:role:type:level`."""
    words = context.split(":")
    return words[2] if len(words) > 2 else context


def denied(host: Host, own: str) -> tuple[str, ...]:
    """The permissions that are lacking, as the kernel words them: `system reload`."""
    objects = {"system": _read(host.path(f"/proc/{HOST_PID}/attr/current")).rstrip("\0\n"), "service": _unit(host)}
    return tuple(
        f"{kind} {name}"
        for kind, names in NEEDED.items()
        if objects[kind]
        for name in names
        if not _may(host.path(POLICY), own, objects[kind], kind, name)
    )


def _unit(host: Host) -> str:
    """The label of the engine's unit; empty where it is not at a usual place, then the units are not asked for."""
    for place in UNITS:
        try:
            return os.getxattr(host.path(host.resolve(f"{place}/{UNIT}")), LABEL).decode().rstrip("\0")
        except OSError:
            continue
    return ""


def _may(policy: Path, own: str, other: str, kind: str, name: str) -> bool:
    """One question to the kernel, as libselinux's security_compute_av(3) asks it. A class it has not is not guarded."""
    numbers = policy / "class" / kind
    index, bit = _read(numbers / "index"), _read(numbers / "perms" / name)
    if not index or not bit:
        return True
    asking = os.open(policy / "access", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(asking, f"{own} {other} {int(index)}".encode())
        allowed, _decided, _auditallow, _auditdeny, _number, flags = os.read(asking, 200).decode().rstrip("\0").split()
    finally:
        os.close(asking)
    permissive = int(flags, 16) & 1
    return bool(permissive or int(allowed, 16) >> (int(bit) - 1) & 1)


def _read(place: Path) -> str:
    try:
        return place.read_text()
    except OSError:
        return ""

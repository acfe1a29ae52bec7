"""What this container was given, and so what it can do.

the host's process namespace, and all capabilities    works itself
only the engine's socket                              starts its sibling, which is given everything
neither                                               cannot reach the host, and says what to run instead
"""

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from entrypoint.console.command import IMAGE, has_terminal
from entrypoint.console.errors import ContainerError
from entrypoint.host.host import HOST_PID
from entrypoint.host.machine import by_hand

ENGINE_SOCKETS = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))
CONTAINER_FILE = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) /etc/")
# mount, nsenter into another's namespaces, copy what belongs to others, make device nodes
CAPABILITIES = {"SYS_ADMIN": 21, "SYS_PTRACE": 19, "DAC_READ_SEARCH": 2, "MKNOD": 27, "SYS_CHROOT": 18}
PARENT = "RELOCATOR_PARENT"
CALLED_ON = "RELOCATOR_BOOT"  # which boot of which kernel the script runs on
BOOT = Path(f"/proc/{HOST_PID}/root/proc/sys/kernel/random/boot_id")


class Standing(StrEnum):
    EQUIPPED = "equipped"
    SOCKET_ONLY = "socket-only"
    BARE = "bare"


def find_standing() -> Standing:
    """What this process can do, by trying to look, not by asking how it was started."""
    if sees_host() and not missing_capabilities():
        return Standing.EQUIPPED
    return Standing.SOCKET_ONLY if any(place.is_socket() for place in ENGINE_SOCKETS) else Standing.BARE


def sees_host() -> bool:
    """Whether process 1 is another world than ours. With a process namespace of its own it is the container's."""
    try:
        elsewhere = os.readlink(f"/proc/{HOST_PID}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        return elsewhere and Path(f"/proc/{HOST_PID}/root").is_dir()
    except OSError:
        return False


def require_systemd() -> None:
    """Raises PreflightError on a host that systemd does not run."""
    host = Path(f"/proc/{HOST_PID}")
    by_hand.require_systemd(host / "root", (host / "comm").read_text().strip())


def require_same_host() -> None:
    """Raises ContainerError where a tunnel or a virtual machine is between the script and its engine."""
    called_on = os.environ.get(CALLED_ON)
    with suppress(OSError):
        if called_on and BOOT.read_text().strip() != called_on:
            raise ContainerError(
                "The engine that `docker` speaks to runs on another host than this was called on. Nothing was done.",
                details="It is at the end of a tunnel, or in a virtual machine.",
                resolution="Call it on the host of the engine.",
            )


def missing_capabilities() -> list[str]:
    """The capabilities that are needed and not there (capabilities(7), proc_pid_status(5))."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    effective = int(found[1], 16) if found else 0
    return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]


def own_container(mounted: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The id of the container this process runs in: the engine mounts three of its files from there."""
    found = CONTAINER_FILE.search(mounted.read_text(errors="replace"))
    return found[1] if found else None


def our_containers() -> frozenset[str]:
    """The containers that end with the hand-over: this one, and the one that started it."""
    return frozenset(one for one in (own_container(), os.environ.get(PARENT)) if one)


def full_command(arguments: Sequence[str]) -> str:
    """The line that starts this image with everything it needs."""
    image = os.environ.get(IMAGE, "relocator")
    words = [
        *("docker", "run", "--rm", *(["-it"] if has_terminal() else []), "--privileged", "--pid=host"),
        *("-v", "/:/host:rslave", "-v", "/var/run/docker.sock:/var/run/docker.sock"),
        *(image, *arguments),
    ]
    return shlex.join(words)


def lacking() -> list[str]:
    """What this container was not given, each with the option that gives it."""
    missing = missing_capabilities()
    found = ["does not run as root (--user=0)"] if os.geteuid() else []
    if missing:
        found.append(f"lacks {', '.join(missing)} (--privileged)")
    # Without SYS_PTRACE nobody sees the host's; but as process 1 it has processes of its own.
    if os.getpid() == HOST_PID or not (missing or sees_host()):
        found.append("has no view of the host's processes (--pid=host)")
    return found


def unreachable(arguments: Sequence[str]) -> ContainerError:
    return ContainerError(
        "This container cannot reach the host.",
        details=f"It {', '.join(lacking())}, and it has no Docker socket to start a container that does.",
        resolution=f"Run this instead:\n\n    {full_command(arguments)}\n",
    )

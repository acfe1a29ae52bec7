"""The unit that runs the engine, found from the engine itself: it may have another name, or several.

The process that listens on the engine's socket is asked of the kernel. With socket activation that is systemd; then it
is the one in the engine's pid file. systemd knows which unit a process belongs to.
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import HOST_PID, Host
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.ordering import DROP_IN
from entrypoint.host.services.units import Unit
from entrypoint.settings.formats.unit import drop_in

SERVICE = "docker.service"
PID_FILE = "/run/docker.pid"
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
ANSWER = 5.0  # seconds
LISTENS = "00010000"  # __SO_ACCEPTCON


def find(host: Host, systemd: ServiceManager, engine_socket: Path) -> Unit:
    """The engine's service; the usual name if the engine's process belongs to none."""
    for pid in _pids(host, engine_socket):
        name = systemd.unit_of(pid)
        if name is not None and name.endswith(".service"):
            return systemd.unit(name)
    return systemd.unit(SERVICE)


def socket_unit(systemd: ServiceManager, service: Unit) -> Unit:
    """The socket that starts the service, or would."""
    names = [name for name in service.triggered_by if name.endswith(".socket")]
    return systemd.unit(names[0] if names else service.name.removesuffix(".service") + ".socket")


def listening(host: Host, socket: Unit, table: tuple[Mount, ...]) -> tuple[HostFile, ...]:
    """The drop-in of ours by which a socket waits for the disks of the roots; none where there is no socket."""
    return (HostFile.read(host, drop_in(socket.name, DROP_IN), table),) if socket.exists else ()


def unit_files(host: Host, service: Unit, table: tuple[Mount, ...]) -> tuple[HostFile, ...]:
    """The unit and its drop-ins, in the order in which systemd takes them."""
    paths = [path for path in (service.fragment, *service.drop_ins) if path]
    return tuple(HostFile.read(host, path, table) for path in paths)


def environment_files(host: Host, service: Unit, table: tuple[Mount, ...]) -> tuple[HostFile, ...]:
    """The files of variables that are there."""
    files = (HostFile.read(host, path, table) for path in service.environment_files)
    return tuple(file for file in files if file.content is not None)


def _pids(host: Host, engine_socket: Path) -> Iterator[int]:
    with suppress(OSError):
        if (listening := listener(engine_socket)) > HOST_PID:
            yield listening
    with suppress(OSError, ValueError):
        noted = int(host.path(host.resolve(PID_FILE)).read_text())
        if has_socket(host, noted, engine_socket):
            yield noted


def has_socket(host: Host, pid: int, engine_socket: Path) -> bool:
    """Whether a process has a listening socket open. An engine that keeps its number elsewhere may have left an old
    file, and the number in it may be that of any service by now. Believed where the kernel does not tell the socket."""
    wanted = host.resolve(f"/{engine_socket.relative_to(host.root)}")
    found = {inode for inode, path in _listening() if path == str(wanted) or host.resolve(path) == wanted}
    return not found or not found.isdisjoint(_sockets(pid))


def _listening() -> Iterator[tuple[str, str]]:
    """The listening sockets that have a name, in the host's network: inode and path (proc_net(5))."""
    for line in Path(f"/proc/{HOST_PID}/net/unix").read_text(errors="replace").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[3] == LISTENS and fields[7].startswith("/"):
            yield fields[6], fields[7]


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of those that a process has open."""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield os.readlink(handle).removeprefix("socket:[").removesuffix("]")


def listener(engine_socket: Path) -> int:
    """The process that listens on a socket, 0 if it is in a process namespace out of sight."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(ANSWER)
        channel.connect(str(engine_socket))
        raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(raw)[0])


def arguments(pid: int) -> tuple[str, ...]:
    """The arguments a process was really started with; none if it is gone."""
    if not pid:
        return ()
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0"))


def environment(pid: int) -> dict[str, str]:
    """The variables a process was really started with; none if it is gone."""
    if not pid:
        return {}
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(variable).partition("=") for variable in raw.split(b"\0") if variable)
    return {name: value for name, _equals, value in pairs}


def program(unit: Unit) -> str:
    """Where the engine's program is on the host, as its process or else its unit says."""
    with suppress(OSError):
        running = os.readlink(f"/proc/{unit.main_pid}/exe")
        if PurePosixPath(running).is_absolute() and not running.endswith(" (deleted)"):
            return running
    return unit.command[0] if unit.command else ""

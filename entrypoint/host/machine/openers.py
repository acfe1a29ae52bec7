"""Who on the host has something below a directory open: programs, loop devices, swap files.

Such a program goes on with what it has open, wherever its name leads by then: what it writes after a copy is in the old
directory alone. The kernel tells of an open file by its name there, which in the mounts that a program sees, or by a
bind mount of the host, may be another than that of the directory. Processes of containers are not meant: whoever runs
them ends them.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from entrypoint.console.wording import printable
from entrypoint.host.host import Host
from entrypoint.host.machine.called import Called, Mounts

CONTAINER = re.compile(r"[0-9a-f]{64}")
UNIT = re.compile(r"/([^/]+\.(?:service|scope|slice))(?=/|$)")
WRITING = os.O_WRONLY | os.O_RDWR
MAPPED = re.compile(r"^\S+ (?P<mode>\S{4}) \S+ \S+ \d+ +(?P<path>/.*)$")


@dataclass(frozen=True)
class Opener:
    """`who` has `path` open, and may write to it if it `writes`; `unit` is what runs it, if systemd does. `end` is the
    command that lets go of the file, if there is one for such."""

    who: str
    path: str
    writes: bool
    unit: str = ""
    end: str = ""

    @property
    def text(self) -> str:
        return printable(f"{self.who}{f' of {self.unit}' if self.unit else ''}: {self.path}")


def openers(host: Host, root: PurePosixPath) -> tuple[Opener, ...]:
    """All of them, each once: by the first that it may write to, if there is one."""
    mounts = Mounts(host, root)
    found = [*_programs(host, mounts), *_loops(mounts.of_host, host.path("/sys/block")),
             *_swaps(mounts.of_host, host.path("/proc/swaps"))]  # fmt: skip
    by_name: dict[tuple[str, str], Opener] = {}
    for opener in sorted(found, key=lambda opener: not opener.writes):
        by_name.setdefault((opener.who, opener.end), opener)
    return tuple(by_name.values())


def _programs(host: Host, mounts: Mounts) -> Iterator[Opener]:
    for place in host.path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            groups = (place / "cgroup").read_text(errors="replace")
            if not CONTAINER.search(groups):
                yield from tuple(_of_program(place, mounts.of(place), _unit(groups)))


def _unit(groups: str) -> str:
    """What the host's systemd runs it by; a service of a user's own manager is not known to that one."""
    names = UNIT.findall(groups)
    return names[-1] if names and not any(name.startswith("user@") for name in names) else ""


def _of_program(place: Path, names: Called, unit: str) -> Iterator[Opener]:
    who = f"{(place / 'comm').read_text(errors='replace').strip()} ({place.name})"
    for path, writes in (*_links(place, names), *_files(place, names), *_maps(place, names)):
        yield Opener(who, path, writes, unit)


def _links(place: Path, names: Called) -> Iterator[tuple[str, bool]]:
    """Where it works, and what it takes for the root of all."""
    for link in ("cwd", "root"):
        if path := names.below(_read_link(place / link)):
            yield path, False


def _files(place: Path, names: Called) -> Iterator[tuple[str, bool]]:
    with suppress(OSError):
        for handle in (place / "fd").iterdir():
            if path := names.below(_read_link(handle)):
                yield path, _is_written(place / "fdinfo" / handle.name)


def _is_written(about: Path) -> bool:
    """proc_pid_fdinfo(5): the flags with which it was opened, octal."""
    with suppress(OSError, StopIteration, ValueError):
        flags = next(line for line in about.read_text().splitlines() if line.startswith("flags:"))
        return bool(int(flags.partition(":")[2], 8) & WRITING)
    return False


def _maps(place: Path, names: Called) -> Iterator[tuple[str, bool]]:
    """What is mapped stays open when the file is closed; what is mapped for itself alone is never written."""
    with suppress(OSError):
        for line in (place / "maps").read_text(errors="replace").splitlines():
            if (mapped := MAPPED.match(line)) and (path := names.below(mapped["path"])):
                yield path, mapped["mode"][1] == "w" and mapped["mode"][3] == "s"


def _loops(names: Called, devices: Path) -> Iterator[Opener]:
    for place in devices.glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if path := names.below(place.read_text().strip()):
                device = f"/dev/{place.parents[1].name}"
                yield Opener(device, path, writes=True, end=f"losetup --detach {device}")


def _swaps(names: Called, table: Path) -> Iterator[Opener]:
    with suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            if path := names.below(line.split()[0].replace("\\040", " ")):
                yield Opener("the kernel (swap)", path, writes=True, end=f"swapoff {shlex.quote(path)}")


def _read_link(place: Path) -> str:
    try:
        return os.readlink(place)
    except OSError:
        return ""

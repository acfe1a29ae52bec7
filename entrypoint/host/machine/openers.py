"""Who on the host has something below a directory open: programs, loop devices, swap files.

Such a program goes on with what it has open, wherever its name leads by then: what it writes after a copy is in the old
directory alone. Processes of containers are not meant: whoever runs them ends them.
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

CONTAINER = re.compile(r"[0-9a-f]{64}")
UNIT = re.compile(r"/([^/]+\.(?:service|scope|slice))(?=/|$)")
DELETED = " (deleted)"
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
    found = [*_programs(host, str(root)), *_loops(str(root), host.path("/sys/block")),
             *_swaps(str(root), host.path("/proc/swaps"))]  # fmt: skip
    by_name: dict[tuple[str, str], Opener] = {}
    for opener in sorted(found, key=lambda opener: not opener.writes):
        by_name.setdefault((opener.who, opener.end), opener)
    return tuple(by_name.values())


def _programs(host: Host, root: str) -> Iterator[Opener]:
    for place in host.path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            groups = (place / "cgroup").read_text(errors="replace")
            if CONTAINER.search(groups):
                continue
            opened = tuple(_of_program(place, root, _unit(groups)))
            if opened and not _is_elsewhere(place, host, root):
                yield from opened


def _unit(groups: str) -> str:
    """What the host's systemd runs it by; a service of a user's own manager is not known to that one."""
    names = UNIT.findall(groups)
    return names[-1] if names and not any(name.startswith("user@") for name in names) else ""


def _is_elsewhere(place: Path, host: Host, root: str) -> bool:
    """Whether it calls another directory so: a machine on the host, of nspawn or LXC, may have an engine of its own."""
    with suppress(OSError):
        return not Path(f"{place}/root{root}").samefile(host.path(root))
    return False


def _of_program(place: Path, root: str, unit: str) -> Iterator[Opener]:
    who = f"{(place / 'comm').read_text(errors='replace').strip()} ({place.name})"
    for path, writes in (*_links(place, root), *_files(place, root), *_maps(place, root)):
        yield Opener(who, path, writes, unit)


def _links(place: Path, root: str) -> Iterator[tuple[str, bool]]:
    """Where it works, and what it takes for the root of all."""
    for name in ("cwd", "root"):
        if path := _below(_read_link(place / name), root):
            yield path, False


def _files(place: Path, root: str) -> Iterator[tuple[str, bool]]:
    with suppress(OSError):
        for handle in (place / "fd").iterdir():
            if path := _below(_read_link(handle), root):
                yield path, _is_written(place / "fdinfo" / handle.name)


def _is_written(about: Path) -> bool:
    """proc_pid_fdinfo(5): the flags with which it was opened, octal."""
    with suppress(OSError, StopIteration, ValueError):
        flags = next(line for line in about.read_text().splitlines() if line.startswith("flags:"))
        return bool(int(flags.partition(":")[2], 8) & WRITING)
    return False


def _maps(place: Path, root: str) -> Iterator[tuple[str, bool]]:
    """What is mapped stays open when the file is closed; what is mapped for itself alone is never written."""
    with suppress(OSError):
        for line in (place / "maps").read_text(errors="replace").splitlines():
            if (mapped := MAPPED.match(line)) and (path := _below(mapped["path"], root)):
                yield path, mapped["mode"][1] == "w" and mapped["mode"][3] == "s"


def _loops(root: str, devices: Path) -> Iterator[Opener]:
    for place in devices.glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if path := _below(place.read_text().strip(), root):
                device = f"/dev/{place.parents[1].name}"
                yield Opener(device, path, writes=True, end=f"losetup --detach {device}")


def _swaps(root: str, table: Path) -> Iterator[Opener]:
    with suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            if path := _below(line.split()[0].replace("\\040", " "), root):
                yield Opener("the kernel (swap)", path, writes=True, end=f"swapoff {shlex.quote(path)}")


def _read_link(place: Path) -> str:
    try:
        return os.readlink(place)
    except OSError:
        return ""


def _below(path: str, root: str) -> str:
    """The path, if it is in the directory."""
    known = path.removesuffix(DELETED)
    return known if known == root or known.startswith(f"{root}/") else ""

"""What one who helps needs to know of this host, in one archive: versions, configuration, and the last runs.

Nothing of it is secret as far as that can be known: files of the configuration are told as a plan tells them
(masked.py), all else as it is told to people (discretion.py). No environment of a process is in it, and no inventory;
but names of containers, volumes and paths are. So it is shown first, and written where the operator says.
"""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from entrypoint import __version__
from entrypoint.commands.status import page, text
from entrypoint.commands.status import status as statuses
from entrypoint.console import command
from entrypoint.console.discretion import discreet, told
from entrypoint.console.errors import RelocatorError, UsageError
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.unit import service
from entrypoint.host.disks.filesystem import atomic_write, mounts
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import Host
from entrypoint.journal.record import Run
from entrypoint.move.context import Context
from entrypoint.move.roots.old_roots import plan_of
from entrypoint.settings import formats
from entrypoint.settings.setting import Kind

RUNS = 5  # the last of them
MOST = 16 * 2**20  # bytes of one file of a run; of a longer one its end
CONFIG, RELEASE = "/etc/docker/daemon.json", "/etc/os-release"
WIDTH = 100


@dataclass(frozen=True)
class Part:
    """A file of the archive."""

    name: str
    text: str


def parts(context: Context) -> tuple[Part, ...]:
    """All of it; what cannot be read says so in its place."""
    found = statuses.with_present(context, statuses.read(context.journal, context.services))
    return (
        Part("versions.txt", _versions(context.host)),
        Part("status.txt", told(text.report(found, WIDTH))),
        Part("status.json", json.dumps(discreet(found.to_json()), indent=1)),
        *_configuration(context),
        *(part for run in context.journal.runs()[-RUNS:] for part in _run(run)),
    )


def archive(found: tuple[Part, ...]) -> bytes:
    """The parts, each readable by its owner alone."""
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as packing, tarfile.open(fileobj=packing, mode="w") as tar:
        for part in found:
            content = command.told(part.text).encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(f"relocator-report/{part.name}")
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _versions(host: Host) -> str:
    system, kernel = _release(host), os.uname()
    lines = [f"relocator {__version__}", f"Linux {kernel.release} {kernel.machine}", system]
    try:
        with Engine.opened(socket_of(host)) as engine:
            info = engine.info()
        lines.append(f"Docker {info.version}, {info.driver} ({info.store}), {info.data_root}")
    except RelocatorError as error:
        lines.append(told(error.text()))
    table = (f"{mount.point} {mount.kind} {mount.source}" for mount in mounts() if mount.source.startswith("/dev/"))
    return "\n".join([*lines, "", *table, ""])


def _release(host: Host) -> str:
    with suppress(OSError):
        words = host.path(host.resolve(RELEASE)).read_text(errors="replace").splitlines()
        return next((line.partition("=")[2].strip('"') for line in words if line.startswith("PRETTY_NAME=")), "")
    return "The system does not say what it is."


def _configuration(context: Context) -> Iterator[Part]:
    """The engine's units and files, as far as they may be shown."""
    table = mounts()
    unit = service.find(context.host, context.services, socket_of(context.host))
    socket = service.socket_unit(context.services, unit)
    for one in (unit, socket):
        for file in service.unit_files(context.host, one, table):
            yield _file(file, Kind.COMMAND)
    for file in service.environment_files(context.host, unit, table):
        yield _file(file, Kind.ENVIRONMENT)
    yield _file(HostFile.read(context.host, CONFIG, table), Kind.JSON)


def _file(file: HostFile, kind: Kind) -> Part:
    name = f"host{file.path}"
    return Part(name, "".join(formats.lines(file.content, kind)) if file.content is not None else "(not there)\n")


def _run(run: Run) -> Iterator[Part]:
    place = PurePosixPath("runs", run.number)
    for name in ("journal.jsonl", "log.jsonl"):
        yield Part(str(place / name), _end(run, name))
    with suppress(RelocatorError):  # of another version, or cut off before it had one
        plan = plan_of(run)
        roots = "".join(f"{root.source} -> {root.target}\n" for root in plan.roots)
        yield Part(str(place / "plan.txt"), roots + "\n".join(edit.diff() for edit in plan.edits))


def _end(run: Run, name: str) -> str:
    try:
        with (run.place / name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST))
            return told(file.read().decode("utf-8", "replace"))
    except OSError as error:
        return f"(cannot be read: {error.strerror})\n"


def place_of(host: Host, name: str) -> Path:
    """Where a report is to be written, by a path of the host; nothing is replaced. Raises UsageError."""
    return page.destination(host, name, "report", "/root/report.tar.gz", lambda _place: False)


def save(place: Path, found: tuple[Part, ...]) -> None:
    """Readable by root alone. Raises UsageError if it cannot be written."""
    try:
        atomic_write(place, archive(found), mode=0o600)
    except OSError as error:
        raise UsageError(
            "The report cannot be written.", details=str(error), resolution="Name another file."
        ) from error

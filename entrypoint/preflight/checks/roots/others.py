"""Who else is there: programs of the host that have files of a root open, and files of the host that name them."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, error, warning
from entrypoint.console.wording import printable
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.machine.openers import Opener
from entrypoint.host.services.waking import escaped
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings.formats.text import text_of_file
from entrypoint.settings.formats.unit import assignments

SHOWN = 5


def opened(facts: HostFacts) -> Iterator[Finding]:
    """What is written after the last look is in the old root alone; what is read is that of before the move."""
    found = [opener for root in facts.roots for opener in root.source.openers if opener.unit not in own(facts)]
    if writers := [opener for opener in found if opener.writes]:
        yield error(
            "source-written",
            "Something on the host writes to files of the data root",
            f"{told(writers)}. It would go on writing to the old root, and the engine would never see that.",
            f"Stop it for the move: {way(writers)}",
        )
    if readers := [opener for opener in found if not opener.writes]:
        yield warning(
            "source-read",
            "Something on the host has files of the data root open",
            f"{told(readers)}. After the move it still sees the old root.",
            f"Start it anew then: {way(readers, 'restart')}",
        )


def named(facts: HostFacts) -> Iterator[Finding]:
    known = {str(file.path) for file in (*facts.unit_files, *facts.environment_files, *facts.waking, *facts.listening,
                                         facts.drop_in, facts.override, facts.config)}  # fmt: skip
    for root in facts.roots:
        if files := [path for path in root.source.mentions if path not in known]:
            yield warning(
                "source-named",
                "Files of the host name a path in the data root",
                f"{printable(', '.join(files[:SHOWN]))}{' …' if files[SHOWN:] else ''}: {root.source.path}. They go on "
                "meaning the old root.",
                f"After the move let them name {root.target.resolved}.",
            )


def awaited(facts: HostFacts) -> Iterator[Finding]:
    """What the administrator lets the engine wait for: the old disk, when that is gone, and with it for ever."""
    for root in facts.roots:
        point = root.source.mount.point
        is_shared = point in (PurePosixPath("/"), root.target.mount.point)
        names = {str(root.source.path)} if is_shared else {str(root.source.path), str(point), f"{escaped(point)}.mount"}
        lines = [line for file in facts.unit_files if file != facts.drop_in for line in _waiting(file, names)]
        if lines:
            yield warning(
                "unit-waits-for-old",
                f"{facts.service.name} waits for the old root, or for its disk",
                f"{'; '.join(lines[:SHOWN])}. When that is removed, the engine does not start any more.",
                "Take these lines out before the old root is removed (systemctl edit), then: systemctl daemon-reload",
            )


def _waiting(file: HostFile, names: Collection[str]) -> Iterator[str]:
    for assignment in assignments(text_of_file(file.content)):
        words = assignment.value.replace('"', " ").split()
        if assignment.section == "Unit" and any(
            word.lstrip("|!") == name or word.lstrip("|!").startswith(f"{name}/") for word in words for name in names
        ):
            yield f"{file.path} has {assignment.key}={assignment.value}"


def own(facts: HostFacts) -> frozenset[str]:
    """What stops with the engine, or is ended by the move itself."""
    containerd = {facts.containerd.service.name} if facts.containerd else set()
    return frozenset({facts.service.name, facts.socket.name, facts.worker.name, *facts.dependents, *containerd})


def told(openers: Iterable[Opener]) -> str:
    texts = [opener.text for opener in openers]
    return f"{'; '.join(texts[:SHOWN])}{' …' if texts[SHOWN:] else ''}"


def way(openers: Collection[Opener], verb: str = "stop") -> str:
    """For services by their names, for disks and swap by the command; all others are to be looked at."""
    units = dict.fromkeys(opener.unit for opener in openers if opener.unit.endswith(".service"))
    ways = [f"systemctl {verb} {' '.join(units)}"] if units else []
    ways += dict.fromkeys(opener.end for opener in openers if opener.end)
    if any(not opener.end and opener.unit not in units for opener in openers):
        ways.append("see what a program is by its number: systemctl status NUMBER")
    return "; ".join(ways)

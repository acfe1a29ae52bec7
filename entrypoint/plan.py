"""The plan: pure data, made from facts, printed by `plan`, stored for the worker and executed as it is."""

import base64
import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from entrypoint import daemon_config, wording
from entrypoint.facts import HostFacts, HostFile
from entrypoint.inventory import ALIVE, Container
from entrypoint.systemd import RUNNING
from entrypoint.target_checks import is_same_file_system

SPECIAL_IN_UNITS = {"\\": "\\\\", '"': '\\"', "%": "%%"}


@dataclass(frozen=True)
class FileEdit:
    """One file of the host's configuration: its content before (None: it was not there) and after.

    `created` are the directories that have to be made for it, the outermost first.
    """

    path: str
    before: bytes | None
    after: bytes
    created: tuple[str, ...] = ()

    def diff(self) -> str:
        """A unified diff, for people."""
        old = (self.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
        new = self.after.decode("utf-8", "replace").splitlines(keepends=True)
        origin = self.path if self.before is not None else "/dev/null"
        lines = difflib.unified_diff(old, new, origin, self.path)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"before": encode(self.before), "after": encode(self.after)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FileEdit":
        after = decode(stored["after"])
        assert after is not None
        return cls(stored["path"], decode(stored["before"]), after, tuple(stored["created"]))


def encode(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


@dataclass(frozen=True)
class Plan:
    """What a move will do. Paths are the host's, free of symlinks.

    `units` are started and stopped, the socket first; `started` are those of them that run now and will run again.
    `dependents` are units that stop along with them. `switch` is the edit that is the commit point; `ordering` makes
    the engine wait for the target's disk. `created` are the directories that have to be made for the target, the
    outermost first.
    """

    source: str
    target: str
    same_file_system: bool
    units: tuple[str, ...]
    started: tuple[str, ...]
    ordering: FileEdit
    switch: FileEdit
    dependents: tuple[str, ...]
    created: tuple[str, ...]
    size: int
    entries: int
    layers: int
    engine_id: str
    bwlimit: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ordering": self.ordering.to_json(), "switch": self.switch.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Plan":
        edits = {name: FileEdit.from_json(stored[name]) for name in ("ordering", "switch")}
        tuples = {name: tuple(stored[name]) for name in ("units", "started", "dependents", "created")}
        return cls(**{**stored, **edits, **tuples})

    def describe(self) -> tuple[str, ...]:
        """The steps in order, a sentence each."""
        how = "hard-link" if self.same_file_system else "copy"
        return (
            f"{how} {self.layers} image layers, copy the rest of {self.source} ({wording.size(self.size)}, "
            f"{self.entries} files and directories) to {self.target}; the engine runs",
            f"stop {' and '.join(self.units)} in one operation; nothing can start them meanwhile",
            "copy what has changed since, flush it to the disk, and check the copy against the source",
            f"write {self.ordering.path}, so that the engine waits for the target's disk",
            f"write {self.switch.path}: from here on the data root is {self.target}",
            f"start {' and '.join(self.started) or 'nothing, for nothing ran'}, and the containers that ran",
            "compare everything the engine holds with what it held before; if anything is missing, go back",
            f"leave {self.source} as it is",
        )


def make(facts: HostFacts, bwlimit: str = "") -> Plan:
    """The plan for facts without an error finding."""
    units = tuple(unit for unit in (facts.socket, facts.service) if unit.exists)
    target = facts.target.resolved
    place = str(facts.config.path)
    return Plan(
        source=str(facts.source.path),
        target=str(target),
        same_file_system=is_same_file_system(facts),
        units=tuple(unit.name for unit in units),
        started=tuple(unit.name for unit in units if unit.active_state in RUNNING),
        ordering=ordering_edit(facts, target),
        switch=edit(facts.config, daemon_config.with_data_root(facts.config.content, str(target), place)),
        dependents=facts.dependents,
        created=missing_directories(target, facts.target.ancestor),
        size=facts.source.size.allocated,
        entries=facts.source.size.entries,
        layers=facts.source.layers,
        engine_id=facts.engine.engine_id,
        bwlimit=bwlimit,
    )


def ordering_edit(facts: HostFacts, target: PurePosixPath) -> FileEdit:
    """The drop-in is ours alone. Only that for the source is put back by a rollback; any other is a leftover, and its
    assertion would keep the engine from starting once that target is gone."""
    made = edit(facts.drop_in, ordering_drop_in(target))
    return made if made.before == ordering_drop_in(facts.source.path) else replace(made, before=None)


def edit(file: HostFile, after: bytes) -> FileEdit:
    created = missing_directories(file.path.parent, file.ancestor)
    return FileEdit(str(file.path), file.content, after, created)


def missing_directories(target: PurePosixPath, ancestor: PurePosixPath) -> tuple[str, ...]:
    """The directories between the nearest existing one and the target, with the target, the outermost first."""
    steps = (target, *target.parents)
    return tuple(str(step) for step in reversed(steps) if ancestor in step.parents)


def ordering_drop_in(target: PurePosixPath) -> bytes:
    """A drop-in that makes the engine wait for the target's mounts, and not start where there is no root.

    A missing disk would else let dockerd make an empty root in the bare mount point, and start "fine" (for-linux 293).
    """
    return (
        f"# Written by relocator when it moved the data root to {target}\n"
        "[Unit]\n"
        f"RequiresMountsFor={quote_for_unit(str(target))}\n"
        f"AssertDirectoryNotEmpty={str(target).replace('%', '%%')}\n"
    ).encode()


def quote_for_unit(path: str) -> str:
    """A path as one word of a unit file's list."""
    escaped = "".join(SPECIAL_IN_UNITS.get(char, char) for char in path)
    return f'"{escaped}"'


def fates(containers: tuple[Container, ...]) -> dict[str, str]:
    """What will happen to each container, by name; only `--rm` containers are lost."""
    return {one.name: fate(one) for one in containers}


def fate(container: Container) -> str:
    if container.auto_remove and container.status in ALIVE:
        return "is removed by the engine when it stops (--rm)"
    if container.status in ALIVE:
        return f"stops and is {container.status} again after the move"
    return f"stays {container.status}"

"""The plan: pure data, made from facts, printed by `plan`, stored for the worker and executed as it is."""

import base64
import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from entrypoint import selinux, settings, switch, waking, wording
from entrypoint.facts import HostFacts
from entrypoint.host_file import HostFile
from entrypoint.inventory import ALIVE, Container
from entrypoint.layers import DRIVER
from entrypoint.service import SERVICE
from entrypoint.settings import Setting
from entrypoint.systemd import RUNNING
from entrypoint.target_checks import can_link


class Direction(StrEnum):
    """Whether the target is a copy that is made, the root that an earlier move has left, or another that is whole."""

    FORTH = "forth"
    BACK = "back"
    ADOPT = "adopt"


SPECIAL_IN_UNITS = {"\\": "\\\\", '"': '\\"', "%": "%%"}


@dataclass(frozen=True)
class FileEdit:
    """One file of the host's configuration: its content before and after; None where it is not to be there.

    `created` are the directories that have to be made for it, the outermost first. `setting` says where in the file
    the data root is set, if it is the one that sets it.
    """

    path: str
    before: bytes | None
    after: bytes | None
    created: tuple[str, ...] = ()
    setting: Setting = field(default_factory=Setting)

    def diff(self) -> str:
        """A unified diff, for people."""
        old = (self.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
        new = (self.after or b"").decode("utf-8", "replace").splitlines(keepends=True)
        origin, result = (self.path if content is not None else "/dev/null" for content in (self.before, self.after))
        lines = difflib.unified_diff(old, new, origin, result)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"before": encode(self.before), "after": encode(self.after)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FileEdit":
        setting = Setting.from_json(stored["setting"])
        return cls(stored["path"], decode(stored["before"]), decode(stored["after"]), tuple(stored["created"]), setting)


def does(edit: FileEdit) -> str:
    return "write" if edit.after is not None else "remove"


def encode(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


@dataclass(frozen=True)
class Plan:
    """What a move will do. Paths are the host's, free of symlinks.

    `service` is the unit that runs the engine, which works `within` a directory of its root if users are remapped.
    `units` are started and stopped, the socket first; `started` are those of them that run now and will run again.
    `dependents` are units that stop along with them, `awaited` those that are yet to be started then; nobody waits for
    these, as they may wait for the move.
    `switch` is the edit that is the commit point; `ordering` makes the engine wait for the target's disk. `created` are
    the directories that have to be made for the target, the outermost first. `source_identity` is the device and the
    inode of the source, and `source_born` when it was made; by these it is known when it is to be removed. `adopts` is
    whose root the target is, if it is adopted and says so. `waking` are edits that let the engine start when its disk
    is mounted later. `driver` is the storage driver, `driver_named` the one that the configuration names.
    `remove_ephemeral`: the operator has agreed to the loss of containers with `--rm`. `rules` are edits of SELinux's
    rules, line by line. `one_of_managers`: of a swarm, so that an older state must not be returned to the others.
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
    service: str = SERVICE
    within: str = ""
    source_identity: tuple[int, int] = (0, 0)
    source_born: str = ""
    engine_version: str = ""
    direction: Direction = Direction.FORTH
    checksum: bool = False
    adopts: str = ""
    waking: tuple[FileEdit, ...] = ()
    remove_ephemeral: bool = False
    driver: str = DRIVER
    driver_named: str = ""
    awaited: tuple[str, ...] = ()
    rules: tuple[FileEdit, ...] = ()
    one_of_managers: bool = False

    @property
    def target_engine_id(self) -> str:
        """What the engine is called once it runs on the target."""
        return self.adopts or self.engine_id

    def is_target(self, configured: str | None) -> bool:
        """Whether a configured root leads to the target. Going back, there may be none: the target is the default."""
        if self.direction is not Direction.BACK:
            return configured == self.target
        return configured == settings.root_in(self.switch.after, self.switch.setting, self.switch.path)

    def to_json(self) -> dict[str, Any]:
        edits = {"ordering": self.ordering.to_json(), "switch": self.switch.to_json()}
        several = {"waking": self.waking, "rules": self.rules}
        return asdict(self) | edits | {name: [one.to_json() for one in found] for name, found in several.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Plan":
        edits = {name: FileEdit.from_json(stored[name]) for name in ("ordering", "switch")}
        tuples = {
            name: tuple(stored.get(name, ())) for name in ("units", "started", "dependents", "awaited", "created")
        }
        device, inode = stored["source_identity"]
        own = {"source_identity": (device, inode), "direction": Direction(stored["direction"])}
        several = {name: tuple(FileEdit.from_json(one) for one in stored.get(name, ())) for name in ("waking", "rules")}
        return cls(**{**stored, **edits, **tuples, **own, **several})

    def describe(self) -> tuple[str, ...]:
        """The steps in order, a sentence each."""
        if self.direction is not Direction.FORTH:
            return (self._stop(), *self._around(self.target), f"leave {self.source} as it is")
        how = "hard-link" if self.same_file_system else "copy"
        checked = "the copy and the content of every file" if self.checksum else "the copy"
        return (
            f"{how} {self.layers} image layers, copy the rest of {self.source} ({wording.size(self.size)}, "
            f"{self.entries} files and directories) to {self.target}; the engine runs",
            self._stop(),
            f"copy what has changed since, flush it to the disk, and check {checked} against the source",
            *self._around(self.target),
            f"leave {self.source} as it is",
        )

    def _stop(self) -> str:
        return f"stop {' and '.join(self.units)} in one operation; nothing can start them meanwhile"

    def _proof(self) -> str:
        return "is in the adopted root" if self.direction is Direction.ADOPT else "it held before"

    def _around(self, root: str) -> tuple[str, ...]:
        """From the switch to the proof."""
        return (
            *(f"change {rule.path}: SELinux's types follow the root" for rule in self.rules),
            f"{does(self.ordering)} {self.ordering.path}, so that the engine waits for the disk of this root alone",
            f"{does(self.switch)} {self.switch.path}: from here on the data root is {root}",
            f"start {' and '.join(self.started) or 'nothing, for nothing ran'}, and the containers that ran",
            f"compare everything the engine holds with what {self._proof()}; if anything is missing, go back",
        )


def adopting(made: Plan, engine_id: str) -> Plan:
    """The same, for a target that is a whole root; nothing is copied, and nothing has to be made."""
    return replace(made, direction=Direction.ADOPT, adopts=engine_id, created=(), checksum=False)


def make(facts: HostFacts, bwlimit: str = "", *, checksum: bool = False, remove_ephemeral: bool = False) -> Plan:
    """The plan for facts without an error finding."""
    units = tuple(unit for unit in (facts.socket, facts.service) if unit.exists)
    target = facts.target.resolved
    return Plan(
        source=str(facts.source.path),
        target=str(target),
        same_file_system=can_link(facts),
        units=tuple(unit.name for unit in units),
        started=tuple(unit.name for unit in units if unit.active_state in RUNNING),
        ordering=ordering_edit(facts, target),
        switch=switch_edit(facts, target),
        waking=waking_edits(facts),
        rules=rule_edits(facts),
        dependents=facts.dependents,
        awaited=facts.awaited,
        created=missing_directories(target, facts.target.ancestor),
        size=facts.source.size.allocated,
        entries=facts.source.size.entries,
        layers=facts.source.layers,
        engine_id=facts.engine.engine_id,
        bwlimit=bwlimit,
        checksum=checksum,
        remove_ephemeral=remove_ephemeral,
        driver=facts.engine.driver,
        driver_named=facts.storage_driver(),
        service=facts.service.name,
        within=facts.engine.within,
        source_identity=facts.source.identity,
        source_born=facts.source.born,
        engine_version=facts.engine.version,
        one_of_managers=facts.engine.swarm.is_one_of_managers,
    )


def switch_edit(facts: HostFacts, target: PurePosixPath) -> FileEdit:
    """The commit point: the place that sets the data root names the target. Raises PreflightError."""
    changed = switch.change(facts.decision().place, facts.override, str(target))
    return replace(edit(changed.file, changed.content), setting=changed.setting)


def ordering_edit(facts: HostFacts, target: PurePosixPath) -> FileEdit:
    """The drop-in is ours alone. Only that for the source is put back by a rollback; any other is a leftover, and its
    assertion would keep the engine from starting once that target is gone."""
    made = edit(facts.drop_in, ordering_drop_in(target))
    return made if made.before == ordering_drop_in(facts.source.path) else replace(made, before=None)


def waking_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """The mount of the target wakes the engine, and that of the source does no more."""
    units = tuple(unit.name for unit in (facts.socket, facts.service) if unit.exists)
    wanted = waking.wanted(facts.target.mount.point, units)
    found = ((file, wanted.get(str(file.path))) for file in facts.waking)
    return tuple(edit(file, after) for file, after in found if file.content != after)


def rule_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """SELinux treats the target like the root that its policy knows; a rule that is there already is nobody's edit."""
    target = facts.target.resolved
    if facts.selinux is None or not facts.selinux.has_rules or not selinux.can_be_named(target):
        return ()
    rules = facts.selinux.rules
    after = selinux.with_rule(rules.content, target)
    return () if after == rules.content else (edit(rules, after),)


def edit(file: HostFile, after: bytes | None) -> FileEdit:
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
    if container.service:
        return "is a task, which the swarm makes anew"
    if container.status in ALIVE:
        return f"stops and is {container.status} again after the move"
    return f"stays {container.status}"

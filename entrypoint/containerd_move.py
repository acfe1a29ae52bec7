"""containerd's root as a part of a move: what is known of it, and the two files that change for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from entrypoint import switch
from entrypoint.containerd import STATE
from entrypoint.containerd_config import KEY, renamed
from entrypoint.errors import PreflightError
from entrypoint.facts import HostFacts
from entrypoint.file_edit import FileEdit, edit, missing_directories
from entrypoint.host_file import HostFile
from entrypoint.ordering import ordering_drop_in
from entrypoint.settings import Kind, Setting
from entrypoint.systemd import RUNNING


@dataclass(frozen=True)
class ContainerdMove:
    """`service` runs containerd, and is `started` again if it ran. `switch` is the edit of its configuration, which
    follows the engine's own (pair.py). `names` are edits of its other files, where these name what is in the root and
    is of no account while it starts. What others run with it is ended, if it `ends_others`; it is seen in its
    `state`. The rest is as in the plan of the data root."""

    source: str
    target: str
    same_file_system: bool
    created: tuple[str, ...]
    size: int
    entries: int
    source_identity: tuple[int, int]
    source_born: str
    service: str
    started: bool
    switch: FileEdit
    ordering: FileEdit
    state: str = STATE
    ends_others: bool = False
    names: tuple[FileEdit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        edits = {"switch": self.switch.to_json(), "ordering": self.ordering.to_json()}
        return asdict(self) | edits | {"names": [one.to_json() for one in self.names]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ContainerdMove":
        device, inode = stored["source_identity"]
        edits = {name: FileEdit.from_json(stored[name]) for name in ("switch", "ordering")}
        names = tuple(FileEdit.from_json(one) for one in stored.get("names", ()))
        own = {"source_identity": (device, inode), "created": tuple(stored["created"]), "names": names}
        return cls(**{**stored, **edits, **own})


def make(facts: HostFacts, can_link: Callable[[HostFacts], bool], ends_others: bool = False) -> ContainerdMove | None:
    """Nothing where no containerd has a root that moves. Raises PreflightError where no edit would be right."""
    found, (*_, own) = facts.containerd, facts.each()
    if found is None or facts.containerd_target is None:
        return None
    source, target = own.source, own.target.resolved
    return ContainerdMove(
        source=str(source.path),
        target=str(target),
        same_file_system=can_link(own),
        created=missing_directories(target, own.target.ancestor),
        size=source.size.allocated,
        entries=source.size.entries,
        source_identity=source.identity,
        source_born=source.born,
        service=found.service.name,
        started=found.service.active_state in RUNNING,
        switch=switch_edit(facts),
        ordering=ordering_edit(own, facts),
        state=found.state,
        ends_others=ends_others,
        names=tuple(replace(edit(file, after), setting=Setting(Kind.TOML, KEY)) for file, after in naming(facts)),
    )


def switch_edit(facts: HostFacts) -> FileEdit:
    """The place that sets containerd's root names the target. Raises PreflightError."""
    found, (*_, own) = facts.containerd, facts.each()
    assert found is not None
    place, target = found.place, str(own.target.resolved)
    if place is None:
        raise PreflightError(f"The command of {found.service.name} cannot be understood.")
    changed = switch.change(place, found.override, target)
    return replace(edit(changed.file, changed.content), setting=changed.setting)


def naming(facts: HostFacts) -> Iterator[tuple[HostFile, bytes | None]]:
    """The files that name paths in the root and do not set it, and what they are to hold. Raises PreflightError."""
    found, (*_, own) = facts.containerd, facts.each()
    assert found is not None
    for file in (found.config, *found.imported):
        if found.place and file.path != found.place.file.path:
            after = renamed(file.content, str(found.root), str(own.target.resolved), str(file.path))
            if after != file.content:
                yield file, after


def ordering_edit(own: HostFacts, facts: HostFacts) -> FileEdit:
    """As for the engine: any drop-in but that for the source is a leftover."""
    assert facts.containerd is not None
    made = edit(facts.containerd.drop_in, ordering_drop_in(own.target.resolved))
    return made if made.before == ordering_drop_in(own.source.path) else replace(made, before=None)

"""containerd's root as a part of a move: what is known of it, and the two files that change for it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from entrypoint.containerd import STATE
from entrypoint.containerd_config import KEY, root_in, with_root
from entrypoint.facts import HostFacts
from entrypoint.file_edit import FileEdit, edit, missing_directories
from entrypoint.ordering import ordering_drop_in
from entrypoint.settings import Kind, Setting
from entrypoint.systemd import RUNNING


@dataclass(frozen=True)
class ContainerdMove:
    """`service` runs containerd, and is `started` again if it ran. `switch` is the edit of its configuration, which
    follows the engine's own (pair.py). What others run with it is ended, if it `ends_others`; it is seen in its
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"switch": self.switch.to_json(), "ordering": self.ordering.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ContainerdMove":
        device, inode = stored["source_identity"]
        edits = {name: FileEdit.from_json(stored[name]) for name in ("switch", "ordering")}
        own = {"source_identity": (device, inode), "created": tuple(stored["created"])}
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
    )


def switch_edit(facts: HostFacts) -> FileEdit:
    """containerd's file names the target. Raises PreflightError."""
    found, (*_, own) = facts.containerd, facts.each()
    assert found is not None
    place = str(found.config.path)
    after = with_root(found.config.content, str(own.target.resolved), place)
    setting = Setting(Kind.TOML, KEY, was=root_in(found.config.content, place) or "")
    return replace(edit(found.config, after), setting=setting)


def ordering_edit(own: HostFacts, facts: HostFacts) -> FileEdit:
    """As for the engine: any drop-in but that for the source is a leftover."""
    assert facts.containerd is not None
    made = edit(facts.containerd.drop_in, ordering_drop_in(own.target.resolved))
    return made if made.before == ordering_drop_in(own.source.path) else replace(made, before=None)

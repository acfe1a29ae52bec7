"""containerd's root as a part of a move: what is known of it, and the two files that change for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from entrypoint.engine.containerd.service import STATE
from entrypoint.host.services.units import RUNNING
from entrypoint.preflight.containerd_edits import naming, ordering_edit, switch_edit
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings.file_edit import FileEdit, edit, missing_directories
from entrypoint.settings.formats.config_toml import SETTING


@dataclass(frozen=True)
class ContainerdMove:
    """`service` runs containerd, and is `started` again if it ran. `switch` is the edit of its configuration, which
    follows the engine's own (paired_switch.py). `names` are edits of its other files, where these name what is in the
    root and is of no account while it starts. What others run with it is ended, if it `ends_others`; it is seen in
    its `state`. The rest is as in the plan of the data root."""

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
        names=tuple(replace(edit(file, after), setting=SETTING) for file, after in naming(facts)),
    )

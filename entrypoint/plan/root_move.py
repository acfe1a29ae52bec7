"""One root's part of a move: what is known of it, and the files that change for it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from entrypoint.engine.containerd.service import STATE, Containerd
from entrypoint.engine.info import NAMESPACES
from entrypoint.host.services.units import RUNNING
from entrypoint.preflight.edits import containerd as containerd_edits
from entrypoint.preflight.edits import engine as edits
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, RootKind
from entrypoint.settings.file_edit import FileEdit, edit, missing_directories
from entrypoint.settings.formats.config_toml import SETTING


@dataclass(frozen=True)
class RootService:
    """The unit that works on a root beside the engine: containerd's. It is `started` again if it ran.

    By `ordering` it waits for the root's disk. What others run with it is ended, if it `ends_others`; that is seen in
    its `state`, a directory: what is not in the engine's own `namespaces`.
    """

    name: str
    started: bool
    ordering: FileEdit
    state: str = STATE
    ends_others: bool = False
    namespaces: tuple[str, ...] = NAMESPACES


@dataclass(frozen=True)
class RootMove:
    """From where to where a root moves, and how it is known again.

    Its `layers` are hard-linked if it `links`. `created` are the directories that have to be made for the target, the
    outermost first. `size` is in bytes, `entries` counts files and directories. `identity` is the device and the inode
    of the source, and `born` when it was made; by these it is known when it is to be removed. `switch` is the edit by
    which the next start finds the target; `follow` are edits of other files, where these name what is in the root and
    are of no account for where it is. `within` is the directory of it that is worked in, if users are remapped.
    """

    kind: RootKind
    source: str
    target: str
    links: bool
    created: tuple[str, ...]
    size: int
    entries: int
    identity: tuple[int, int]
    born: str
    switch: FileEdit
    layers: int = 0
    follow: tuple[FileEdit, ...] = ()
    within: str = ""
    service: RootService | None = None

    def place(self, *, is_target: bool) -> str:
        return self.target if is_target else self.source


def root_moves(facts: HostFacts, *, ends_others: bool) -> Iterator[RootMove]:
    """The roots that are to move, the first one first. Raises PreflightError where no edit would be right."""
    for root in facts.roots:
        moved = _moved(root, edits.switch_edit(facts, root))
        if root.kind is RootKind.IMAGE_STORE and facts.containerd:
            yield replace(moved, follow=_follow(facts), service=_service(facts, facts.containerd, root, ends_others))
        else:
            yield replace(moved, layers=root.source.layers, within=facts.engine.within)


def _follow(facts: HostFacts) -> tuple[FileEdit, ...]:
    return tuple(replace(edit(file, after), setting=SETTING) for file, after in containerd_edits.naming(facts))


def _service(facts: HostFacts, found: Containerd, root: RootFacts, ends_others: bool) -> RootService:
    return RootService(
        name=found.service.name,
        started=found.service.active_state in RUNNING,
        ordering=containerd_edits.ordering_edit(found, root),
        state=found.state,
        ends_others=ends_others,
        namespaces=facts.engine.namespaces,
    )


def _moved(root: RootFacts, switch: FileEdit) -> RootMove:
    source, target = root.source, root.target
    return RootMove(
        kind=root.kind,
        source=str(source.path),
        target=str(target.resolved),
        links=root.can_link,
        created=missing_directories(target.resolved, target.ancestor),
        size=source.size.allocated,
        entries=source.size.entries,
        identity=source.identity,
        born=source.born,
        switch=switch,
    )

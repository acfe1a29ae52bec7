"""The edits of containerd's own files that a move of its root makes."""

from collections.abc import Iterator
from dataclasses import replace

from entrypoint.console.errors import PreflightError
from entrypoint.engine.containerd.service import Containerd
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.services.ordering import IMAGES, ordering_drop_in
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, RootKind
from entrypoint.settings import switch
from entrypoint.settings.file_edit import FileEdit, edit
from entrypoint.settings.formats.config_toml import renamed


def switch_edit(facts: HostFacts, root: RootFacts) -> FileEdit:
    """The place that sets containerd's root names the target. Raises PreflightError."""
    found = facts.containerd
    assert found is not None
    place, target = found.place, str(root.target.resolved)
    if place is None:
        raise PreflightError(f"The command of {found.service.name} cannot be understood.")
    changed = switch.change(place, found.override, target)
    return replace(edit(changed.file, changed.content), setting=changed.setting)


def naming(facts: HostFacts) -> Iterator[tuple[HostFile, bytes | None]]:
    """The files that name paths in the root and do not set it, and what they are to hold. Raises PreflightError."""
    found, root = facts.containerd, facts.root(RootKind.IMAGE_STORE)
    if found is None or root is None or found.place is None:
        return
    for file in (found.config, *found.imported):
        if file.path != found.place.file.path:
            after = renamed(file.content, str(found.root), str(root.target.resolved), str(file.path))
            if after != file.content:
                yield file, after


def ordering_edit(found: Containerd, root: RootFacts) -> FileEdit:
    """As for the engine: any drop-in but that for the source is a leftover."""
    made = edit(found.drop_in, ordering_drop_in(root.target.resolved, what=IMAGES))
    return made if made.before == ordering_drop_in(root.source.path, what=IMAGES) else replace(made, before=None)

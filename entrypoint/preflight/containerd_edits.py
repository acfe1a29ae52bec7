"""The edits of containerd's own files that a move of its root makes."""

from collections.abc import Iterator
from dataclasses import replace

from entrypoint.console.errors import PreflightError
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.services.ordering import ordering_drop_in
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import switch
from entrypoint.settings.file_edit import FileEdit, edit
from entrypoint.settings.formats.config_toml import renamed


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

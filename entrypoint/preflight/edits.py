"""The edits of the host's configuration that a move makes, but for those of containerd's own files."""

from dataclasses import replace

from entrypoint.host import selinux
from entrypoint.host.services import ordering, waking
from entrypoint.host.services.ordering import IMAGES, Guarded, ordering_drop_in
from entrypoint.preflight import containerd_edits
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import switch
from entrypoint.settings.file_edit import FileEdit, edit


def switch_edit(facts: HostFacts) -> FileEdit:
    """The commit point: the place that sets the root names the target. Raises PreflightError."""
    if facts.alone:
        return containerd_edits.switch_edit(facts)
    changed = switch.change(facts.decision().place, facts.override, str(facts.target.resolved))
    return replace(edit(changed.file, changed.content), setting=changed.setting)


def ordering_edit(facts: HostFacts) -> FileEdit:
    """The engine waits for the disks of its roots: of one that stays only if it does so already.

    The drop-in is ours alone. Only one for the roots that are now is put back by a rollback; any other is a leftover,
    and its assertion would keep the engine from starting once that target is gone.
    """
    found, own = facts.containerd, facts.containerd_target
    there = found.root if found else None
    was = ordering.guarded(facts.drop_in.content, facts.source.path, there)
    data_root = facts.target.resolved if not facts.alone or was.data_root else None
    images = own.resolved if own else there if was.images else None
    if data_root:
        after = ordering_drop_in(data_root, *([images] if images else []))
    else:
        assert images is not None
        after = ordering_drop_in(images, what=IMAGES)
    made = edit(facts.drop_in, after)
    return made if was != Guarded() else replace(made, before=None)


def waking_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """The mount of a target wakes the engine, and that of a source does no more, unless a root is on it that stays."""
    there = {str(file.path) for file in facts.waking if file.content}
    kept = [point for point in facts.staying if waking.drop_in(point) in there]
    moves = facts.containerd_target is not None
    along = (facts.containerd.service.name,) if facts.containerd and (moves or kept) else ()
    units = (*along, *(unit.name for unit in facts.units))
    wanted = waking.wanted((*(one.target.mount.point for one in facts.each()), *kept), units)
    found = ((file, wanted.get(str(file.path))) for file in facts.waking)
    return tuple(edit(file, after) for file, after in found if file.content != after)


def rule_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """SELinux treats a target like the root that its policy knows; a rule that is there already is nobody's edit."""
    if facts.selinux is None or not facts.selinux.has_rules:
        return ()
    rules = facts.selinux.rules
    after = rules.content
    models = selinux.MODELS[1:] if facts.alone else selinux.MODELS
    for one, model in zip(facts.each(), models, strict=False):
        if selinux.can_be_named(one.target.resolved):
            after = selinux.with_rule(after, one.target.resolved, model)
    return () if after == rules.content else (edit(rules, after),)

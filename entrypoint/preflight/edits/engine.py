"""The edits of the host's configuration that a move makes, but for those of containerd's own files."""

from dataclasses import replace

from entrypoint.host import selinux
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.services import ordering, waking
from entrypoint.host.services.ordering import IMAGES, Form, Guarded, listening_drop_in, ordering_drop_in
from entrypoint.preflight.edits import containerd as containerd_edits
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, RootKind
from entrypoint.settings import switch
from entrypoint.settings.file_edit import FileEdit, edit

MODELS = dict(zip((RootKind.DATA_ROOT, RootKind.IMAGE_STORE), selinux.MODELS, strict=True))


def switch_edit(facts: HostFacts, root: RootFacts) -> FileEdit:
    """The place that sets a root names the target. Raises PreflightError."""
    if root.kind is RootKind.IMAGE_STORE:
        return containerd_edits.switch_edit(facts, root)
    changed = switch.change(facts.decision().place, facts.override, str(root.target.resolved))
    return replace(edit(changed.file, changed.content), setting=changed.setting)


def ordering_edit(facts: HostFacts) -> FileEdit:
    """The engine waits for the disks of its roots: of one that stays only if it does so already.

    The drop-in is ours alone. Only one for the roots that are now is put back by a rollback; any other is a leftover,
    and its assertion would keep the engine from starting once that target is gone.
    """
    return _awaiting(facts, facts.drop_in, ordering_drop_in)


def listening_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """Its socket, if it has one, listens where the same roots are, and nowhere else."""
    return tuple(_awaiting(facts, file, listening_drop_in) for file in facts.listening)


def _awaiting(facts: HostFacts, file: HostFile, form: Form) -> FileEdit:
    there = facts.containerd.root if facts.containerd else None
    was = ordering.guarded(facts.drop_in.content, facts.data_root, there)
    moved, store = facts.root(RootKind.DATA_ROOT), facts.root(RootKind.IMAGE_STORE)
    data_root = facts.data_root_to_be if moved or was.data_root else None
    images = store.target.resolved if store else there if was.images else None
    if data_root:
        after = form(data_root, *([images] if images else []))
    else:
        assert images is not None
        after = form(images, what=IMAGES)
    made = edit(file, after)
    is_for_these = ordering.guarded(file.content, facts.data_root, there, form) != Guarded()
    return made if is_for_these else replace(made, before=None)


def waking_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """The mount of a target wakes the engine, and that of a source does no more, unless a root is on it that stays."""
    there = {str(file.path) for file in facts.waking if file.content}
    kept = [point for point in facts.staying if waking.drop_in(point) in there]
    moves = facts.root(RootKind.IMAGE_STORE) is not None
    along = (facts.containerd.service.name,) if facts.containerd and (moves or kept) else ()
    units = (*along, *(unit.name for unit in facts.units))
    wanted = waking.wanted((*(root.target.mount.point for root in facts.roots), *kept), units)
    found = ((file, wanted.get(str(file.path))) for file in facts.waking)
    return tuple(edit(file, after) for file, after in found if file.content != after)


def rule_edits(facts: HostFacts) -> tuple[FileEdit, ...]:
    """SELinux treats a target like the root that its policy knows; a rule that is there already is nobody's edit."""
    if facts.selinux is None or not facts.selinux.has_rules:
        return ()
    rules = facts.selinux.rules
    after = rules.content
    for root in facts.roots:
        if selinux.can_be_named(root.target.resolved):
            after = selinux.with_rule(after, root.target.resolved, MODELS[root.kind])
    return () if after == rules.content else (edit(rules, after),)

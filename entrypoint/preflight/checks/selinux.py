"""The checks of what a root needs where SELinux is on: labels of its own, and a rule that can name it."""

from collections.abc import Iterator

from entrypoint.console.findings import Finding, error, warning
from entrypoint.host.selinux import CARRIES, MODEL, MODELS, can_be_named
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts


def labels(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Mounted with `context=`, a file system shows one label for all, and keeps none of what is written there."""
    mount = root.target.mount
    if facts.selinux and not carries_labels(root):
        fixed = sorted(option for option in mount.options if option.startswith("context="))
        how = f"with {fixed[0]}" if fixed else f"as {mount.kind}, without labels"
        yield error(
            "target-labels",
            "The target's files cannot have SELinux labels of their own",
            f"{mount.point} is mounted {how}. The engine would not start there, or its containers would not.",
            "Mount it without context=, here and in /etc/fstab, or choose a local disk with ext4, xfs or btrfs.",
        )


def carries_labels(root: RootFacts) -> bool:
    return CARRIES in root.target.mount.options


def name(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    path = root.target.resolved
    if facts.selinux and path not in MODELS and not can_be_named(path):
        yield error(
            "selinux-name",
            "SELinux's rules cannot name the target",
            f"{path} holds white space. Labelled anew, the root would lose its types, and the engine would not start.",
            "Choose a path without.",
        )


def rule(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    """Without the rule all is well until somebody labels the host's files anew."""
    path = root.target.resolved
    if facts.selinux is None or path == MODEL or not can_be_named(path):
        return
    if not facts.selinux.has_rules:
        yield warning(
            "selinux-rule",
            "SELinux's rules cannot be written on this host",
            f"{facts.selinux.rules.path}: its directory is missing, or read-only. The labels are copied, and the "
            f"engine works with them; but a relabelling would not treat {path} like {MODEL}.",
            "Put the rule into the system's image, and do not run restorecon on the new root.",
        )


def label_to_try(facts: HostFacts, root: RootFacts) -> bytes:
    """The label that files in the target will have to take; nothing where that need not be tried."""
    return facts.selinux.label if facts.selinux and carries_labels(root) else b""

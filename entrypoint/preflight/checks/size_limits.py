"""Limits of size: the engine sets them by project quotas, which the target's file system must have.

A volume's limit is set again whenever it is mounted (moby volume/local/local_unix.go, postMount), a container's only
when the container is made (daemon/graphdriver/overlay2/overlay.go and vfs/driver.go, create); copy/size_limits.py
carries both. An engine that is told to limit every container does not start where the file system cannot.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error, warning
from entrypoint.host.disks.filesystem import Mount
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

ENABLED = frozenset({"pquota", "prjquota"})
# What limits every container, by driver: the option, and the file systems that the driver can do it on.
OF_ALL = {"overlay2": ("overlay2.size=", ("xfs",)), "vfs": ("size=", ("xfs", "ext4"))}
KEY = "storage-opts"
FLAGS = ("--storage-opt",)


@dataclass(frozen=True)
class Wish:
    """Who has a limit, and on which file systems the engine can set it."""

    who: str
    kinds: tuple[str, ...]


def check(facts: HostFacts) -> Iterator[Finding]:
    lasting = [one for one in facts.inventory.containers if not one.is_fleeting]
    lost = [one.name for one in lasting if one.size_limit]
    wishes = [Wish(f"volume {name}", ("xfs", "ext4")) for name in facts.sized_volumes]
    if limits_all(facts):
        option, kinds = OF_ALL[facts.engine.driver]
        wishes.append(Wish(f"every container ({option.rstrip('=')})", kinds))
        lost = [one.name for one in lasting]
    mount = facts.target.mount
    if unmet := [wish.who for wish in wishes if not can_limit(mount, wish.kinds)]:
        yield error(
            "quota-unsupported",
            "The target's file system cannot limit sizes",
            f"The engine is told to limit {', '.join(unmet)}, and would not start there, or not start what uses it. "
            f"{mount.point} is {mount.kind}, mounted with {','.join(sorted(mount.options))}.",
            "Use xfs mounted with pquota.",
        )
    if facts.without_room and not facts.alone:
        yield error(
            "quota-full",
            "Containers have no room left within their limit of size",
            f"They run, and no engine would start them again: {', '.join(facts.without_room)}.",
            "Remove files in them; a megabyte is enough.",
        )
    if lost and facts.engine.driver in OF_ALL and not can_limit(mount, OF_ALL[facts.engine.driver][1]):
        yield warning(
            "quota-lost",
            "Containers have a limit of size, which the target's file system cannot keep",
            f"They will have none: {', '.join(lost)}. {mount.point} is {mount.kind}, mounted with "
            f"{','.join(sorted(mount.options))}.",
            "Use xfs mounted with pquota, where limits are kept.",
        )


def can_limit(mount: Mount, kinds: Collection[str]) -> bool:
    return mount.kind in kinds and bool(ENABLED & mount.options)


def limits_all(facts: HostFacts) -> bool:
    """Whether the engine limits what containers write, each."""
    if facts.engine.driver not in OF_ALL:
        return False
    options = [flag.value for flag in flags.given(facts.arguments[1:], FLAGS)]
    with suppress(PreflightError):  # a file that cannot be read is a finding of its own
        options += daemon_json.parse(facts.config.content, str(facts.config.path)).get(KEY) or ()
    return any(str(option).startswith(OF_ALL[facts.engine.driver][0]) for option in options)

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
from entrypoint.engine.drivers.driver import Limit
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.kinds import COUNTING
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts
from entrypoint.settings import flags
from entrypoint.settings.formats import daemon_json

ENABLED = frozenset({"pquota", "prjquota"})
KEY = "storage-opts"
FLAGS = ("--storage-opt",)


@dataclass(frozen=True)
class Wish:
    """Who has a limit, and on which file systems the engine can set it."""

    who: str
    kinds: tuple[str, ...]


def check(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    lasting = [one for one in facts.inventory.containers if not one.is_fleeting]
    lost = [one.name for one in lasting if one.size_limit]
    wishes = [Wish(f"volume {name}", COUNTING) for name in facts.sized_volumes]
    limit = facts.engine.layers.limit
    if limit and limits_all(facts, limit):
        wishes.append(Wish(f"every container ({limit.option.rstrip('=')})", limit.only_on or COUNTING))
        lost = [one.name for one in lasting]
    mount = root.target.mount
    if unmet := [wish.who for wish in wishes if not can_limit(mount, wish.kinds)]:
        yield error(
            "quota-unsupported",
            "The target's file system cannot limit sizes",
            f"The engine is told to limit {', '.join(unmet)}, and would not start there, or not start what uses it. "
            f"{mount.point} is {mount.kind}, mounted with {','.join(sorted(mount.options))}.",
            "Use xfs mounted with pquota.",
        )
    if facts.without_room:
        yield error(
            "quota-full",
            "Containers have no room left within their limit of size",
            f"They run, and no engine would start them again: {', '.join(facts.without_room)}.",
            "Remove files in them; a megabyte is enough.",
        )
    if lost and limit and not can_limit(mount, limit.only_on or COUNTING):
        yield warning(
            "quota-lost",
            "Containers have a limit of size, which the target's file system cannot keep",
            f"They will have none: {', '.join(lost)}. {mount.point} is {mount.kind}, mounted with "
            f"{','.join(sorted(mount.options))}.",
            "Use xfs mounted with pquota, where limits are kept.",
        )


def can_limit(mount: Mount, kinds: Collection[str]) -> bool:
    return mount.kind in kinds and bool(ENABLED & mount.options)


def limits_all(facts: HostFacts, limit: Limit) -> bool:
    """Whether the engine limits what containers write, each."""
    options = [flag.value for flag in flags.given(facts.arguments[1:], FLAGS)]
    with suppress(PreflightError):  # a file that cannot be read is a finding of its own
        options += daemon_json.parse(facts.config.content, str(facts.config.path)).get(KEY) or ()
    return any(str(option).startswith(limit.option) for option in options)

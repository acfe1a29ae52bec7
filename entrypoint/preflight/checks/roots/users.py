"""Who uses paths inside a data root by their names: containers, volumes, and mounts of the host.

The engine never rewrites a path that its user has named. A container that mounts `/var/lib/docker/volumes` goes on
seeing the root that was left, and a bind mount of the host does so too.
"""

from collections.abc import Iterator

from entrypoint.console.findings import Finding, warning
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, users


def bound(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    for name, path in users(root.source.path, facts.binds, facts.mounts):
        yield warning(
            "bound-into-root",
            "Something uses a path in the data root by its name",
            f"{name}: {path}. After the move it goes on using the old root, and has nothing there after `cleanup`.",
            f"Then make it anew with {root.target.resolved / path.relative_to(root.source.path)}, or with the name "
            "of a volume.",
        )

"""Who uses paths inside a data root by their names: containers, volumes, and mounts of the host.

The engine never rewrites a path that its user has named. A container that mounts `/var/lib/docker/volumes` goes on
seeing the root that was left, and a bind mount of the host does so too.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, warning
from entrypoint.host.disks.filesystem import Mount, mount_of
from entrypoint.preflight.facts import HostFacts


def users(facts: HostFacts, root: PurePosixPath) -> Iterator[tuple[str, PurePosixPath]]:
    """Each user's name and the path in the root that it uses."""
    for name, paths in facts.binds.items():
        yield from ((name, path) for path in map(PurePosixPath, paths) if path.is_relative_to(root))
    around = mount_of(root, facts.mounts)
    for mount in facts.mounts:
        inside = _within(mount, around)
        if inside and inside.is_relative_to(root) and not mount.point.is_relative_to(root):
            yield f"the mount {mount.point}", inside


def _within(mount: Mount, around: Mount) -> PurePosixPath | None:
    """The directory that is mounted, as it is named below another mount of the same file system."""
    if mount.device != around.device or not mount.root.is_relative_to(around.root):
        return None
    return around.point / mount.root.relative_to(around.root)


def bound(facts: HostFacts) -> Iterator[Finding]:
    for name, path in users(facts, facts.source.path):
        yield warning(
            "bound-into-root",
            "Something uses a path in the data root by its name",
            f"{name}: {path}. After the move it goes on using the old root, and has nothing there after `cleanup`.",
            f"Then make it anew with {facts.target.resolved / path.relative_to(facts.source.path)}, or with the name "
            "of a volume.",
        )

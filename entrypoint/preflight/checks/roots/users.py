"""Who uses paths inside a data root, by whatever name: containers, volumes, and mounts of the host.

The engine never rewrites a path that its user has named. A container that mounts `/var/lib/docker/volumes` goes on
seeing the root that was left, and a bind mount of the host does so too.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.containers.needs import VOLUME
from entrypoint.host.disks import names
from entrypoint.host.disks.filesystem import Mount
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootFacts, users


def around(facts: HostFacts) -> Iterator[Finding]:
    """Who may write to a directory around the target writes into the new root: one `chown -R` at its start is enough,
    and images often do that. Who has the whole host may do anything anyway."""
    devices = {name: paths for name, paths in facts.binds.items() if name.startswith(VOLUME)}
    targets = [root.target.resolved for root in facts.roots]
    for name, paths in (facts.writers | devices).items():
        for path in (PurePosixPath(path) for path in paths if path.startswith("/")):
            if touched := [target for target in targets if meet(path, target, facts.mounts)]:
                yield error(
                    "target-in-bind",
                    f"{name} may write into the new root",
                    f"It mounts {path}, and the root would be in {touched[0]}: whatever it does there, to owners and "
                    "modes, too, it would do to the engine's data.",
                    "Choose another target, beside what containers mount; or make the container anew with a directory "
                    "of its own.",
                )


def meet(path: PurePosixPath, target: PurePosixPath, table: tuple[Mount, ...]) -> bool:
    """Whether one is in the other, by name or by what is mounted there; not of a path that shows the whole host."""
    is_path = path.root == "/"  # and not `//server/share`, as a volume may name its device
    return (
        is_path
        and not names.is_whole_host(path, table)
        and (names.within(target, path, table) is not None or names.within(path, target, table) is not None)
    )


def bound(facts: HostFacts, root: RootFacts) -> Iterator[Finding]:
    for name, path in users(root.source.path, facts.binds, facts.mounts):
        yield warning(
            "bound-into-root",
            "Something uses a path in the data root by its name",
            f"{name}: {path}. After the move it goes on using the old root, and has nothing there after `cleanup`.",
            f"Then make it anew with {root.target.resolved / path.relative_to(root.source.path)}, or with the name "
            "of a volume.",
        )

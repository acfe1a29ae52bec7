"""A host from nothing: the layers of its root, its own /var, its disks; and all of it gone afterwards."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.hosts import workspace
from tests.hosts.base import SUITES, Base, Suite, base
from tests.hosts.cgroup import Cgroup
from tests.hosts.command import HostError, copy_content, remove_tree
from tests.hosts.disk import Disk
from tests.hosts.host import Host
from tests.hosts.nspawn import Machine

Files = Mapping[str, str]
Disks = Mapping[str, Disk]


@contextmanager
def bare(
    suite: str | Suite = "trixie",
    name: str = "host",
    *,
    var: Path | None = None,
    disks: Disks | None = None,
    files: Files | None = None,
    binds: Sequence[tuple[Path, str]] = (),
    network: bool = False,
    extra: Sequence[str] = (),
    start: bool = True,
) -> Iterator[Host]:
    """A host whose /var is a copy of `var`, or of the suite's own.

    `disks` (by mount point) are there from the first boot on: one at /etc, or at /var or below, is given what the
    host has there. `files` are written before the first boot.
    """
    chosen = SUITES[suite] if isinstance(suite, str) else suite
    with ExitStack() as stack:
        root = stack.enter_context(base(chosen))
        directory = _directory(stack, name)
        copy_content(var or root.path / "var", directory / "var")
        machine = _machine(root, name, directory, binds, network, extra)
        host = Host(machine)
        stack.callback(host.close)
        host.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
        for inside, text in (files or {}).items():
            host.write(inside, text)
        for target, disk in sorted((disks or {}).items()):
            _give(host, disk, target)
        if start:
            host.boot()
        yield host


def _directory(stack: ExitStack, name: str) -> Path:
    directory = workspace.current().directory / "hosts" / name
    if directory.exists():
        raise HostError(f"there is already a host called {name}")
    for part in ("up", "work", "root", "var"):
        (directory / part).mkdir(parents=True)
    stack.callback(remove_tree, directory)
    return directory


def _machine(
    root: Base,
    name: str,
    directory: Path,
    binds: Sequence[tuple[Path, str]],
    network: bool,
    extra: Sequence[str],
) -> Machine:
    full = workspace.current().machine(name)
    # overlay2 cannot live on overlayfs, and the engine's root shall not be a mount point: hence all of /var.
    # The deepest first, which `Host.write` relies on; systemd-nspawn sorts for itself.
    mine = sorted([*binds, (directory / "var", "/var")], key=lambda pair: pair[1], reverse=True)
    return Machine(
        full,
        name,
        root.path,
        directory,
        Cgroup(full),
        tuple(mine),
        network=network,
        extra=tuple(extra),
        has_systemd=root.suite.has_systemd,
    )


def _give(host: Host, disk: Disk, target: str) -> None:
    inside = Path(target)
    var = host.machine.directory / "var"
    if target == "/etc":
        disk.seed(host.machine.base / "etc", host.machine.directory / "up/etc")
    elif inside.is_relative_to("/var"):
        content = var / inside.relative_to("/var")
        content.mkdir(parents=True, exist_ok=True)
        disk.seed(content)
    if target == "/var":
        others = tuple(pair for pair in host.machine.binds if pair != (var, target))
        host.machine = replace(host.machine, binds=others)
    host.attach(disk, target, keep=True)

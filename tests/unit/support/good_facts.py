"""Facts without a finding, to be varied with `dataclasses.replace`."""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from entrypoint.engine.containerd.service import Containerd
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.inventory import Container, Inventory, Status
from entrypoint.engine.swarm import Swarm
from entrypoint.host.disks.filesystem import Mount, Space
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.services.units import Unit, UnitState
from entrypoint.journal.unfinished import Unfinished
from entrypoint.plan import plan
from entrypoint.plan.plan import Plan
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootFacts, RootKind, Size, Source, Target

GIB = 1024**3
RW = frozenset({"rw", "relatime"})


def mount(point: str, device: str, kind: str = "ext4", options: frozenset[str] = RW) -> Mount:
    return Mount(PurePosixPath(point), f"/dev/{device}", kind, device, options)


def unit(name: str, state: UnitState = UnitState.ACTIVE, load_state: str = "loaded") -> Unit:
    return Unit(name, load_state, state, "success", 1, f"/lib/systemd/system/{name}", ())


def container(
    name: str, status: Status = Status.RUNNING, *, auto_remove: bool = False, policy: str = "always"
) -> Container:
    return Container(name, name, "sha256:1", status, policy, auto_remove, "2024-01-01T00:00:00Z")


ROOT_MOUNT, DATA_MOUNT = mount("/", "8:1"), mount("/mnt/data", "8:17")

ENGINE = EngineInfo(
    engine_id="ID",
    data_root=PurePosixPath("/var/lib/docker"),
    driver="overlay2",
    store="graphdriver",
    version="28.5.0",
    live_restore=False,
    swarm=Swarm(),
    security=("name=apparmor", "name=seccomp,profile=builtin"),
)
INVENTORY = Inventory("ID", "overlay2", "graphdriver", (container("web"),), {"sha256:1": "app:1"}, {}, {}, {})
SOURCE = Source(
    path=PurePosixPath("/var/lib/docker"),
    mount=ROOT_MOUNT,
    size=Size(allocated=10 * GIB, entries=100_000),
    layers=7,
    layer_bytes=8 * GIB,
    identity=(801, 40),
    ancestors=((801, 40), (801, 30), (801, 20), (801, 2)),
    space=Space(free=GIB, inodes=None),
)
TARGET = Target(
    path=PurePosixPath("/mnt/data/docker"),
    resolved=PurePosixPath("/mnt/data/docker"),
    exists=True,
    is_directory=True,
    content=(),
    ancestor=PurePosixPath("/mnt/data/docker"),
    ancestor_is_directory=True,
    mount=DATA_MOUNT,
    space=Space(free=100 * GIB, inodes=1_000_000),
    identities=((817, 12), (817, 2), (801, 21), (801, 2)),
)
UNFINISHED = Unfinished("/var/lib/docker", "ID", "some boot", 0.0, (), ())
CONFIG = HostFile(
    PurePosixPath("/etc/docker/daemon.json"), b'{"debug": true}\n', True, True, PurePosixPath("/etc/docker")
)
DROP_IN = HostFile(
    PurePosixPath("/etc/systemd/system/docker.service.d/50-relocator.conf"),
    None,
    True,
    True,
    PurePosixPath("/etc/systemd/system"),
)
LISTENING = replace(DROP_IN, path=PurePosixPath("/etc/systemd/system/docker.socket.d/50-relocator.conf"))
OVERRIDE = replace(DROP_IN, path=PurePosixPath("/etc/systemd/system/docker.service.d/zz-relocator.conf"))
GOOD = HostFacts(
    engine=ENGINE,
    inventory=INVENTORY,
    roots=(RootFacts(RootKind.DATA_ROOT, SOURCE, TARGET),),
    service=unit("docker.service"),
    socket=unit("docker.socket"),
    arguments=("/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/containerd/containerd.sock"),
    config=CONFIG,
    drop_in=DROP_IN,
    listening=(LISTENING,),
    override=OVERRIDE,
    mounts=(ROOT_MOUNT, DATA_MOUNT),
    fstab="# <file system> <mount point>\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /mnt/data ext4 defaults 0 2\n",
    worker=unit("relocator.service", UnitState.INACTIVE, "not-found"),
    configured_root=PurePosixPath("/var/lib/docker"),
)


CONTAINERD = Containerd(
    address="/run/containerd/containerd.sock",
    service=unit("containerd.service"),
    arguments=("/usr/bin/containerd",),
    program="/usr/bin/containerd",
    config=HostFile(PurePosixPath("/etc/containerd/config.toml"), b"version = 2\n", True, True, PurePosixPath("/etc")),
    drop_in=replace(DROP_IN, path=PurePosixPath("/etc/systemd/system/containerd.service.d/50-relocator.conf")),
    override=replace(DROP_IN, path=PurePosixPath("/etc/systemd/system/containerd.service.d/zz-relocator.conf")),
    root=PurePosixPath("/var/lib/containerd"),
)
STORE = RootFacts(
    RootKind.IMAGE_STORE,
    replace(
        SOURCE, path=CONTAINERD.root, layers=0, layer_bytes=0, identity=(801, 50),
        ancestors=((801, 50), (801, 30), (801, 20), (801, 2)),
    ),
    replace(
        TARGET, path=PurePosixPath("/mnt/data/containerd"), resolved=PurePosixPath("/mnt/data/containerd"),
        exists=False, is_directory=False, ancestor=PurePosixPath("/mnt/data"), identities=TARGET.identities[1:],
    ),
)  # fmt: skip
# An engine that keeps its images in the host's containerd, whose root moves along, or stays, or moves alone.
TWO = replace(
    GOOD,
    engine=replace(ENGINE, driver="overlayfs", store="containerd", version="29.0.0"),
    inventory=replace(INVENTORY, driver="overlayfs", store="containerd"),
    containerd=CONTAINERD,
    roots=(replace(GOOD.first, source=replace(SOURCE, layers=0, layer_bytes=0)), STORE),
)
STAYING, ALONE = replace(TWO, roots=(TWO.first,)), replace(TWO, roots=(STORE,))


def two(**facts: Any) -> HostFacts:
    """`TWO` with another containerd."""
    return replace(TWO, containerd=replace(CONTAINERD, **facts))


def make(facts: HostFacts, **asked: Any) -> Plan:
    """The plan for them, and for what else the operator has asked."""
    return plan.make(facts, replace(Request(TARGET.path), **asked))


def with_target(found: HostFacts, number: int = 0, /, **facts: Any) -> HostFacts:
    """The same, with other facts of the target of one of the roots."""
    root = found.roots[number]
    return _with_root(found, number, replace(root, target=replace(root.target, **facts)))


def with_source(found: HostFacts, number: int = 0, /, **facts: Any) -> HostFacts:
    """The same, with other facts of one of the roots."""
    root = found.roots[number]
    return _with_root(found, number, replace(root, source=replace(root.source, **facts)))


def _with_root(found: HostFacts, number: int, root: RootFacts) -> HostFacts:
    return replace(found, roots=(*found.roots[:number], root, *found.roots[number + 1 :]))


def working_on(found: HostFacts, path: PurePosixPath) -> HostFacts:
    """The same, of an engine that works on another root."""
    return replace(with_source(found, path=path), engine=replace(found.engine, data_root=path))


def target(**facts: Any) -> HostFacts:
    return with_target(GOOD, **facts)


def source(**facts: Any) -> HostFacts:
    return with_source(GOOD, **facts)


def engine(**facts: Any) -> HostFacts:
    return replace(GOOD, engine=replace(ENGINE, **facts))


def config(**facts: Any) -> HostFacts:
    return replace(GOOD, config=replace(CONFIG, **facts))


def target_on(kind: str = "ext4", *options: str) -> HostFacts:
    return target(mount=mount("/mnt/data", "8:17", kind, RW | set(options)))


def missing_target(path: str, ancestor: str = "/mnt/data") -> HostFacts:
    """A target that is yet to be made below `ancestor`."""
    place = PurePosixPath(path)
    return target(path=place, resolved=place, exists=False, is_directory=False, ancestor=PurePosixPath(ancestor),
                  identities=TARGET.identities[1:])  # fmt: skip

"""Every finding is shown by one variation of facts that have none, and is absent at its boundary."""

import json
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import PreflightError, UsageError
from entrypoint.console.findings import INSISTED, Severity
from entrypoint.copy.looking.clock import Ahead
from entrypoint.engine import products
from entrypoint.engine.containers.needs import Obstacle
from entrypoint.engine.containers.turnaround import Turnaround
from entrypoint.engine.holdings.unneeded import Unneeded
from entrypoint.engine.holdings.whole import Lack
from entrypoint.engine.inventory import Status
from entrypoint.engine.swarm import Swarm
from entrypoint.host.disks.filesystem import Mount, Space
from entrypoint.host.disks.kinds import FILE_SYSTEMS
from entrypoint.host.machine.openers import Opener
from entrypoint.host.services.units import UnitState
from entrypoint.preflight.checks import settings
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.checks.engine.swarm import to_return
from entrypoint.preflight.checks.roots import others
from entrypoint.preflight.checks.roots.parts import WORTH
from entrypoint.preflight.checks.target import SAME_DISK, may_be_tried
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check, is_already_there, refuses, require
from entrypoint.preflight.request import parse_target
from entrypoint.preflight.roots import Left, RootKind, Size
from tests.unit.support.good_facts import (
    CONFIG,
    DATA_MOUNT,
    DROP_IN,
    GIB,
    GOOD,
    INVENTORY,
    ROOT_MOUNT,
    RW,
    SOURCE,
    UNFINISHED,
    config,
    container,
    engine,
    make,
    missing_target,
    mount,
    source,
    target,
    target_on,
    unit,
    with_source,
    with_target,
)


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


def arguments(*words: str) -> HostFacts:
    return replace(GOOD, arguments=("/usr/bin/dockerd", *words))


def waiting(*lines: str) -> HostFacts:
    """Of a root on a disk of its own, with such lines in a drop-in of the administrator's."""
    text = "[Unit]\n" + "\n".join(lines) + "\n"
    file = replace(
        CONFIG, path=PurePosixPath("/etc/systemd/system/docker.service.d/10-disk.conf"), content=text.encode()
    )
    return replace(source(mount=mount("/mnt/old", "8:33")), unit_files=(file,))


def with_mounts(*points: str) -> HostFacts:
    return replace(GOOD, mounts=(ROOT_MOUNT, DATA_MOUNT, *(mount(point, "8:33") for point in points)))


def free(free: int = 100 * GIB, inodes: int | None = 1_000_000) -> HostFacts:
    return target(space=Space(free, inodes))


def same_file_system(facts: HostFacts, free: int = 100 * GIB) -> HostFacts:
    return with_target(facts, mount=ROOT_MOUNT, space=Space(free, None))


def named(path: str) -> HostFacts:
    return target(path=PurePosixPath(path), resolved=PurePosixPath(path))


def running(*flags: bool) -> HostFacts:
    boxes = tuple(container(f"c{number}", auto_remove=flag) for number, flag in enumerate(flags))
    return replace(GOOD, inventory=replace(INVENTORY, containers=boxes))


def limited(limit: str) -> HostFacts:
    return replace(GOOD, inventory=replace(INVENTORY, containers=(replace(container("db"), size_limit=limit),)))


def everything_limited(facts: HostFacts) -> HostFacts:
    return replace(facts, config=replace(CONFIG, content=b'{"storage-opts": ["overlay2.size=1G"]}'))


def standing(policy: str, status: Status = Status.RUNNING) -> HostFacts:
    return replace(GOOD, inventory=replace(INVENTORY, containers=(container("c", status, policy=policy),)))


def bound(*paths: str) -> HostFacts:
    return replace(GOOD, binds={"promtail": paths})


def mounted(point: str, device: str, root: str) -> HostFacts:
    """A bind mount on the host."""
    return replace(GOOD, mounts=(*GOOD.mounts, replace(mount(point, device), root=PurePosixPath(root))))


UNFIT = [row.kind for row in FILE_SYSTEMS if row.unfit]


def managers(count: int, reachable: int, *, autolock: bool = False) -> Swarm:
    return Swarm("active", "N", is_manager=True, managers=count, nodes=9, reachable=reachable, autolock=autolock)


FOUND: tuple[tuple[str, HostFacts], ...] = (
    ("target-inside-source", missing_target("/var/lib/docker/new", "/var/lib/docker")),
    ("target-inside-source", target(identities=((801, 50), SOURCE.identity, (801, 2)))),
    ("target-around-source", target(resolved=PurePosixPath("/var/lib"))),
    ("target-around-source", target(identities=((801, 30), (801, 2)))),
    ("target-under-file", target(exists=False, is_directory=False, ancestor_is_directory=False)),
    ("target-not-directory", target(is_directory=False)),
    ("target-not-directory", target(is_directory=False, ancestor_is_directory=False)),
    ("target-not-empty", target(content=("overlay2",))),
    ("target-not-empty", target(content=("lost+found", "overlay2"))),
    ("target-not-empty", target(content=("overlay2",), unfinished=replace(UNFINISHED, source="/elsewhere"))),
    ("target-not-empty", target(content=("overlay2",), unfinished=replace(UNFINISHED, engine_id="OTHER"))),
    ("target-unfinished", target(content=("overlay2",), unfinished=UNFINISHED)),
    ("root-left", replace(target(content=("overlay2",)), left={RootKind.DATA_ROOT: Left.WAY_BACK})),
    ("root-left", replace(target(content=("overlay2",)), left={RootKind.DATA_ROOT: Left.ASIDE})),
    ("target-characters", named("/mnt/data/a:b")),
    ("target-characters", named("/mnt/data/a,b")),
    ("target-characters", named("/mnt/data/a\\b")),
    *(("target-file-system", target_on(kind)) for kind in UNFIT),
    ("target-file-system", target(lacks=("hard links (Operation not permitted)",))),
    ("target-exposed", target(exposed=("/mnt/data",))),
    ("percent-in-name", replace(named("/mnt/data/100%"), engine=engine(version="26.1.5+dfsg1").engine)),
    ("percent-in-name", replace(named("/mnt/data/100%"), engine=engine(version="20.10.24").engine)),
    ("target-not-traversable", replace(target(closed=("/mnt/data",)), engine=engine(security=("name=userns",)).engine)),
    *(("other-product", engine(product=product)) for product in products.PRODUCTS if product is not products.ENGINE),
    ("target-ro", target_on("ext4", "ro")),
    ("target-noexec", target_on("ext4", "noexec")),
    ("target-nosuid", target_on("ext4", "nosuid")),
    ("target-nodev", target_on("ext4", "nodev", "noatime")),
    ("target-space", free(free=11 * GIB - 1)),
    ("target-inodes", free(inodes=109_999)),
    ("same-file-system", same_file_system(GOOD)),
    ("mount-not-in-fstab", replace(GOOD, fstab="")),
    ("mount-not-in-fstab", replace(GOOD, fstab="# /dev/sdb1 /mnt/data ext4 defaults 0 2\n")),
    ("mount-not-in-fstab", replace(GOOD, fstab="/dev/sdb1 /mnt/data2 ext4 defaults 0 2\n")),
    *(("storage-driver", engine(driver=driver)) for driver in ("btrfs", "zfs", "devicemapper", "unheard-of")),
    ("live-restore", engine(live_restore=True)),
    ("quota-lost", limited("1G")),
    ("quota-full", replace(GOOD, without_room=("db",))),
    ("quota-unsupported", replace(GOOD, sized_volumes=("small",))),
    ("quota-unsupported", replace(target_on("xfs", "noquota"), sized_volumes=("small",))),
    ("swarm", engine(swarm=Swarm("active", "N"))),
    ("swarm", engine(swarm=Swarm("active", "N", is_manager=True, managers=1, nodes=1))),
    *(("swarm-state", engine(swarm=Swarm(state))) for state in ("pending", "locked", "error")),
    *(("swarm-quorum", engine(swarm=managers(count, reachable))) for count, reachable in ((3, 2), (3, 0), (5, 3))),
    ("engine-old", engine(version="19.03.15")),
    ("engine-old", engine(version="")),
    ("run-unsettled", replace(GOOD, unsettled="000007")),
    ("clock-behind", source(ahead=Ahead(1, 2.5))),
    *(("no-restart-policy", standing(policy, state))
      for policy in ("no", "on-failure") for state in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)),
    ("no-room-for-records", replace(GOOD, room={"/etc": 4096})),
    ("no-room-for-records", replace(GOOD, room={"/var/lib/relocator": 5 * 2**20 - 1, "/etc": 2**30})),
    ("no-room-to-start", source(space=Space((8 << 20) - 1, None))),
    ("no-service", replace(GOOD, service=unit("docker.service", load_state="not-found"))),
    *(("no-service", replace(GOOD, service=unit("docker.service", state)))
      for state in (UnitState.INACTIVE, UnitState.FAILED, UnitState.ACTIVATING, UnitState.DEACTIVATING)),
    *(("already-running", replace(GOOD, worker=unit("relocator.service", state)))
      for state in (UnitState.ACTIVE, UnitState.ACTIVATING, UnitState.DEACTIVATING)),
    ("root-by-unknown-place", arguments("--data-root=/srv")),
    ("root-by-unknown-place", arguments("--data-root", "/srv")),
    ("root-by-unknown-place", arguments("--graph", "/srv")),
    ("root-by-unknown-place", arguments("-g", "/srv")),
    ("root-by-unknown-place", arguments("-g=/srv")),
    ("root-by-unknown-place", arguments("-g/srv")),
    ("config-not-file", config(is_file=False, content=None)),
    ("config-read-only", config(writable=False)),
    ("config-read-only", replace(GOOD, drop_in=replace(DROP_IN, writable=False))),
    ("config-invalid", config(content=b"{")),
    ("config-invalid", config(content=b"[]")),
    ("config-invalid", config(content=b'{"a": "\xe4"}')),
    ("configured-root-differs", replace(GOOD, configured_root=PurePosixPath("/srv/other"))),
    ("configured-root-differs", replace(GOOD, configured_root=PurePosixPath("/mnt/data/docker"))),
    ("unit-needs-reload", replace(GOOD, service=replace(unit("docker.service"), needs_reload=True))),
    ("unit-needs-reload", replace(GOOD, socket=replace(unit("docker.socket"), needs_reload=True))),
    ("packages-changing", replace(GOOD, package_programs=("dpkg",))),
    ("reboot-pending", replace(GOOD, wants_reboot=True)),
    ("dependent-units", replace(GOOD, dependents=("app.service",))),
    ("dependent-units", replace(GOOD, awaited=("app.service",))),
    ("sub-mount", with_mounts("/var/lib/docker/volumes")),
    ("sub-mount", with_mounts("/var/lib/docker/overlay2")),
    ("sub-mount", with_mounts("/var/lib/docker/volumes/data")),
    ("sub-mount", with_mounts("/var/lib/docker/volumes/db/_data")),
    ("sub-mount", with_mounts("/var/lib/docker/buildkit/executor/abc/rootfs")),
    ("sub-mount", replace(with_mounts("/var/lib/docker/volumes/nfs/_data/deep"), binds={"volume nfs": (":/x",)})),
    ("target-in-bind", replace(GOOD, writers={"app": ("/mnt/data",)})),
    ("source-written", source(openers=(Opener("logger (7)", "/var/lib/docker/x", True, "logger.service"),))),
    ("source-written", source(openers=(Opener("/dev/loop0", "/var/lib/docker/x", True),))),
    ("source-read", source(openers=(Opener("tail (7)", "/var/lib/docker/x", False),))),
    ("unit-waits-for-old", waiting("ConditionPathIsMountPoint=/mnt/old")),
    ("unit-waits-for-old", waiting("Requires=mnt-old.mount")),
    ("unit-waits-for-old", waiting('RequiresMountsFor="/mnt/old/docker"')),
    ("unit-waits-for-old", waiting("AssertPathExists=|!/var/lib/docker/overlay2")),
    ("source-named", source(mentions=("/etc/cron.d/backup",))),
    ("target-in-bind", replace(GOOD, writers={"app": ("/mnt/data/docker/volumes",)})),
    ("target-in-bind", replace(GOOD, binds={"volume share": ("/mnt/data",)})),
    ("other-engine", replace(GOOD, strangers=frozenset({"0" * 64}))),
    ("config-read-only", replace(GOOD, config=replace(CONFIG, fixed="/etc/docker"))),
    ("part-linked", source(links={"volumes": "../elsewhere"})),
    ("part-linked", source(links={"volumes/db": "../../../disk/db"})),
    ("part-elsewhere", source(links={"volumes/db": "/disk/db"})),
    *(("much-unneeded", replace(GOOD, unneeded=one)) for one in (
        Unneeded(untagged=GIB), Unneeded(unused=GIB), Unneeded(cache=GIB), Unneeded(logs={"web": GIB // 2}))),
    ("subvolume", source(subvolumes=("volumes/db/_data",))),
    ("source-incomplete", replace(GOOD, missing=(Lack("container", "id", "stopped", "snapshot"),))),
    ("ephemeral-containers", running(False, True)),
    ("bound-into-root", bound("/var/lib/docker")),
    ("cannot-restart", replace(GOOD, obstacles=(Obstacle("zigbee", "the device /dev/ttyX is gone", "Plug it in."),))),
    ("deaf-containers", replace(GOOD, turnarounds=(Turnaround("web", is_deaf=True),))),
    ("owned-elsewhere", replace(GOOD, owners={"web": "web.service"})),
    ("bound-into-root", bound("/etc", "/var/lib/docker/containers")),
    ("bound-into-root", mounted("/srv/web", "8:1", "/var/lib/docker/volumes/web/_data")),
    ("bound-into-root", replace(mounted("/srv/all", "8:1", "/var"), binds={"app": ("/srv/all/lib/docker/volumes",)})),
    ("target-in-bind", replace(mounted("/srv/disk", "8:17", "/"), writers={"app": ("/srv/disk",)})),
)  # fmt: skip


def test_who_is_deaf_is_told_with_the_signal_and_the_time() -> None:
    turnarounds = (Turnaround("a", is_deaf=True), Turnaround("b", "SIGQUIT", 60, is_deaf=True),
                   Turnaround("c", seconds=-1, is_deaf=True), Turnaround("d"))  # fmt: skip
    (found,) = check(replace(GOOD, turnarounds=turnarounds))
    assert "over: a (SIGTERM, 10 s), b (SIGQUIT, 60 s), c (SIGTERM, without end). The" in found.detail


def test_how_to_stop_who_writes_is_said_of_each() -> None:
    service, shell = Opener("logger (7)", "/x", True, "logger.service"), Opener("sh (8)", "/x", True, "session-1.scope")
    swap = Opener("the kernel (swap)", "/x", writes=True, end="swapoff /x")
    by_number = "see what a program is by its number: systemctl status NUMBER"
    assert others.way((service,)) == "systemctl stop logger.service"
    assert others.way((shell,)) == by_number
    assert others.way((service, shell)) == f"systemctl stop logger.service; {by_number}"
    assert others.way((service, swap)) == "systemctl stop logger.service; swapoff /x"


def test_what_could_go_is_told_by_size_with_its_command() -> None:
    logs = {"web": GIB, "db": 2 * GIB}
    (found,) = check(replace(GOOD, unneeded=Unneeded(untagged=GIB, unused=2 * GIB, cache=3 * GIB, logs=logs)))
    assert found.detail.startswith("Of 10.0 GiB: build cache 3.0 GiB (docker builder prune); images without a name 1.0")
    assert found.detail.index("the log of db 2.0 GiB (truncate -s 0 $(docker inspect -f '{{.LogPath}}' db))") < (
        found.detail.index("the log of web 1.0 GiB")
    )
    assert "removes relocator's image, too" in found.remedy


def test_a_build_is_to_be_waited_for_and_nothing_to_be_mounted_again() -> None:
    (found,) = check(with_mounts("/var/lib/docker/buildkit/executor/abc/rootfs"))
    assert found.remedy.startswith("Wait until the build has ended.")
    assert "something else than the engine" not in found.text()


@pytest.mark.parametrize(("expected", "facts"), FOUND, ids=[f"{id}-{number}" for number, (id, _) in enumerate(FOUND)])
def test_a_fault_is_found_and_nothing_else(expected: str, facts: HostFacts) -> None:
    assert [expected] == ids(facts)


NOT_FOUND: dict[str, HostFacts] = {
    "good facts": GOOD,
    "a new directory": missing_target("/mnt/data/a/b"),
    "a sibling with the source's name as its beginning": missing_target("/var/lib/docker2"),
    "lost+found alone": target(content=("lost+found",)),
    "odd characters": named("/mnt/data/a b%c\"d'e;f=ä"),
    "xfs": target_on("xfs"),
    "btrfs": target_on("btrfs"),
    "a file system that can all, whatever its name": target_on("fuse.new"),
    "noatime": target_on("ext4", "noatime"),
    "just enough space": free(free=11 * GIB),
    "just enough inodes": free(inodes=110_000),
    "no inode limit": free(inodes=None),
    "fstab with a slash at the end": replace(GOOD, fstab="UUID=1 /mnt/data/ ext4 defaults 0 2"),
    "fstab with a space in a name": replace(
        target(mount=mount("/mnt/my data", "8:17")), fstab="/dev/sdb1 /mnt/my\\040data ext4 defaults 0 2\n"
    ),
    "the engine reloads": replace(GOOD, service=unit("docker.service", UnitState.RELOADING)),
    "no socket unit": replace(GOOD, socket=unit("docker.socket", UnitState.INACTIVE, "not-found")),
    "a socket unit that is not there needs no reload": replace(
        GOOD, socket=replace(unit("docker.socket", UnitState.INACTIVE, "not-found"), needs_reload=True)
    ),
    "a configuration whose root is not known": replace(GOOD, configured_root=None),
    "an earlier worker failed": replace(GOOD, worker=unit("relocator.service", UnitState.FAILED)),
    "no swarm": engine(swarm=Swarm.from_api({"LocalNodeState": ""})),
    "the oldest engine that was tried": engine(version="20.10.5+dfsg1"),
    "containers that the engine starts by itself": standing("unless-stopped"),
    "a container that stands still, whatever its policy": standing("no", Status.EXITED),
    "no configuration": config(content=None),
    "empty configuration": config(content=b""),
    "a flag that only begins like one": arguments("--data-root-x", "/srv", "--exec-root=/run/docker"),
    "a mount beside the data root": with_mounts("/var/lib/docker2", "/var/lib"),
    "the data root itself is a mount": with_mounts("/var/lib/docker"),
    "what the engine mounts": replace(
        with_mounts(
            "/var/lib/docker/overlay2/abc/merged",
            "/var/lib/docker/containers/abc/mounts/shm",
            "/var/lib/docker/containers/abc/secrets",
            "/var/lib/docker/volumes/nfs/_data",
            "/var/lib/docker/plugins/abc/propagated-mount",
        ),
        binds={"volume nfs": (":/export",)},
    ),
    "the engine has its own files open, and its own files name its root": source(
        openers=(Opener("dockerd (5)", "/var/lib/docker/x", True, "docker.service"),),
        mentions=(str(CONFIG.path),),
    ),
    "what takes less than a twentieth": replace(GOOD, unneeded=Unneeded(GIB // 3, GIB // 3, GIB // 3, {"w": GIB // 3})),
    "what takes half of a small root": replace(source(size=Size(100 * 2**20, 10)), unneeded=Unneeded(cache=WORTH - 1)),
    "a link that stays within the root": source(links={"volumes/db": "../kept/db", "tmp": "volumes"}),
    "a unit that waits for another disk": waiting("RequiresMountsFor=/mnt/older", "Description=/mnt/old2"),
    "containers that write beside the target, to the whole host, or nowhere": replace(
        GOOD, writers={"beside": ("/mnt/data/docker2", "/srv"), "agent": ("/",), "none": ()}
    ),
    "a container that uses paths beside the data root, or around it": bound("/", "/var/lib", "/var/lib/docker2"),
    "a bind mount of a directory of the same name on another disk": mounted("/srv/web", "8:17", "/var/lib/docker/x"),
    "what the engine has bound in its own root": replace(
        mounted("/var/lib/docker/volumes/x/_data", "8:1", "/var/lib/docker/v"),
        binds={"volume x": ("/srv/v",)},
    ),
    "a container with --rm that stands still": replace(
        GOOD, inventory=replace(INVENTORY, containers=(container("c", Status.EXITED, auto_remove=True),))
    ),
}


@pytest.mark.parametrize("facts", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_what_is_fit_has_no_finding(facts: HostFacts) -> None:
    assert check(facts) == ()


def test_an_error_that_costs_nothing_can_be_insisted_on_and_is_said_all_the_same() -> None:
    (found,) = check(same_file_system(GOOD), accepted=["same-file-system"])
    assert (found.severity, found.remedy) == (Severity.WARNING, "")


def test_a_warning_that_is_ignored_is_not_said() -> None:
    facts = engine(version="19.03.15")
    assert ids(facts) == ["engine-old"]
    assert check(facts, accepted=["engine-old", "clock-behind"]) == ()


def test_what_would_cost_data_is_not_ignored() -> None:
    facts = source(openers=(Opener("logger (7)", "/var/lib/docker/x", True, "logger.service"),))
    (found,) = check(facts, accepted=["source-written"])
    assert found.severity is Severity.ERROR
    assert found.detail.endswith("This cannot be ignored.")


def test_what_may_be_insisted_on_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs/options.md").read_text()
    row = next(line for line in page.splitlines() if "`--ignore ID`" in line)
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", row)) == INSISTED


def test_what_a_file_system_cannot_do_is_said_with_the_reasons() -> None:
    (found,) = check(target(lacks=("hard links (no)", "overlay mounts (refused)")))
    assert "it cannot do hard links (no), overlay mounts (refused)" in found.detail


@pytest.mark.parametrize(
    ("option", "point", "expected"),
    [
        ("ro", "/", "such as /var/mnt/data"),
        ("ro", "/usr", "such as /var/mnt/data"),
        ("ro", "/mnt/data", "mount -o remount,rw /mnt/data"),
        ("noexec", "/", "mount -o remount,exec /"),
        ("noexec", "/var", "mount -o remount,exec /var"),
        ("nosuid", "/mnt/data", "mount -o remount,suid /mnt/data"),
    ],
)
def test_what_is_read_only_on_purpose_is_not_to_be_remounted(option: str, point: str, expected: str) -> None:
    found, *_ = check(target(mount=mount(point, "8:17", "ext4", RW | {option})))
    assert (found.id, expected in found.remedy) == (f"target-{option}", True), found.remedy
    assert ("remount" in found.remedy) is ("/var/mnt/data" not in found.remedy)


@pytest.mark.parametrize(
    ("facts", "may"),
    [
        (GOOD, True),
        (free(free=0), True),
        (missing_target("/mnt/data/new"), True),
        (target(content=("overlay2",), unfinished=UNFINISHED), True),
        (missing_target("/var/lib/docker/new", "/var/lib/docker"), False),
        (target(resolved=PurePosixPath("/var/lib")), False),
        (target(content=("a",)), False),
        (target(exists=False, is_directory=False, ancestor_is_directory=False), False),
        (target_on("ext4", "ro"), False),
        *((target_on(kind), False) for kind in UNFIT),
    ],
)
def test_nothing_is_tried_in_a_data_root_nor_where_it_is_futile(facts: HostFacts, may: bool) -> None:
    assert may_be_tried(facts, facts.first) is may


def test_a_small_root_still_needs_a_fixed_margin() -> None:
    facts = with_source(free(free=GIB + 256 * 1024**2), size=Size(GIB, 10))
    assert ids(facts) == []
    assert ids(with_target(facts, space=Space(GIB + 256 * 1024**2 - 1, None))) == ["target-space"]


def test_layers_take_no_space_on_the_same_file_system() -> None:
    need = 2 * GIB + 256 * 1024**2  # 8 of the 10 GiB are layers
    assert ids(same_file_system(GOOD, need)) == ["same-file-system"]
    assert ids(same_file_system(GOOD, need - 1)) == ["target-space", "same-file-system"]


def test_a_target_that_gains_no_room_refuses_until_it_is_meant() -> None:
    facts = same_file_system(GOOD)
    with pytest.raises(PreflightError) as refused:
        require(check(facts))
    assert "add: --same-disk" in refused.value.details
    found = check(facts, {SAME_DISK})
    assert [(one.id, one.severity, one.remedy) for one in found] == [(SAME_DISK, Severity.WARNING, "")]


def test_another_mount_of_the_same_file_system_takes_no_links() -> None:
    facts = target(mount=mount("/mnt/bound", "8:1"), space=Space(11 * GIB, None))
    assert ids(replace(facts, fstab="/dev/sda1 /mnt/bound none bind 0 0")) == ["same-file-system"]
    assert "target-space" in ids(with_target(facts, space=Space(11 * GIB - 1, None)))
    assert not make(facts).first.links


def test_layers_that_are_larger_than_what_they_take_are_no_negative_need() -> None:
    assert ids(same_file_system(source(layer_bytes=20 * GIB), 256 * 1024**2)) == ["same-file-system"]


def test_errors_come_before_warnings_and_all_are_reported_together() -> None:
    facts = replace(engine(swarm=Swarm("locked")), fstab="", config=replace(CONFIG, content=b"{"))
    assert ids(facts) == ["swarm-state", "config-invalid", "mount-not-in-fstab"]
    with pytest.raises(PreflightError) as refused:
        require(check(facts))
    assert refused.value.brief == "The move is refused, for 2 reasons. Nothing was changed."
    assert "[swarm-state]" in refused.value.details
    assert "[mount-not-in-fstab]" not in refused.value.details


def test_the_line_that_fstab_lacks_is_told() -> None:
    [finding] = check(replace(target(uuid="u-1"), fstab=""))
    assert finding.remedy == "Add it to /etc/fstab: UUID=u-1 /mnt/data ext4 defaults,nofail 0 2"


def test_a_full_target_is_told_by_its_space_alone() -> None:
    assert ids(target(full="No space left on device", space=Space(0, None))) == ["target-space"]
    assert ids(target(full="No space left on device", space=Space(100 * GIB, 0))) == ["target-inodes"]
    [finding] = check(target(full="Disk quota exceeded"))
    assert finding.id == "target-space"
    assert "Disk quota exceeded" in finding.detail


def test_warnings_do_not_refuse() -> None:
    found = check(replace(GOOD, fstab="", dependents=("app.service",)))
    assert [finding.severity for finding in found] == [Severity.WARNING, Severity.WARNING]
    require(found)


def test_containers_with_rm_refuse_by_name_until_their_removal_is_agreed_to() -> None:
    facts = running(False, True, True)
    with pytest.raises(PreflightError) as refused:
        require(check(facts))
    assert "c1, c2" in refused.value.details
    assert "--remove-ephemeral" in refused.value.details
    [finding] = check(facts, {EPHEMERAL})
    assert (finding.severity, "c1, c2" in finding.detail) == (Severity.WARNING, True)


def test_live_restore_is_no_obstacle_but_for_plugins_that_go_on_running() -> None:
    facts = engine(live_restore=True)
    require(check(facts))
    assert ids(with_plugins(facts, "vieux/sshfs:latest disabled")) == ["live-restore"]
    found = with_plugins(facts, "vieux/sshfs:latest enabled")
    assert ids(found) == ["live-restore-plugins", "live-restore"]
    assert ids(with_plugins(GOOD, "vieux/sshfs:latest enabled")) == []


def with_plugins(facts: HostFacts, *plugins: str) -> HostFacts:
    return replace(facts, inventory=replace(INVENTORY, plugins={plugin: plugin for plugin in plugins}))


def test_what_uses_the_data_root_is_told_where_to_look_after_the_move() -> None:
    [finding] = check(bound("/var/lib/docker/containers"))
    assert finding.severity is Severity.WARNING
    assert "promtail: /var/lib/docker/containers." in finding.detail
    assert "/mnt/data/docker/containers" in finding.remedy


def test_a_run_at_work_is_said_once() -> None:
    facts = replace(GOOD, unsettled="000007", worker=unit("relocator.service"))
    assert ids(facts) == ["already-running"]


def test_files_of_the_future_are_counted_and_how_far_ahead_they_are() -> None:
    (found,) = check(source(ahead=Ahead(1200, 5400.0)))
    assert "1200 of them" in found.detail
    assert "up to 90 min from now" in found.detail


def test_containers_that_nobody_else_starts_are_named_up_to_a_few() -> None:
    boxes = tuple(container(f"c{number}", policy="no") for number in range(7))
    (found,) = check(replace(GOOD, inventory=replace(INVENTORY, containers=boxes)))
    assert "c0, c1, c2, c3, c4 …." in found.detail


def test_another_relocator_with_rm_is_no_loss() -> None:
    facts = running(True)
    box = replace(facts.inventory.containers[0], is_relocator=True)
    assert check(replace(facts, inventory=replace(INVENTORY, containers=(box,)))) == ()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GOOD, False),
        (target(resolved=SOURCE.path), True),
        (target(identities=(SOURCE.identity, (801, 2))), True),
        (with_source(missing_target("/mnt/x"), identity=(817, 2)), False),
    ],
)
def test_the_root_is_already_there_by_name_or_by_identity(facts: HostFacts, expected: bool) -> None:
    assert is_already_there(facts) is expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/mnt/data", "/mnt/data"),
        ("/mnt/data/", "/mnt/data"),
        ("//mnt//data//", "/mnt/data"),
        ("/mnt/./data", "/mnt/data"),
        ("/a b/c%d\"e'f", "/a b/c%d\"e'f"),
        ("/größe", "/größe"),
        ("/mnt/..data", "/mnt/..data"),
    ],
)
def test_a_target_is_a_path_of_its_own(text: str, path: str) -> None:
    assert PurePosixPath(path) == parse_target(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "data", "./data", "~/data", "rollback", "/", "//", "/.", "/mnt/../data", "/..", "/a\nb", "/a\tb", "/a\0b",
     "/a\x7f", "/a\udcff", "/\x1b[31mred", "/a\rb", "/mnt/../../etc", "/mnt/data/..", "C:\\docker", "$HOME/docker", "-",
     "--", "file:///mnt", "/" + "n" * 256, "/a" * 1537, "/" + "ä" * 128, "\u202e/mnt", "/mnt\u0085", "/mnt\u2028",
     "/./", "//./", "\\mnt", " /mnt", "/a\x00b", "/a\x01", "/mnt\v", "/\t",
     "/mnt/data ", "/mnt/data\u3000", "/mnt/data /", "/mnt/data/ ", "/a\ufffdb", "/a\x9bb", "/a\u2028b", "/a\u202eb",
     "/a\u2066b"],
)  # fmt: skip
def test_a_word_that_is_no_target_anywhere_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(text)
    assert refused.value.text().isprintable() or "\n" in refused.value.text()
    assert text == "" or "\0" not in refused.value.text()


@pytest.mark.parametrize(
    ("command", "changed_at", "found"),
    [
        (("/srv/pre",), 101.0, ["config-overwritten"]),
        (("cp", "/srv/x", "/etc/docker/daemon.json"), 101.0, ["config-overwritten"]),
        (("jq", ".", "/etc/docker/daemon.json"), 50.0, ["config-named-at-start"]),
        (("/srv/pre",), 50.0, []),
    ],
)
def test_only_what_has_written_the_configuration_at_the_last_start_refuses(
    command: tuple[str, ...], changed_at: float, found: list[str]
) -> None:
    service = replace(GOOD.service, before=(command,), starting=(100.0, 102.0))
    facts = replace(GOOD, service=service, config=replace(GOOD.config, changed_at=changed_at))
    assert [finding.id for finding in settings.lasting(facts)] == found


def test_a_limit_for_every_container_needs_xfs_with_quotas_and_is_kept_there() -> None:
    assert ids(everything_limited(target_on("ext4", "prjquota"))) == ["quota-unsupported", "quota-lost"]
    assert ids(everything_limited(target_on("xfs", "prjquota"))) == []
    by_flag = replace(target_on("xfs"), arguments=("/usr/bin/dockerd", "--storage-opt", "overlay2.size=9G"))
    assert "quota-unsupported" in ids(by_flag)


def test_vfs_limits_every_container_on_more_file_systems_and_by_an_option_of_its_own() -> None:
    def limited_vfs(option: str, kind: str) -> list[str]:
        content = json.dumps({"storage-driver": "vfs", "storage-opts": [option]}).encode()
        facts = replace(engine(driver="vfs"), config=replace(CONFIG, content=content))
        return ids(with_target(facts, mount=kind_of(kind)))

    def kind_of(kind: str) -> Mount:
        return target_on(kind, "prjquota").first.target.mount

    assert limited_vfs("size=1G", "ext4") == []
    assert limited_vfs("size=1G", "btrfs") == ["quota-unsupported", "quota-lost"]
    assert limited_vfs("overlay2.size=1G", "btrfs") == []


def test_a_limit_that_a_driver_cannot_set_is_not_lost() -> None:
    assert "quota-lost" not in ids(replace(limited("1G"), engine=replace(GOOD.engine, driver="fuse-overlayfs")))


def test_a_volume_keeps_its_limit_where_the_file_system_can() -> None:
    assert ids(replace(target_on("ext4", "prjquota"), sized_volumes=("small",))) == []


@pytest.mark.parametrize(("count", "reachable", "said"), [
    (2, 2, "no majority"), (2, 0, "no majority"), (3, 3, "keep a majority"), (5, 4, "keep a majority"),
])  # fmt: skip
def test_one_of_several_managers_is_told_of_the_quorum(count: int, reachable: int, said: str) -> None:
    facts = engine(swarm=managers(count, reachable, autolock=True))
    assert ids(facts) == ["swarm", "swarm-managers", "swarm-autolock"]
    assert said in next(one.detail for one in check(facts) if one.id == "swarm-managers")
    assert [one.id for one in to_return(facts) if one.severity is Severity.ERROR] == ["swarm-return"]


def test_a_node_alone_and_a_worker_may_return_to_an_older_state() -> None:
    for swarm in (Swarm("active", "N", is_manager=True, managers=1, nodes=1), Swarm("active", "N")):
        assert not refuses(to_return(engine(swarm=swarm)))


def test_a_unit_that_does_not_stop_with_the_engine_may_give_up() -> None:
    facts = replace(GOOD, owners={"web": "web.service", "gone": "gone.service"})
    (found,) = check(facts)
    assert "web to web.service" in found.detail and "web.service. Then: systemctl reset-failed" in found.remedy
    assert "gone" not in found.detail + found.remedy  # it does not run
    (found, _) = sorted(check(replace(facts, dependents=("web.service",))), key=lambda one: one.id, reverse=True)
    assert (found.id, found.remedy) == ("owned-elsewhere", "")

"""Every finding is shown by one variation of facts that have none, and is absent at its boundary."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint.errors import PreflightError, UsageError
from entrypoint.facts import HostFacts, Size
from entrypoint.filesystem import Space
from entrypoint.findings import Severity
from entrypoint.inventory import Status
from entrypoint.preflight import check, is_already_there, require
from entrypoint.systemd import UnitState
from entrypoint.target_checks import UNSUITABLE, parse_target
from tests.unit.good_facts import (
    CONFIG,
    DATA_MOUNT,
    DROP_IN,
    GIB,
    GOOD,
    INVENTORY,
    ROOT_MOUNT,
    SOURCE,
    UNFINISHED,
    config,
    container,
    engine,
    missing_target,
    mount,
    source,
    target,
    target_on,
    unit,
)


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


def arguments(*words: str) -> HostFacts:
    return replace(GOOD, arguments=("/usr/bin/dockerd", *words))


def with_mounts(*points: str) -> HostFacts:
    return replace(GOOD, mounts=(ROOT_MOUNT, DATA_MOUNT, *(mount(point, "8:33") for point in points)))


def free(free: int = 100 * GIB, inodes: int | None = 1_000_000) -> HostFacts:
    return target(space=Space(free, inodes))


def same_file_system(facts: HostFacts, free: int = 100 * GIB) -> HostFacts:
    return replace(facts, target=replace(facts.target, mount=ROOT_MOUNT, space=Space(free, None)))


def named(path: str) -> HostFacts:
    return target(path=PurePosixPath(path), resolved=PurePosixPath(path))


def running(*flags: bool) -> HostFacts:
    boxes = tuple(container(f"c{number}", auto_remove=flag) for number, flag in enumerate(flags))
    return replace(GOOD, inventory=replace(INVENTORY, containers=boxes))


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
    ("target-characters", named("/mnt/data/a:b")),
    ("target-characters", named("/mnt/data/a,b")),
    ("target-characters", named("/mnt/data/a\\b")),
    *(("target-file-system", target_on(kind)) for kind in sorted(UNSUITABLE)),
    ("target-file-system", target_on("fuse.sshfs")),
    ("target-file-system", target_on("fuseblk")),
    ("target-ro", target_on("ext4", "ro")),
    ("target-noexec", target_on("ext4", "noexec")),
    ("target-nosuid", target_on("ext4", "nosuid")),
    ("target-space", free(free=11 * GIB - 1)),
    ("target-inodes", free(inodes=109_999)),
    ("same-file-system", same_file_system(GOOD)),
    ("mount-not-in-fstab", replace(GOOD, fstab="")),
    ("mount-not-in-fstab", replace(GOOD, fstab="# /dev/sdb1 /mnt/data ext4 defaults 0 2\n")),
    ("mount-not-in-fstab", replace(GOOD, fstab="/dev/sdb1 /mnt/data2 ext4 defaults 0 2\n")),
    ("containerd-store", engine(store="containerd", driver="overlayfs")),
    *(("storage-driver", engine(driver=driver)) for driver in ("btrfs", "zfs", "vfs", "fuse-overlayfs")),
    ("live-restore", engine(live_restore=True)),
    *(("swarm", engine(swarm=state)) for state in ("active", "pending", "locked", "error")),
    ("userns-remap", engine(security=("name=seccomp", "name=userns"))),
    ("no-service", replace(GOOD, service=unit("docker.service", load_state="not-found"))),
    *(("no-service", replace(GOOD, service=unit("docker.service", state)))
      for state in (UnitState.INACTIVE, UnitState.FAILED, UnitState.ACTIVATING, UnitState.DEACTIVATING)),
    *(("already-running", replace(GOOD, worker=unit("relocator.service", state)))
      for state in (UnitState.ACTIVE, UnitState.ACTIVATING, UnitState.DEACTIVATING)),
    ("root-by-flag", arguments("--data-root=/srv")),
    ("root-by-flag", arguments("--data-root", "/srv")),
    ("root-by-flag", arguments("--graph", "/srv")),
    ("root-by-flag", arguments("-g", "/srv")),
    ("root-by-flag", arguments("-g=/srv")),
    ("root-by-flag", arguments("-g/srv")),
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
    ("dependent-units", replace(GOOD, dependents=("app.service",))),
    ("sub-mount", with_mounts("/var/lib/docker/volumes")),
    ("sub-mount", with_mounts("/var/lib/docker/overlay2")),
    ("sub-mount", with_mounts("/var/lib/docker/volumes/data")),
    ("ephemeral-containers", running(False, True)),
)  # fmt: skip


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
    "nodev": target_on("ext4", "nodev", "noatime"),
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
    "no swarm state": engine(swarm=""),
    "no configuration": config(content=None),
    "empty configuration": config(content=b""),
    "a flag that only begins like one": arguments("--data-root-x", "/srv", "--exec-root=/run/docker"),
    "a mount beside the data root": with_mounts("/var/lib/docker2", "/var/lib"),
    "the data root itself is a mount": with_mounts("/var/lib/docker"),
    "what the engine mounts": with_mounts(
        "/var/lib/docker/overlay2/abc/merged",
        "/var/lib/docker/containers/abc/mounts/shm",
        "/var/lib/docker/containers/abc/secrets",
        "/var/lib/docker/volumes/nfs/_data",
        "/var/lib/docker/plugins/abc/propagated-mount",
    ),
    "a container with --rm that stands still": replace(
        GOOD, inventory=replace(INVENTORY, containers=(container("c", Status.EXITED, auto_remove=True),))
    ),
}


@pytest.mark.parametrize("facts", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_what_is_fit_has_no_finding(facts: HostFacts) -> None:
    assert check(facts) == ()


def test_a_small_root_still_needs_a_fixed_margin() -> None:
    small = replace(SOURCE, size=Size(GIB, 10))
    facts = replace(free(free=GIB + 256 * 1024**2), source=small)
    assert ids(facts) == []
    assert ids(replace(facts, target=replace(facts.target, space=Space(GIB + 256 * 1024**2 - 1, None)))) == [
        "target-space"
    ]


def test_layers_take_no_space_on_the_same_file_system() -> None:
    need = 2 * GIB + 256 * 1024**2  # 8 of the 10 GiB are layers
    assert ids(same_file_system(GOOD, need)) == ["same-file-system"]
    assert ids(same_file_system(GOOD, need - 1)) == ["target-space", "same-file-system"]


def test_layers_that_are_larger_than_what_they_take_are_no_negative_need() -> None:
    assert ids(same_file_system(source(layer_bytes=20 * GIB), 256 * 1024**2)) == ["same-file-system"]


def test_errors_come_before_warnings_and_all_are_reported_together() -> None:
    facts = replace(engine(live_restore=True), fstab="", config=replace(CONFIG, content=b"{"))
    assert ids(facts) == ["live-restore", "config-invalid", "mount-not-in-fstab"]
    with pytest.raises(PreflightError) as refused:
        require(check(facts))
    assert refused.value.brief == "The move is refused, for 2 reasons. Nothing was changed."
    assert "[live-restore]" in refused.value.details
    assert "[mount-not-in-fstab]" not in refused.value.details


def test_warnings_do_not_refuse() -> None:
    found = check(replace(running(True), fstab=""))
    assert [finding.severity for finding in found] == [Severity.WARNING, Severity.WARNING]
    require(found)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GOOD, False),
        (target(resolved=SOURCE.path), True),
        (target(identities=(SOURCE.identity, (801, 2))), True),
        (replace(missing_target("/mnt/x"), source=replace(SOURCE, identity=(817, 2))), False),
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
     "/a\x7f", "/a\udcff", "/mnt/data ", "/mnt/data\u3000", "/mnt/data /", "/mnt/data/ "],
)  # fmt: skip
def test_a_word_that_is_no_target_anywhere_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(text)
    assert refused.value.text().isprintable() or "\n" in refused.value.text()
    assert text == "" or "\0" not in refused.value.text()

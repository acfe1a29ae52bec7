"""The findings of containerd's root, and what a move of both roots asks of them together."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint import containerd_checks, preflight
from entrypoint.facts import HostFacts
from entrypoint.host_file import HostFile
from entrypoint.preflight import check
from entrypoint.systemd import UnitState
from tests.unit.good_facts import CONTAINERD, DATA_MOUNT, GIB, GOOD, SOURCE, TARGET, TWO, mount, two, unit

CONFIG = CONTAINERD.config
IMPORTED = replace(CONFIG, path=PurePosixPath("/etc/containerd/conf.d/a.toml"), content=b'root = "/srv/x"\n')


def to(**facts: object) -> HostFacts:
    assert TWO.containerd_target is not None
    return replace(TWO, containerd_target=replace(TWO.containerd_target, **facts))  # type: ignore[arg-type]


def at(path: str) -> HostFacts:
    return to(path=PurePosixPath(path), resolved=PurePosixPath(path))


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


def config(**facts: object) -> HostFile:
    return replace(CONFIG, **facts)  # type: ignore[arg-type]


def on_mount_point(named: bool = False) -> HostFacts:
    """The target is where a disk is mounted."""
    here = replace(TARGET, path=DATA_MOUNT.point, resolved=DATA_MOUNT.point)
    return replace(two(is_named=named), target=here)


FOUND: tuple[tuple[str, HostFacts], ...] = (
    ("containerd-snapshotter", replace(TWO, engine=replace(TWO.engine, driver="zfs"))),
    ("containerd-service", two(service=unit("containerd.service", UnitState.INACTIVE))),
    ("containerd-service", two(service=unit("containerd.service", UnitState.INACTIVE, "not-found"))),
    ("containerd-root-unknown", two(is_open=False)),
    ("unit-needs-reload", two(service=replace(CONTAINERD.service, needs_reload=True))),
    ("containerd-root-nested", two(root=PurePosixPath("/var/lib/docker/containerd"),
                                   config=config(content=b'root = "/var/lib/docker/containerd"\n'))),
    ("containerd-root-flag", two(arguments=("/usr/bin/containerd", "--root=/var/lib/containerd"))),
    ("containerd-root-imported", two(imported=(IMPORTED,))),
    ("containerd-root-is-link", two(config=config(content=b'root = "/ctd"\n'))),
    ("containerd-config-invalid", two(config=config(content=b"root ="))),
    ("containerd-config-vendors", two(config=config(path=PurePosixPath("/usr/share/containerd/config.toml")))),
    ("containerd-config-vendors", two(config=config(is_file=False))),
    ("containerd-config-read-only", two(config=config(writable=False))),
    ("containerd-config-read-only", two(drop_in=replace(CONTAINERD.drop_in, writable=False))),
    ("containerd-users", two(users=("k8s.io",))),
    ("containerd-target-unknown", on_mount_point()),
    ("containerd-target-nested", at("/mnt/data/docker/containerd")),
    ("containerd-target-nested", at("/var/lib/docker/containerd")),
    ("target-inside-source", at("/var/lib/containerd/new")),
    ("target-not-empty", to(exists=True, is_directory=True, content=("a",))),
    ("target-characters", at("/mnt/data/a:b")),
    ("target-exposed", to(exposed=("/mnt",))),
    ("sub-mount", replace(TWO, mounts=(*TWO.mounts, mount("/var/lib/containerd/x", "8:33")))),
    ("bound-into-root", replace(TWO, binds={"agent": ("/var/lib/containerd",)})),
)  # fmt: skip


def test_two_good_roots_have_no_finding() -> None:
    assert ids(TWO) == []


@pytest.mark.parametrize(("expected", "facts"), FOUND, ids=[f"{id}-{number}" for number, (id, _) in enumerate(FOUND)])
def test_a_fault_of_containerds_root_is_found(expected: str, facts: HostFacts) -> None:
    assert expected in ids(facts)


def test_a_finding_of_its_target_says_whose_it_is() -> None:
    [finding] = check(to(content=("a",), exists=True, is_directory=True))
    assert finding.title == "containerd's root: the target is not empty"


def test_a_target_that_is_a_mount_point_wants_containerds_named() -> None:
    assert "containerd-target-unknown" not in ids(on_mount_point(named=True))


@pytest.mark.parametrize(("free", "found"), [(23 * GIB, []), (21 * GIB, ["target-space"])])
def test_the_space_is_asked_of_both_roots_together(free: int, found: list[str]) -> None:
    size = replace(SOURCE.size, allocated=10 * GIB)
    assert TWO.containerd_source is not None
    facts = replace(
        TWO,
        source=replace(TWO.source, size=size),
        containerd_source=replace(TWO.containerd_source, size=size),
        target=replace(TWO.target, space=replace(TWO.target.space, free=free)),
    )
    assert ids(facts) == found


def test_the_space_of_another_disk_is_its_own() -> None:
    other = mount("/mnt/other", "8:49")
    facts = to(mount=other, space=replace(TARGET.space, free=1))
    assert [finding.id for finding in check(facts) if finding.id == "target-space"] == ["target-space"]


@pytest.mark.parametrize("facts", [two(is_managed=True), TWO])
def test_a_root_that_stays_is_not_asked_about(facts: HostFacts) -> None:
    """It is in the data root, or is to be left where it is."""
    alone = replace(facts, containerd_source=None, containerd_target=None)
    assert ids(replace(alone, containerd=replace(CONTAINERD, is_open=False, users=("k8s.io",)))) == []


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (TWO, ["containerd-left-behind"]),
        (two(root=PurePosixPath("/mnt/data/containerd")), []),
        (two(root=PurePosixPath("/srv/chosen")), []),
        (two(root=PurePosixPath("/srv/chosen"), is_named=True), ["containerd-left-behind"]),
        (replace(TWO, containerd_source=None, containerd_target=None), []),
        (GOOD, []),
    ],
)
def test_a_data_root_that_is_there_already_does_not_hide_a_containerd_root_that_is_not(
    facts: HostFacts, found: list[str]
) -> None:
    assert [finding.id for finding in containerd_checks.left_behind(facts)] == found


def test_no_root_is_adopted_where_images_are_in_containerd() -> None:
    assert "containerd-store" in [finding.id for finding in preflight.check_adoption(TWO, None)]


def test_the_others_that_have_tasks_are_named() -> None:
    [finding] = check(two(users=("default", "k8s.io")))
    assert "default, k8s.io" in finding.detail

"""The findings of containerd's root, and what a move of both roots asks of them together."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint.commands import rollback
from entrypoint.engine.containerd.service import Containerd
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.services.units import UnitState
from entrypoint.move import safety_net
from entrypoint.plan import outline
from entrypoint.plan.plan import Plan
from entrypoint.preflight import preflight
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.containerd.root import of_setting
from entrypoint.preflight.edits.containerd import switch_edit
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check
from entrypoint.settings.file_edit import FileEdit
from entrypoint.settings.formats import root_in
from tests.unit.support.good_facts import (
    ALONE,
    CONTAINERD,
    DATA_MOUNT,
    GIB,
    GOOD,
    SOURCE,
    STAYING,
    TARGET,
    TWO,
    make,
    mount,
    two,
    unit,
    with_source,
    with_target,
)

CONFIG = CONTAINERD.config
IMPORTED = replace(CONFIG, path=PurePosixPath("/etc/containerd/conf.d/a.toml"), content=b'root = "/srv/x"\n')
OTHER = replace(IMPORTED, path=PurePosixPath("/etc/containerd/conf.d/b.toml"))


def to(**facts: object) -> HostFacts:
    return with_target(TWO, 1, **facts)


def at(path: str) -> HostFacts:
    return to(path=PurePosixPath(path), resolved=PurePosixPath(path))


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


def config(**facts: object) -> HostFile:
    return replace(CONFIG, **facts)  # type: ignore[arg-type]


FLAGGED = ("/usr/bin/containerd", "--root=/var/lib/containerd")
UNIT = "[Service]\nExecStart=/usr/bin/containerd --root=/var/lib/containerd\n"
OPT = b'[plugins."io.containerd.internal.v1.opt"]\npath = "/var/lib/containerd/opt"\n'
SNAPSHOTS = b'[plugins."io.containerd.snapshotter.v1.overlayfs"]\nroot_path = "/srv/snapshots"\n'
INSIDE = SNAPSHOTS.replace(b"/srv/", b"/var/lib/containerd/")


def flagged(text: str = UNIT, path: str = "/lib/systemd/system/containerd.service", **facts: object) -> HostFacts:
    """The root is set by a flag of the unit."""
    file = config(path=PurePosixPath(path), content=text.encode())
    return two(**{"arguments": FLAGGED, "unit_files": (file,), **facts})


def on_mount_point(named: bool = False) -> HostFacts:
    """The target is where a disk is mounted."""
    return with_target(two(is_named=named), path=DATA_MOUNT.point, resolved=DATA_MOUNT.point)


FOUND: tuple[tuple[str, HostFacts], ...] = (
    ("containerd-snapshotter", replace(TWO, engine=replace(TWO.engine, driver="zfs"))),
    ("containerd-service", two(service=unit("containerd.service", UnitState.INACTIVE))),
    ("containerd-service", two(service=unit("containerd.service", UnitState.INACTIVE, "not-found"))),
    ("containerd-root-unknown", two(is_open=False)),
    ("unit-needs-reload", two(service=replace(CONTAINERD.service, needs_reload=True))),
    ("containerd-root-nested", two(root=PurePosixPath("/var/lib/docker/containerd"),
                                   config=config(content=b'root = "/var/lib/docker/containerd"\n'))),
    ("containerd-root-nested", replace(two(root=PurePosixPath("/var/lib/docker/containerd")), roots=TWO.roots[:1])),
    ("containerd-root-variable", replace(two(root=PurePosixPath("/srv/images"), is_managed=True), roots=TWO.roots[:1])),
    ("containerd-root-flag", flagged()),
    ("containerd-flag-unknown", two(arguments=FLAGGED)),
    ("containerd-flag-unknown", flagged("[Service]\nExecStart=/opt/wrapper\n")),
    ("containerd-flag-unknown", flagged("[Service]\nExecStart=containerd --root=/a\nExecStart=containerd\n")),
    ("containerd-command-differs", flagged(arguments=("/usr/bin/containerd",))),
    ("containerd-command-differs", flagged(arguments=(*FLAGGED, "--config=/etc/other.toml"))),
    ("containerd-root-divided", two(imported=(IMPORTED, replace(OTHER, content=INSIDE)))),
    ("containerd-root-divided", flagged(config=config(content=INSIDE))),
    ("containerd-config-read-only", flagged(config=config(content=OPT, writable=False))),
    ("containerd-snapshots-elsewhere", two(config=config(content=SNAPSHOTS))),
    ("containerd-snapshots-elsewhere", two(imported=(replace(IMPORTED, content=SNAPSHOTS),))),
    ("containerd-config-vendors", two(imported=(replace(IMPORTED, path=PurePosixPath("/usr/share/a.toml")),))),
    ("containerd-config-read-only", flagged(override=replace(CONTAINERD.override, writable=False))),
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


OF_TWO = ("containerd-root-flag", "containerd-target-unknown", "containerd-target-nested")


@pytest.mark.parametrize(
    ("expected", "facts"), [(id, facts) for id, facts in FOUND if facts.roots[1:] and id not in OF_TWO]
)
def test_the_same_fault_is_found_where_it_moves_alone(expected: str, facts: HostFacts) -> None:
    assert expected in ids(replace(facts, roots=facts.roots[1:]))


@pytest.mark.parametrize(
    ("facts", "path", "after"),
    [
        (TWO, "/etc/containerd/config.toml", 'root = "/mnt/data/containerd"'),
        (two(imported=(IMPORTED, replace(OTHER, content=b"version = 2\n"))), str(IMPORTED.path),
         'root = "/mnt/data/containerd"'),
        (flagged(), str(CONTAINERD.override.path),
         "ExecStart=\nExecStart=/usr/bin/containerd --root=/mnt/data/containerd\n"),
        (flagged(UNIT, "/etc/systemd/system/containerd.service"), "/etc/systemd/system/containerd.service",
         "ExecStart=/usr/bin/containerd --root=/mnt/data/containerd\n"),
        (flagged("[Service]\nExecStart=/usr/bin/containerd -root /var/lib/containerd\n",
                 "/etc/systemd/system/a.conf", arguments=("containerd", "-root", "/var/lib/containerd")),
         "/etc/systemd/system/a.conf", "ExecStart=/usr/bin/containerd -root /mnt/data/containerd\n"),
        (flagged('[Service]\nEnvironment="OPTIONS=--root=/var/lib/containerd"\nExecStart=containerd $OPTIONS\n',
                 "/etc/systemd/system/a.conf"),
         "/etc/systemd/system/a.conf", 'Environment="OPTIONS=--root=/mnt/data/containerd"'),
    ],
)  # fmt: skip
def test_the_place_that_wins_is_edited_where_it_stands(facts: HostFacts, path: str, after: str) -> None:
    alone = replace(facts, roots=facts.roots[1:])
    assert not preflight.refuses(of_setting(alone, containerd_of(alone)))
    edit = switch_edit(alone, alone.first)
    assert (edit.path, after in (edit.after or b"").decode()) == (path, True), edit.after
    assert root_in(edit.after, edit.setting, edit.path) == "/mnt/data/containerd"
    assert from_json(FileEdit, to_json(edit)) == edit


def test_a_specifier_of_the_unit_is_read_by_systemd_alone() -> None:
    text = "[Service]\nExecStart=/usr/bin/containerd --config=/etc/%p/config.toml\n"
    assert ids(flagged(text, arguments=("/usr/bin/containerd", "--config=/etc/containerd/config.toml"))) == []


def containerd_of(facts: HostFacts) -> Containerd:
    assert facts.containerd is not None
    return facts.containerd


def test_what_other_files_name_in_the_root_follows_ahead_of_it() -> None:
    """As Debian's file does, where the root is set elsewhere."""
    facts = replace(flagged(config=config(content=OPT)), roots=ALONE.roots)
    plan = make(facts)
    [edit] = plan.follow
    assert (edit.path, edit.after) == (str(CONFIG.path), OPT.replace(b"/var/lib/containerd", b"/mnt/data/containerd"))
    assert plan.edits.index(edit) < plan.edits.index(plan.first.switch)
    assert ("containerd-0", edit) in safety_net.kept(plan)
    assert from_json(Plan, to_json(plan)) == plan
    back = rollback.plan_back(facts, plan, lambda edit: edit.after)
    assert [(one.before, one.after) for one in back.follow] == [(edit.after, edit.before)]
    assert "what it names below the root" in "\n".join(outline.steps(plan))


def test_a_snapshotter_in_the_root_moves_with_it() -> None:
    facts = two(config=config(content=INSIDE))
    assert ids(facts) == []
    assert b'root_path = "/mnt/data/containerd/snapshots"' in (switch_edit(facts, facts.roots[1]).after or b"")


def test_a_finding_of_its_target_says_whose_it_is() -> None:
    [finding] = check(to(content=("a",), exists=True, is_directory=True))
    assert finding.title == "containerd's root: the target is not empty"


def test_a_target_that_is_a_mount_point_wants_containerds_named() -> None:
    assert "containerd-target-unknown" not in ids(on_mount_point(named=True))


@pytest.mark.parametrize(("free", "found"), [(23 * GIB, []), (21 * GIB, ["target-space"])])
def test_the_space_is_asked_of_both_roots_together(free: int, found: list[str]) -> None:
    size = replace(SOURCE.size, allocated=10 * GIB)
    facts = with_source(with_source(TWO, size=size), 1, size=size)
    facts = with_target(facts, space=replace(TARGET.space, free=free))
    assert ids(facts) == found


def test_the_space_of_another_disk_is_its_own() -> None:
    other = mount("/mnt/other", "8:49")
    facts = to(mount=other, space=replace(TARGET.space, free=1))
    assert [finding.id for finding in check(facts) if finding.id == "target-space"] == ["target-space"]


@pytest.mark.parametrize("facts", [two(is_managed=True), TWO])
def test_a_root_that_stays_is_not_asked_about(facts: HostFacts) -> None:
    """It is in the data root, or is to be left where it is."""
    stays = replace(facts, roots=STAYING.roots)
    assert ids(replace(stays, containerd=replace(CONTAINERD, is_open=False, users=("k8s.io",)))) == []


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (TWO, ["containerd-left-behind"]),
        (two(root=PurePosixPath("/mnt/data/containerd")), []),
        (two(root=PurePosixPath("/srv/chosen")), []),
        (two(root=PurePosixPath("/srv/chosen"), is_named=True), ["containerd-left-behind"]),
        (STAYING, []),
        (GOOD, []),
    ],
)
def test_a_data_root_that_is_there_already_does_not_hide_a_containerd_root_that_is_not(
    facts: HostFacts, found: list[str]
) -> None:
    assert [finding.id for finding in images.left_behind(facts)] == found


def test_the_others_that_have_tasks_are_named() -> None:
    [finding] = check(two(users=("default", "k8s.io")))
    assert "default, k8s.io" in finding.detail

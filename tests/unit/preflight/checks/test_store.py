"""What the engine's next start would keep images in, by all that can say so, against what it keeps them in now."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint.console.findings import Severity
from entrypoint.engine.drivers import choice
from entrypoint.engine.inventory import Container, Status
from entrypoint.preflight.checks.engine.store import migrating, pending, unused
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check
from tests.unit.support.good_facts import CONFIG, GOOD, TWO, container

Config = dict[str, object]
ON: Config = {"features": {"containerd-snapshotter": True}}
OFF: Config = {"features": {"containerd-snapshotter": False}}
OTHER: Config = {"features": {"buildkit": True}}


def facts(
    store: str,
    version: str,
    config: Config,
    flags: str = "",
    security: str = "",
    traces: tuple[str, ...] = (),
    variables: str = "",
) -> HostFacts:
    named = str(config.get("storage-driver", "overlayfs"))
    driver = "overlay2" if store == "graphdriver" else "overlayfs" if named == "overlay2" else named
    engine = replace(GOOD.engine, store=store, driver=driver, version=version, security=(security,))
    text = f"[Service]\nEnvironment={variables}\nExecStart=/usr/bin/dockerd -H fd:// {flags}\n".encode()
    unit = replace(CONFIG, path=PurePosixPath("/lib/systemd/system/docker.service"), content=text)
    written = replace(CONFIG, content=json.dumps(config).encode())
    left = frozenset(traces or (["overlay2"] if store == "graphdriver" else []))
    return replace(GOOD, engine=engine, config=written, unit_files=(unit,), traces=left)


SAME = [
    ("graphdriver", "28.5.2", {}, ""),
    ("graphdriver", "28.5.2", OFF, ""),
    ("graphdriver", "28.5.2", OTHER, ""),
    ("graphdriver", "29.0.1", {}, ""),  # it stays with what it finds in its root
    ("graphdriver", "20.10.5", ON, ""),  # knows nothing of it
    ("graphdriver", "28.5.2", {"storage-driver": "overlay2"}, ""),
    ("containerd", "28.5.2", ON, ""),
    ("containerd", "28.5.2", {}, "--feature containerd-snapshotter=true"),
    ("containerd", "29.0.1", {}, ""),
    ("containerd", "28.5.2", ON | {"storage-driver": "overlayfs"}, ""),
]
PENDING: list[tuple[str, str, Config, str, str]] = [
    ("graphdriver", "28.5.2", ON, "", "containerd"),
    ("graphdriver", "26.1.5", ON, "", "containerd"),
    ("graphdriver", "29.0.1", ON, "", "containerd"),
    ("graphdriver", "28.5.2", {}, "--feature=containerd-snapshotter=true", "containerd"),
    ("graphdriver", "28.5.2", {"storage-driver": "vfs"}, "", "vfs"),
    ("graphdriver", "28.5.2", {}, "--storage-driver=vfs", "vfs"),
    ("containerd", "28.5.2", {}, "", "graphdriver"),
    ("containerd", "28.5.2", OFF, "", "graphdriver"),
    ("containerd", "29.0.1", OFF, "", "graphdriver"),
]


@pytest.mark.parametrize(("store", "version", "config", "flags"), SAME)
def test_a_start_that_changes_nothing_is_passed_over(store: str, version: str, config: Config, flags: str) -> None:
    assert list(pending(facts(store, version, config, flags))) == []


@pytest.mark.parametrize(("store", "version", "config", "flags", "then"), PENDING)
def test_a_start_that_would_find_nothing_is_refused(
    store: str, version: str, config: Config, flags: str, then: str
) -> None:
    [finding] = [one for one in check(facts(store, version, config, flags)) if one.id == "store-pending"]
    assert finding.severity is Severity.ERROR
    assert f"would start with {then}" in finding.detail


@pytest.mark.parametrize(
    ("config", "flags", "traces"),
    [
        ({"storage-driver": "overlay2"}, "", ()),
        ({}, "-s overlay2", ()),
        ({}, "", ("overlay2",)),  # an explicit feature was taken out, and what an older engine has left is found
        ({"storage-driver": "overlayfs"}, "", ("overlay2",)),
    ],
)
def test_from_29_on_what_is_in_the_root_and_then_the_driver_decides(
    config: Config, flags: str, traces: tuple[str, ...]
) -> None:
    [finding] = pending(facts("containerd", "29.7.3", config, flags, traces=traces))
    assert "would start with graphdriver" in finding.detail
    assert "Do not restart the engine with it" in finding.remedy
    if "overlay2" not in (*config.values(), *flags.split()):  # as a snapshotter there is none of that name
        assert list(pending(facts("containerd", "29.7.3", config | ON, flags, traces=traces))) == []
    [before] = pending(facts("containerd", "28.5.2", {}, traces=traces))
    assert "restart the engine with it first" in before.remedy


def test_a_snapshotter_that_is_named_is_no_graph_driver() -> None:
    native = facts("containerd", "29.7.3", {"storage-driver": "native"})
    assert list(pending(native)) == []
    [finding] = pending(replace(native, engine=replace(native.engine, driver="overlayfs")))
    assert "with the storage driver overlayfs; by its configuration it would start with native" in finding.detail


def test_native_must_be_named_for_an_engine_takes_overlayfs_where_it_can() -> None:
    native = facts("containerd", "29.7.3", {})
    found = check(replace(native, engine=replace(native.engine, driver="native")))
    assert "driver-unnamed" in [one.id for one in found]


@pytest.mark.parametrize(("version", "then"), [("23.0.1", {"aufs", "overlay2"}), ("29.7.3", {"overlay2"})])
def test_what_a_driver_has_left_that_the_engine_has_no_more_leads_nowhere(version: str, then: set[str]) -> None:
    assert choice.seen({"aufs", "overlay2", "vfs"}, version) == then


LARGE = "DOCKER_MIGRATE_SNAPSHOTTER_THRESHOLD=5GB"
MIGRATES: Config = {"features": {"containerd-migration": True}}


def migrating_at_next_start() -> HostFacts:
    seen = facts("graphdriver", "29.7.3", MIGRATES, variables=LARGE)
    return replace(seen, inventory=replace(seen.inventory, containers=()))


@pytest.mark.parametrize(
    ("version", "config", "variable", "containers", "refused"),
    [
        ("29.7.3", MIGRATES, LARGE, (), True),
        ("29.7.3", MIGRATES, LARGE, (container("gone", auto_remove=True),), True),
        ("29.7.3", MIGRATES, LARGE, (container("web", Status.EXITED),), False),
        ("29.7.3", MIGRATES, "", (), False),
        ("29.7.3", {}, LARGE, (), False),
        ("28.5.2", MIGRATES, LARGE, (), False),
    ],
)
def test_a_start_that_would_migrate_all_images_is_refused(
    version: str, config: Config, variable: str, containers: tuple[Container, ...], refused: bool
) -> None:
    seen = facts("graphdriver", version, config, variables=variable)
    seen = replace(seen, inventory=replace(seen.inventory, containers=containers))
    assert [one.id for one in migrating(seen)] == (["store-migration"] if refused else [])


def test_remapped_users_have_the_graph_driver_whatever_is_configured() -> None:
    assert list(pending(facts("graphdriver", "28.5.2", ON, security="name=userns"))) == []


def test_what_cannot_be_read_is_told_by_another_check() -> None:
    broken = replace(GOOD, config=replace(CONFIG, content=b"{"))
    assert list(pending(broken)) == []
    assert check(broken) != ()


def test_an_engine_that_has_migrated_stays_so_while_the_feature_is_on() -> None:
    migrated = facts("containerd", "29.7.3", MIGRATES, traces=("overlay2",))
    assert list(pending(migrated)) == []
    [finding] = pending(replace(migrated, config=replace(CONFIG, content=b"{}")))
    assert (finding.id, "would start with graphdriver" in finding.detail) == ("store-pending", True)


def test_layers_that_a_migration_has_left_are_told() -> None:
    left = replace(TWO, roots=(GOOD.first, *TWO.roots[1:]))
    [finding] = unused(left)
    assert (finding.id, finding.severity) == ("layers-unused", Severity.WARNING)
    assert "7 of them, 8.0 GiB" in finding.detail
    assert [list(unused(one)) for one in (TWO, GOOD)] == [[], []]

"""An engine that was upgraded: it keeps its images where an older one has left them, without a word on it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, differences, inventory, populate
from tests.hosts.given import Layout
from tests.system.support.given import DAEMON_JSON, NEEDED, WEB, configure, driver, restart, row, set_up, started
from tests.system.support.moving import (
    DISK,
    MOVED,
    SOURCE,
    TARGET,
    Before,
    assert_committed,
    assert_nothing_left,
    before,
    move,
    outcome,
    relocator,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800), NEEDED]

LARGE = "DOCKER_MIGRATE_SNAPSHOTTER_THRESHOLD=20GB"
MIGRATES = {"containerd-migration": True}


@dataclass
class Upgraded:
    host: Host
    was: Before


@pytest.fixture(scope="module")
def upgraded() -> Iterator[Upgraded]:
    with Disk("8G") as disk, boot("trixie", "upgraded", disks={DISK: disk}) as host:
        assert driver(host) == "overlay2"
        populate(host, roles=FEWER)
        yield Upgraded(host, before(host))


@pytest.mark.parametrize(
    ("options", "then"),
    [
        ({"features": {"containerd-snapshotter": True}}, "would start with containerd"),
        ({"storage-driver": "vfs"}, "would start with vfs"),
        ({"storage-driver": "overlayfs"}, "would start with overlayfs"),
    ],
    ids=["the feature", "another driver", "a snapshotter"],
)
def test_a_store_that_the_next_start_would_change_is_refused(
    upgraded: Upgraded, options: dict[str, object], then: str
) -> None:
    host, was = upgraded.host, started(upgraded.host)
    configure(host, **options)
    refused = relocator(host, TARGET)
    host.write(DAEMON_JSON, upgraded.was.daemon_json)
    assert (refused.returncode, "[store-pending]" in refused.stderr) == (3, True), refused.stderr
    assert then in refused.stderr
    assert started(host) == was
    row(Layout.DEBIAN, f"overlay2, then {next(iter(options))}", "refused, nothing stopped")


def test_a_container_whose_layer_is_gone_is_named_although_the_engine_lists_it(upgraded: Upgraded) -> None:
    host = upgraded.host
    id = host.docker("create", "--name=hollow", "busybox", "true")
    place = host.path(f"{SOURCE}/image/overlay2/layerdb/mounts/{id}")
    away = host.path(f"{SOURCE}/../away")
    os.rename(place, away)
    restart(host)
    try:
        listed = host.docker("ps", "--all", "--format={{.Names}}").split()
        refused = relocator(host, "check", TARGET)
        told = relocator(host, TARGET)
    finally:
        os.rename(away, place)
        restart(host)
        host.docker("rm", "--force", "hollow")
    assert "hollow" in listed
    assert (refused.returncode, told.returncode) == (3, 3), refused.stderr + told.stderr
    assert f"The container {id[:12]} is listed, and its layer is gone" in refused.stderr, refused.stderr
    assert f"docker rm {id[:12]}" in refused.stderr
    row(Layout.DEBIAN, "a container that is listed and has no layer", "named")


def test_it_moves_with_everything_and_comes_back(upgraded: Upgraded) -> None:
    host, was = upgraded.host, before(upgraded.host)
    assert_committed(host, move(host), was)
    assert driver(host) == "overlay2"
    again = relocator(host, TARGET)
    assert (again.returncode, "already_there" in again.stdout) == (0, True), again.stderr
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stderr
    assert outcome(host)["state"] == "committed"
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    assert differences(was.inventory, inventory(host), ignore=MOVED) == []
    assert_nothing_left(host)
    host.run(["rm", "-rf", TARGET])
    row(Layout.DEBIAN, "overlay2, which an older engine has left: there and back", "moved, as it was")


def test_a_migration_is_refused_before_and_no_way_back_leads_over_one(upgraded: Upgraded) -> None:
    """Without any container a start with the feature brings all images to containerd, whoever starts it."""
    host = upgraded.host
    host.run("docker ps --all --quiet | xargs docker rm --force --volumes")
    host.docker(*WEB)
    configure(host)
    restart(host)
    told = move(host)
    assert told["state"] == "committed", told
    set_up(host, variables=LARGE, features=MIGRATES)
    host.docker("rm", "--force", "web")
    was = started(host)
    refused = relocator(host, f"{DISK}/more")
    assert (refused.returncode, "[store-migration]" in refused.stderr) == (3, True), refused.stderr
    back = relocator(host, "rollback", "--yes")
    assert (back.returncode, "[store-migration]" in back.stderr) == (3, True), back.stderr
    assert (started(host), driver(host)) == (was, "overlay2")
    row(Layout.DEBIAN, "features.containerd-migration, no containers left", "refused, nothing stopped")
    restart(host)
    assert driver(host) == "overlayfs"
    was = started(host)
    back = relocator(host, "rollback", "--yes")
    assert (back.returncode, "[store-since]" in back.stderr) == (3, True), back.stderr
    assert (started(host), driver(host)) == (was, "overlayfs")
    row(Layout.DEBIAN, "rollback over a migration", "refused, nothing stopped")
    seen = relocator(host, "check", f"{DISK}/more/docker")
    assert "layers-unused" in seen.stdout, seen.stdout + seen.stderr
    assert "store-pending" not in seen.stdout  # on the next start it goes on to containerd, as on this one
    row(Layout.DEBIAN, "layers that a migration has left", "named, and how to be rid of them")

"""An engine that was set up anew: on its fresh root it keeps its images in containerd, without a word on it."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, differences, inventory, populate
from tests.hosts.given import Layout
from tests.system.support.given import (
    DAEMON_JSON,
    NEEDED,
    WEB,
    configure,
    dockerd,
    driver,
    elsewhere,
    load,
    row,
    set_up,
    started,
)
from tests.system.support.moving import DISK, MOVED, SOURCE, TARGET, move, outcome, read, relocator
from tests.system.support.two_roots import assert_as_it_was, assert_committed, before

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800), NEEDED]

EMBEDDED = {"embedded-containerd": True}
DATABASE = "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db"


@pytest.fixture(scope="module")
def fresh() -> Iterator[Host]:
    with Disk("8G") as disk, boot("forky", "fresh", disks={DISK: disk}, containerd_store=True) as host:
        assert (driver(host), read(host, DAEMON_JSON), dockerd(host)) == ("overlayfs", "", "/usr/bin/dockerd")
        populate(host, roles=FEWER)
        yield host


@pytest.mark.parametrize(
    ("options", "left", "then"),
    [
        ({"storage-driver": "overlay2"}, "", "would start with graphdriver"),
        ({}, "overlay2/l", "would start with graphdriver"),
        ({"storage-driver": "overlayfs"}, "overlay2/l", "would start with graphdriver"),
        ({"storage-driver": "native"}, "", "would start with native"),
        ({"features": {"containerd-snapshotter": False}}, "", "would start with graphdriver"),
        ({}, "aufs/diff", ""),
        ({}, "vfs/dir", ""),
    ],
    ids=["a driver", "what a driver has left", "that before a snapshotter", "another snapshotter", "no feature",
         "what a driver has left that there is no more", "what is overlooked"],
)  # fmt: skip
def test_what_the_next_start_would_choose_is_seen(
    fresh: Host, options: dict[str, object], left: str, then: str
) -> None:
    kept, was = read(fresh, DAEMON_JSON), started(fresh)
    if options:
        configure(fresh, **options)
    if left:
        os.makedirs(fresh.path(f"{SOURCE}/{left}"))
    told = relocator(fresh, "check", TARGET)
    fresh.write(DAEMON_JSON, kept)
    fresh.run(["rm", "-rf", *[f"{SOURCE}/{name}" for name in ("overlay2", "aufs", "vfs")]])
    found = "[store-pending]" in told.stderr
    assert (told.returncode, found) == ((3, True) if then else (0, False)), told.stderr
    assert then in told.stderr
    assert not found or "Do not restart the engine with it" in told.stderr or "native" in then
    assert started(fresh) == was
    row(Layout.PACKAGES, f"containerd, then {options or ''} {left}", "refused" if found else "goes on")


def test_what_it_chooses_is_what_was_seen() -> None:
    """The rule against the engine itself: what it takes on a root with these traces and words."""
    cases: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({}, "overlay2/l", "overlay2"),
        ({}, "aufs/diff", "overlayfs"),
        ({}, "vfs/dir", "overlayfs"),
        ({"storage-driver": "overlay2"}, "", "overlay2"),
        ({"storage-driver": "native"}, "", "native"),
        ({"features": {"containerd-snapshotter": True}}, "overlay2/l", "overlayfs"),
        ({"features": {"containerd-snapshotter": False}}, "", "overlay2"),
    )
    with boot("trixie", "chooses", with_image=False, containerd_store=True) as host:
        for options, left, then in cases:
            host.run(f"systemctl stop docker.socket docker.service; rm -rf {SOURCE}/*")
            if left:
                os.makedirs(host.path(f"{SOURCE}/{left}"))
            set_up(host, **options)
            assert driver(host) == then, (options, left)
            row(Layout.DEBIAN, f"starts with {options or ''} {left}", then)


def test_a_container_whose_snapshot_is_gone_is_named(fresh: Host) -> None:
    """The engine lists it, and describes it, as if nothing were missing."""
    id = fresh.docker("create", "--name=hollow", "busybox", "true")
    fresh.run(["ctr", "--namespace=moby", "snapshots", "rm", id])
    try:
        listed = fresh.docker("ps", "--all", "--format={{.Names}}").split()
        refused = relocator(fresh, "check", TARGET)
    finally:
        fresh.docker("rm", "--force", "hollow")
    assert "hollow" in listed
    assert (refused.returncode, "[source-incomplete]" in refused.stderr) == (3, True), refused.stderr
    assert "container hollow has no" in refused.stderr
    row(Layout.PACKAGES, "a container that is listed and has no snapshot", "named")


def test_both_roots_move_and_come_back(fresh: Host) -> None:
    was = before(fresh)
    assert_committed(fresh, move(fresh), was)
    assert "containerd's root" in read(fresh, "/etc/systemd/system/containerd.service.d/50-relocator.conf")
    handed_over = relocator(fresh, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stderr
    assert outcome(fresh)["state"] == "committed"
    assert_as_it_was(fresh, was)
    cleaned = relocator(fresh, "cleanup", "--yes")
    assert cleaned.returncode == 0, cleaned.stderr
    row(Layout.PACKAGES, "both roots, there and back, and cleanup", "moved, as it was")


def test_the_time_that_the_engine_gives_its_containers_is_asked(fresh: Host) -> None:
    options: dict[str, Any] = {"default-stop-timeout": 3}
    set_up(fresh, **options)
    told = relocator(fresh, "plan", TARGET)
    set_up(fresh)
    assert told.returncode == 0, told.stderr
    assert "3 s more if one of them" in told.stdout + told.stderr
    row(Layout.PACKAGES, "default-stop-timeout", "asked")


def test_a_namespace_of_its_own_is_not_anothers(fresh: Host) -> None:
    """Images of another namespace are another engine's to it, and so is what containers are made of."""
    fresh.run("docker ps --all --quiet | xargs docker rm --force --volumes")
    set_up(fresh, flags="--containerd-namespace=shop")
    load(fresh)
    fresh.docker(*(word.replace("name=web", "name=till") for word in WEB))
    told = relocator(fresh, "check", TARGET)
    assert (told.returncode, "containerd-users" in told.stdout) == (0, False), told.stdout + told.stderr
    was = inventory(fresh)
    moved = move(fresh)
    assert moved["state"] == "committed", moved
    assert differences(was, inventory(fresh), ignore=MOVED) == []
    row(Layout.PACKAGES, "--containerd-namespace=shop", "its containers are its own, and move")


def test_an_engine_that_is_its_own_containerd_moves_whole() -> None:
    with Disk("8G") as disk, boot("forky", "embedded", disks={DISK: disk}, containerd_store=True) as host:
        set_up(host, features=EMBEDDED)
        load(host)
        host.docker(*WEB)
        host.docker("exec", "web", "sh", "-c", "date >/inside")
        assert opened(host) == f"{SOURCE}/{DATABASE}"
        was = inventory(host)
        told = move(host)
        assert (told["state"], told["containerd"]) == ("committed", None), told
        assert opened(host) == f"{TARGET}/{DATABASE}"
        assert differences(was, inventory(host), ignore=MOVED) == []
        assert host.docker("exec", "web", "cat", "/inside")
        assert relocator(host, "rollback", "--yes").returncode == 10
        assert outcome(host)["state"] == "committed"
        assert opened(host) == f"{SOURCE}/{DATABASE}"
        assert differences(was, inventory(host), ignore=MOVED) == []
        row(Layout.PACKAGES, "features.embedded-containerd", "one root, there and back")
        host.run(["mkdir", "-p", "/var/images"])
        set_up(host, variables="DOCKER_CONTAINERD_ROOT=/var/images", features=EMBEDDED)
        load(host)
        refused = relocator(host, "check", elsewhere(1))
        assert (refused.returncode, "[containerd-root-variable]" in refused.stderr) == (3, True), refused.stderr
        assert "It works on /var/images" in refused.stderr
        row(Layout.PACKAGES, "DOCKER_CONTAINERD_ROOT", "found, and refused")


def opened(host: Host) -> str:
    """The database that the engine itself has open."""
    found = host.run("for one in /proc/$(pidof dockerd)/fd/*; do readlink $one || :; done | grep bolt/meta.db").stdout
    return found.strip()

"""What people are told to do instead (stop, copy, set the data root, start), and how it fails without a word: shown to
fail on this host, and then not with relocator.

The failures: the images stay behind in containerd (moby #50517, docker/cli #6645, docker/docs #24010), and the engine
keeps images in something else than before, because that is chosen by what is in the root (moby #13888, #34112, #51654).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import DAEMON_JSON, differences, inventory
from tests.system.dying.test_rollback import ON_NEW_ROOT, broken_unit
from tests.system.support import two_roots
from tests.system.support.moving import (
    DISK,
    MOVED,
    SOURCE,
    TARGET,
    Before,
    assert_nothing_left,
    before,
    move,
    read,
    relocator,
)
from tests.system.support.two_roots import STORE

pytestmark = pytest.mark.system

ROOT_DISK = "/var"
SUITES = ["trixie", pytest.param("forky", marks=pytest.mark.matrix)]
WEB = ("run", "--detach", "--name", "web", "--restart", "always", "--stop-signal", "KILL", "busybox", "sleep", "99999")
STORE_FEATURE = {"features": {"containerd-snapshotter": True}}


@dataclass(frozen=True)
class Told:
    """What an engine says of itself: all that the usual recipe looks at is the first."""

    root: str
    driver: str
    images: int
    containers: int


def told(host: Host) -> Told:
    said = json.loads(host.docker("info", "--format", "{{json .}}"))
    return Told(said["DockerRootDir"], said["Driver"], said["Images"], said["Containers"])


def stop(host: Host) -> None:
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])


def start(host: Host) -> None:
    host.run("systemctl reset-failed docker.service docker.socket; systemctl start docker.socket docker.service")


def configure(host: Host, **settings: object) -> None:
    host.write(DAEMON_JSON, json.dumps(json.loads(read(host, DAEMON_JSON) or "{}") | settings))


def usual_recipe(host: Host, target: str, *, lost: str = "") -> None:
    """`rsync -a` by another name: the copy is whole, unless something of it is lost."""
    stop(host)
    host.run(f"mkdir -p {target}; cp -a {SOURCE}/. {target}")
    if lost:
        host.run(f"cd {target}; rm -rf {lost}")
    configure(host, **{"data-root": target})
    start(host)


def taken(host: Host, place: str) -> int:
    host.run(["sync", "-f", place])
    there = os.statvfs(host.path(place))
    return (there.f_blocks - there.f_bfree) * there.f_frsize


def sizes(host: Host, *places: str) -> list[int]:
    return [int(line.split()[0]) for line in host.run(["du", "-s", "-x", "-B1", *places]).stdout.splitlines()]


@pytest.fixture(scope="module", params=SUITES)
def flipping(request: pytest.FixtureRequest) -> Iterator[Host]:
    """An overlay2 engine; one host serves all, for after each failure it is back on its whole root."""
    with Disk("3G") as disk, boot(request.param, name="flipping", disks={DISK: disk}) as host:
        host.docker(*WEB)
        yield host


@pytest.fixture
def whole(flipping: Host) -> Iterator[tuple[Host, Before]]:
    was = before(flipping)
    yield flipping, was
    stop(flipping)
    flipping.run(["rm", "-rf", TARGET, "/srv/docker"])
    flipping.write(DAEMON_JSON, was.daemon_json or "{}")
    start(flipping)
    assert differences(was.inventory, inventory(flipping)) == []


def test_a_copy_that_was_cut_off_starts_as_an_empty_engine(whole: tuple[Host, Before]) -> None:
    host, _ = whole
    usual_recipe(host, TARGET, lost="image overlay2")
    assert told(host) == Told(TARGET, "overlay2", images=0, containers=0)


@pytest.mark.matrix
def test_a_copy_without_its_layers_starts_as_if_nothing_were_missing(whole: tuple[Host, Before]) -> None:
    host, was = whole
    usual_recipe(host, TARGET, lost="overlay2")
    assert told(host) == Told(TARGET, "overlay2", len(was.inventory.images), containers=1)
    assert host.docker("ps", "--all", "--format", "{{.Names}} {{.State}}") == "web exited"
    assert "overlay2" in host.run(["docker", "run", "busybox", "true"], check=False).stderr


@pytest.mark.matrix
def test_where_overlay_is_impossible_another_driver_is_taken(whole: tuple[Host, Before]) -> None:
    """The host's own root is an overlay: overlay2 cannot live on it, and vfs can live anywhere."""
    host, _ = whole
    usual_recipe(host, "/srv/docker", lost="overlay2")
    assert told(host) == Told("/srv/docker", "vfs", images=0, containers=0)


def test_a_setting_that_waits_for_the_next_start_takes_the_store_along(whole: tuple[Host, Before]) -> None:
    host, _ = whole
    configure(host, **STORE_FEATURE)
    usual_recipe(host, TARGET)
    assert told(host) == Told(TARGET, "overlayfs", images=0, containers=0)


@pytest.mark.matrix
@pytest.mark.parametrize("lost", ["image overlay2", "overlay2"])
def test_ours_goes_back_if_the_engine_finds_the_same(whole: tuple[Host, Before], lost: str) -> None:
    """Lost at the worst moment: after the copy was checked, before the engine looks."""
    host, was = whole
    lose = f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || {{ cd {TARGET} && rm -rf {lost}; }}'\n"
    with broken_unit(host, lose):
        outcome = move(host)
    assert (outcome["state"], outcome["exit_code"]) == ("rolled-back", 4), outcome
    assert_as_it_was(host, was)


@pytest.mark.matrix
def test_ours_refuses_where_overlay_is_impossible(whole: tuple[Host, Before]) -> None:
    host, was = whole
    refused = relocator(host, "/srv/docker")
    assert refused.returncode == 3, refused.stdout
    assert not host.path("/srv/docker").exists()
    assert_as_it_was(host, was)


@pytest.mark.parametrize("setting", [STORE_FEATURE, {"storage-driver": "vfs"}], ids=["store", "driver"])
def test_ours_refuses_while_a_setting_waits(whole: tuple[Host, Before], setting: dict[str, object]) -> None:
    host, was = whole
    configure(host, **setting)
    for verb in ("check", "run"):
        refused = relocator(host, verb, TARGET)
        assert refused.returncode == 3, refused.stdout
        assert "[store-pending]" in refused.stderr
    host.write(DAEMON_JSON, was.daemon_json or "{}")
    assert differences(was.inventory, inventory(host)) == []


def assert_as_it_was(host: Host, was: Before) -> None:
    assert differences(was.inventory, inventory(host)) == []
    assert read(host, DAEMON_JSON) == was.daemon_json
    assert_nothing_left(host)


@pytest.fixture(scope="module", params=SUITES)
def full(request: pytest.FixtureRequest) -> Iterator[Host]:
    """An engine with its images in containerd, on a full root disk."""
    with (
        Disk("3G") as root,
        Disk("4G") as disk,
        boot(request.param, name="full", disks={ROOT_DISK: root, DISK: disk}, containerd_store=True) as host,
    ):
        host.docker(*WEB)
        host.docker("volume", "create", "kept")
        yield host


def test_the_usual_recipe_leaves_the_disk_full(full: Host) -> None:
    usual_recipe(full, TARGET)
    assert told(full).root == TARGET
    assert two_roots.store(full) == STORE
    before_removal, (data, images) = taken(full, ROOT_DISK), sizes(full, SOURCE, STORE)
    full.run(["rm", "-rf", SOURCE])
    gained = before_removal - taken(full, ROOT_DISK)
    print(f"\nthe usual recipe gives back {gained >> 20} MiB of {data + images >> 20} MiB")
    assert gained < (data + images) / 10
    # And it goes on filling it.
    here, there = taken(full, ROOT_DISK), taken(full, DISK)
    full.run(["docker", "build", "--quiet", "-"], stdin="FROM busybox\nRUN head -c 50000000 /dev/urandom >/fifty\n")
    assert taken(full, ROOT_DISK) - here > 50_000_000
    assert taken(full, DISK) - there < 5_000_000


def test_ours_names_what_was_left_behind_and_brings_it_after(full: Host) -> None:
    """By a move of both to another place on that disk, where the data root need only be linked."""
    was, full_disk, (images,) = two_roots.before(full), taken(full, ROOT_DISK), sizes(full, STORE)
    refused = relocator(full, TARGET)
    assert refused.returncode == 3, refused.stdout
    assert "[containerd-left-behind]" in refused.stderr
    assert two_roots.roots(full) == (TARGET, STORE)
    both = f"{DISK}/both/docker", f"{DISK}/both/containerd"
    two_roots.assert_committed(full, move(full, both[0], "--same-disk"), was, *both)
    cleaned = relocator(full, "cleanup", "--yes")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert "cleanup.behind" not in cleaned.stdout
    gained = full_disk - taken(full, ROOT_DISK)
    print(f"\nours gives back {gained >> 20} MiB of {images >> 20} MiB")
    assert gained > 0.95 * images
    assert two_roots.roots(full) == both
    assert differences(was.inventory, inventory(full), ignore=MOVED) == []

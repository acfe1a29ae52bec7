"""A host whose configuration is gone at each boot, and its data is there: the same command finds it again."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import inventory
from tests.hosts.prepared import images
from tests.system.support.moving import (
    DISK,
    SOURCE,
    TARGET,
    UNIT,
    assert_nothing_left,
    assert_unchanged,
    configuration,
    move,
    outcome,
    read,
    relocator,
)

pytestmark = pytest.mark.system

RECORD = f"{TARGET}/.relocator-root"
WRITES = "while :; do date +%s%N >>/data/log; sleep 0.1; done"
SECONDS = 60.0  # on a busy machine; nothing is copied


@pytest.fixture(scope="module")
def stateless() -> Iterator[Host]:
    """Its engine was moved to the disk, with a container that writes; then it was booted with a new /etc/docker."""
    with Disk("4G", "ext4") as disk, boot(name="stateless", disks={DISK: disk}) as host:
        host.docker("run", "-d", "--name", "web", "--restart=always", "-v", "data:/data", "busybox", "sh", "-c", WRITES)
        told = move(host)
        assert (told["state"], told["direction"]) == ("committed", "forth"), f"{told}\n{host.journal(UNIT)}"
        assert json.loads(read(host, RECORD))["engine_id"] == host.docker("info", "--format={{.ID}}")
        forget(host)
        yield host


def forget(host: Host) -> None:
    """What a boot does to a stateless /etc."""
    host.run(["rm", "-rf", "/etc/docker", "/etc/systemd/system/docker.service.d"])
    host.reboot()
    host.wait_docker()
    assert root_of(host) == SOURCE


def root_of(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def make_fresh(host: Host) -> None:
    """The engine's own small root, with nothing in it but the program's image."""
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    host.run(["rm", "-rf", SOURCE])
    host.run(["systemctl", "start", "docker.socket", "docker.service"])
    with images(with_product=True) as wanted:
        wanted[-1].load(host)


def require_refused(host: Host, *expected: str) -> None:
    """Code 3, the reason, and nothing changed."""
    was, held = configuration(host), inventory(host)
    told = relocator(host, TARGET)
    assert told.returncode == 3, told.stdout + told.stderr
    assert [word for word in expected if word not in told.stderr] == []
    assert_unchanged(host, was, held)


def test_an_old_root_that_is_still_there_has_been_written_to_again(stateless: Host) -> None:
    require_refused(stateless, "[written-elsewhere]", "volume data", "--adopt")


def test_what_the_fresh_engine_holds_is_not_lost_silently(stateless: Host) -> None:
    make_fresh(stateless)
    made = ["create", "--name", "stray", "--volume", "stray:/stray", "relocator"]
    stateless.docker(*made)
    require_refused(stateless, "[adopted-lacks]", "container stray, volume stray")
    stateless.docker("rm", "--volumes", "stray")
    stateless.docker("volume", "rm", "stray")


@contextmanager
def recorded(host: Host, **changed: str) -> Iterator[None]:
    """With a record in the root that says otherwise."""
    place, was = host.path(RECORD), read(host, RECORD)
    try:
        place.write_text(json.dumps(json.loads(was) | changed))
        yield
    finally:
        place.write_text(was)


@contextmanager
def incomplete(host: Host) -> Iterator[None]:
    cache_id = next(host.path(f"{TARGET}/image/overlay2/layerdb/sha256").glob("*/cache-id")).read_text()
    layer = host.path(f"{TARGET}/overlay2/{cache_id}")
    layer.rename(layer.with_name("away"))
    try:
        yield
    finally:
        layer.with_name("away").rename(layer)


@contextmanager
def in_use(host: Host) -> Iterator[None]:
    """As an engine does, on whichever host: on a file system that several can mount, the lock is one for all."""
    with host.path(f"{TARGET}/volumes/metadata.db").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


UNFIT: dict[str, tuple[str, Callable[[Host], AbstractContextManager[None]]]] = {
    "incomplete": ("root-incomplete", incomplete),
    "of another host": ("root-of-another-host", lambda host: recorded(host, machine="0" * 32, hardware="another")),
    "of another engine": ("root-of-another-engine", lambda host: recorded(host, engine_id="ANOTHER")),
    "of a newer engine": ("root-newer", lambda host: recorded(host, engine_version="99.0.0")),
    "of another driver": ("root-driver", lambda host: recorded(host, driver="btrfs")),
    "in use": ("root-in-use", in_use),
}


@pytest.mark.matrix
@pytest.mark.parametrize("name", UNFIT)
def test_a_root_that_is_not_fit_for_this_engine_is_refused(stateless: Host, name: str) -> None:
    finding, made = UNFIT[name]
    with made(stateless):
        require_refused(stateless, "refused, for 1 reason.", f"[{finding}]")


def test_the_same_command_finds_the_data_in_seconds(stateless: Host) -> None:
    host = stateless
    written = host.path(f"{TARGET}/volumes/data/_data/log").read_bytes()
    assert relocator(host, "check", TARGET).returncode == 0
    began = time.monotonic()
    told = move(host)
    took = time.monotonic() - began
    assert (told["state"], told["direction"], told["target"]) == ("committed", "adopt", TARGET), told
    print(f"adopted in {took:.1f} s, the engine was away for {told['downtime']} s")
    assert took < SECONDS
    assert root_of(host) == TARGET
    assert host.docker("inspect", "--format", "{{.State.Status}}", "web") == "running"
    now = host.path(f"{TARGET}/volumes/data/_data/log").read_bytes()
    assert now.startswith(written)
    assert len(now) > len(written)
    assert_nothing_left(host)
    assert relocator(host, TARGET).returncode == 0


@pytest.mark.matrix
def test_an_adoption_is_taken_back_as_a_move_is(stateless: Host) -> None:
    host = stateless
    told = relocator(host, "rollback")
    assert (told.returncode, "container web" in told.stdout) == (0, True), told.stdout
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"
    assert (root_of(host), read(host, RECORD)) == (SOURCE, "")
    assert_nothing_left(host)


@pytest.mark.matrix
def test_a_root_without_a_record_is_insisted_on(stateless: Host) -> None:
    host = stateless
    require_refused(host, "[target-not-empty]", "--adopt")
    told = move(host, TARGET, "--adopt")
    assert (told["state"], told["direction"]) == ("committed", "adopt"), told
    assert root_of(host) == TARGET
    assert json.loads(read(host, RECORD))["driver"] == "overlay2"

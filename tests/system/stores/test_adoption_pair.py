"""Where images are in containerd, the same command finds both roots again after a boot with an /etc that is new."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import differences, inventory
from tests.hosts.prepared import images
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    SOURCE,
    TARGET,
    arm,
    assert_nothing_left,
    assert_unchanged,
    await_pause,
    configuration,
    disarm,
    move,
    outcome,
    read,
    relocator,
)
from tests.system.support.surviving import settled
from tests.system.support.two_roots import (
    CONFIG,
    DAEMON_JSON,
    STORE,
    STORE_TARGET,
    Before,
    assert_committed,
    assert_waits_for_disk,
    before,
    roots,
    start,
    stop,
)

pytestmark = pytest.mark.system

RECORD = ".relocator-root"
WRITES = "date >>/inside; while :; do date +%s%N >>/data/log; sleep 0.1; done"
BLOBS = "io.containerd.content.v1.content/blobs/sha256"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
SECONDS = 60.0  # on a busy machine; nothing is copied


@pytest.fixture(scope="module")
def stateless() -> Iterator[tuple[Host, Before]]:
    """Its two roots were moved to the disk, the old ones removed; then it was booted with the /etc it began with."""
    with Disk("6G") as disk, boot("trixie", "pair", disks={DISK: disk}, containerd_store=True) as host:
        host.docker("run", "-d", "--name", "web", "--restart=always", "-v", "data:/data", "busybox", "sh", "-c", WRITES)
        was = before(host)
        assert_committed(host, move(host), was)
        assert relocator(host, "cleanup", "--yes").returncode == 0
        forget(host, was)
        yield host, was


def forget(host: Host, was: Before) -> None:
    """What a boot does to a stateless /etc: the image's own configuration is there again, and nothing else."""
    host.write(DAEMON_JSON, was.daemon_json)
    host.write(CONFIG, was.config_toml)
    host.run(["sh", "-c", "rm -rf /etc/systemd/system/docker.service.d /etc/systemd/system/containerd.service.d"])
    host.reboot()
    host.wait_docker()
    assert roots(host) == (SOURCE, STORE)
    with images(with_product=True) as wanted:
        wanted[-1].load(host)
    relocator(host, "status")  # with its first container an engine makes a directory in its root


@contextmanager
def away(host: Host, pattern: str) -> Iterator[None]:
    """Without one of the files or directories of containerd's root."""
    place = sorted(host.path(STORE_TARGET).glob(pattern))[0]
    other = host.path(DISK) / "away"
    place.rename(other)
    try:
        yield
    finally:
        other.rename(place)


@contextmanager
def another(host: Host) -> Iterator[None]:
    """With the containerd root of the engine that runs now, which knows nothing of the containers."""
    place, kept = host.path(STORE_TARGET), host.path(DISK) / "away"
    place.rename(kept)
    stop(host)
    host.run(["cp", "-a", STORE, STORE_TARGET])
    start(host)
    try:
        yield
    finally:
        host.run(["rm", "-rf", STORE_TARGET])
        kept.rename(place)


UNFIT: dict[str, tuple[str, Callable[[Host], AbstractContextManager[None]]]] = {
    "without a blob": ("root-incomplete", lambda host: away(host, f"{BLOBS}/*")),
    "without a layer": ("root-incomplete", lambda host: away(host, f"{SNAPSHOTS}/*")),
    "without its database": ("root-incomplete", lambda host: away(host, "io.containerd.metadata.v1.bolt/meta.db")),
    "without a record": ("root-unmarked", lambda host: away(host, RECORD)),
    "of another engine": ("roots-unrelated", another),
}
SAMPLE = ("without a blob",)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one in SAMPLE else pytest.mark.matrix) for one in UNFIT]
)
def test_a_containerd_root_that_is_not_fit_is_refused(stateless: tuple[Host, Before], name: str) -> None:
    host, _was = stateless
    finding, made = UNFIT[name]
    with made(host):
        was, held = configuration(host), inventory(host)
        told = relocator(host, TARGET)
        assert (told.returncode, f"[{finding}]" in told.stderr) == (3, True), told.stdout + told.stderr
        assert_unchanged(host, was, held)


def adopt(host: Host) -> None:
    began = time.monotonic()
    told = move(host)
    took = time.monotonic() - began
    assert (told["state"], told["direction"], told["target"]) == ("committed", "adopt", TARGET), told
    print(f"both roots adopted in {took:.1f} s, the engine was away for {told['downtime']} s")
    assert took < SECONDS


def assert_adopted(host: Host, was: Before) -> None:
    assert roots(host) == (TARGET, STORE_TARGET)
    assert differences(was.inventory, inventory(host), ignore=("engine.root",)) == []
    assert host.docker("exec", "web", "cat", "/inside")
    assert_waits_for_disk(host, TARGET, STORE_TARGET)
    for root in (TARGET, STORE_TARGET):
        assert json.loads(read(host, f"{root}/{RECORD}"))["store"] == "containerd"
    assert_nothing_left(host)


def test_the_same_command_finds_both_in_seconds(stateless: tuple[Host, Before]) -> None:
    host, was = stateless
    written = host.path(f"{TARGET}/volumes/data/_data/log").read_bytes()
    assert relocator(host, "check", TARGET).returncode == 0
    adopt(host)
    assert_adopted(host, was)
    assert host.path(f"{TARGET}/volumes/data/_data/log").read_bytes().startswith(written)
    assert relocator(host, TARGET).returncode == 0
    host.reboot()
    host.wait_docker()
    assert_adopted(host, was)


@pytest.mark.matrix
def test_it_is_taken_back_as_a_move_is(stateless: tuple[Host, Before]) -> None:
    host, _was = stateless
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"
    assert roots(host) == (SOURCE, STORE)
    assert [read(host, f"{root}/{RECORD}") for root in (TARGET, STORE_TARGET)] == ["", ""]
    assert_nothing_left(host)


@pytest.mark.matrix
@pytest.mark.parametrize("instant", ["freeze.stopped", "switch.guarded", "switch.paired", "switch.written"])
def test_a_power_cut_ends_on_one_pair(stateless: tuple[Host, Before], instant: str) -> None:
    """Insisted on, as the record is gone; whichever pair it is, the same command gets the other."""
    host, was = stateless
    arm(host, f"{instant} pause")
    argv = ["docker", "run", *ATTACHED, IMAGE, TARGET, "--adopt"]
    front = host.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    await_pause(host, instant)
    host.cut_power()
    front.communicate()
    host.boot()
    host.wait_docker()
    disarm(host)
    is_new = instant == "switch.written"
    assert roots(host) == ((TARGET, STORE_TARGET) if is_new else (SOURCE, STORE))
    assert settled(host)["state"] == ("committed" if is_new else "rolled-back")
    if is_new:
        assert_adopted(host, was)

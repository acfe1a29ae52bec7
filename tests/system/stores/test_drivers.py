"""Storage drivers other than the usual ones, whose layers are files too: they move, go back, and leave nothing behind.

vfs and containerd's native give a container a plain directory, fuse-overlayfs a file system that a program serves: the
files of this program's own container do not outlive it, and the worker goes on in memory.
"""

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import APP, CHANGED, differences, inventory, populate
from tests.system.support import moving
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    MOVED,
    UNIT,
    Before,
    arm,
    assert_exact_copy,
    assert_nothing_left,
    await_pause,
    before,
    diagnosis,
    disarm,
    outcome,
    relocator,
    resume,
)
from tests.system.support.surviving import settled, stand_again

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(1800)]

# Every layer is a whole file system: there is more to copy than elsewhere, behind whatever else runs on the machine.
PATIENCE = 900.0
# What a container has removed, replaced and written, as it sees it.
LOOK = "cd /data && find . | sort && cat kept/a replaced/newer && stat -c '%n %F %a %u %s %h' kept/*"
# As it is usually started, and worse: the host's files on the file system of a plain directory, and shared with it.
SEEING = ("--volume=/:/host:rshared", "--volume=/var:/beside:rshared", "--volume=/run/docker.sock:/run/docker.sock")
LARGEST = 256 << 20  # bytes, of the image
SERVING = "cat /proc/[0-9]*/comm 2>/dev/null | grep -c fuse-overlayfs || :"


@dataclass(frozen=True)
class Kind:
    driver: str
    suite: str

    def __str__(self) -> str:
        return f"{self.driver}-{self.suite}"

    @property
    def is_of_containerd(self) -> bool:
        return self.driver == "native"


KINDS = (
    Kind("vfs", "trixie"),
    Kind("fuse-overlayfs", "fuse"),
    Kind("native", "trixie"),
)


@dataclass
class Plant:
    """A host whose engine moves from one place to another, and what a container with changes saw at the beginning."""

    kind: Kind
    host: Host
    was: Before
    seen: str
    moves: int = 0

    @property
    def root(self) -> str:
        return self.host.docker("info", "--format", "{{.DockerRootDir}}")

    def next_target(self, place: str = DISK) -> str:
        self.moves += 1
        return f"{place}/root-{self.moves}"

    def start(self, *arguments: str, given: Sequence[str] = ATTACHED) -> None:
        handed_over = relocator(self.host, *arguments, given=given)
        said = handed_over.stdout + handed_over.stderr
        assert handed_over.returncode == 10, said + self.host.journal(UNIT)
        assert '"image.in_memory"' in said, said

    def move(self, *arguments: str) -> dict[str, Any]:
        self.start(*arguments)
        return outcome(self.host)

    def assert_at(self, root: str) -> None:
        """The engine runs on this root, with everything it had, and containers see what they have written."""
        deadline = time.monotonic() + 60
        while found := differences(self.was.inventory, inventory(self.host), ignore=MOVED):
            assert time.monotonic() < deadline, f"{found}\n{diagnosis(self.host)}"
            time.sleep(0.2)
        assert self.root == root, diagnosis(self.host)
        assert look(self.host) == self.seen
        assert self.host.docker("run", "--rm", APP, "cat", "/data/0/7") == "0 7"  # a new one upon the image's layers
        assert_nothing_left(self.host)
        self.assert_serves(root)

    def assert_serves(self, root: str) -> None:
        """What FUSE programs are there serve this root, and nothing of another is mounted."""
        found = self.host.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep ^lowerdir= || :").stdout
        assert [one for one in found.splitlines() if not one.startswith(f"lowerdir={root}/")] == []
        running = sum(one.status in ("running", "paused") for one in self.was.inventory.containers.values())
        assert len(found.splitlines()) == (running if self.kind.driver == "fuse-overlayfs" else 0), found


def look(host: Host) -> str:
    return host.docker("exec", CHANGED, "sh", "-c", LOOK)


@pytest.fixture(scope="module", params=KINDS, ids=str)
def plant(request: pytest.FixtureRequest) -> Iterator[Plant]:
    kind: Kind = request.param
    options: dict[str, Any] = {"extra": ("--bind=/dev/fuse",)} if kind.driver == "fuse-overlayfs" else {}
    with (
        pytest.MonkeyPatch.context() as patch,
        Disk("16G") as disk,
        boot(kind.suite, "plant", driver=kind.driver, containerd_store=kind.is_of_containerd, disks={DISK: disk},
             **options) as host,
    ):  # fmt: skip
        patch.setattr(moving, "OUTCOME", PATIENCE)
        populate(host)
        assert host.docker("info", "--format", "{{.Driver}}") == kind.driver
        yield Plant(kind, host, before(host), look(host))


def test_it_moves_to_another_disk_and_back(plant: Plant) -> None:
    host, source, target = plant.host, plant.root, plant.next_target()
    told = plant.move(target, "--same-disk")
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{host.journal(UNIT)}"
    plant.assert_at(target)
    told = plant.move("rollback", "--yes")
    assert (told["state"], told["direction"]) == ("committed", "back"), told
    plant.assert_at(source)


def test_the_copy_is_exact_and_nothing_of_the_old_root_is_in_use_while_the_engine_is_away(plant: Plant) -> None:
    host, source, target = plant.host, plant.root, plant.next_target()
    arm(host, "start.lifted pause")
    mounted = points(host)
    plant.start(target, "--same-disk", given=(*ATTACHED, *SEEING))
    await_pause(host, "start.lifted")
    assert mounted - points(host) == set()
    assert in_memory(host) < LARGEST
    assert host.run(SERVING).stdout.strip() == "0"
    assert [line for line in host.run(["cat", "/proc/1/mountinfo"]).stdout.splitlines() if source in line] == []
    assert_exact_copy(host, source, target)
    resume(host, "start.lifted")
    told = outcome(host)
    assert told["state"] == "committed", f"{told}\n{host.journal(UNIT)}"
    disarm(host, "start.lifted")
    plant.assert_at(target)


def test_it_moves_within_a_file_system_and_the_old_root_can_be_removed(plant: Plant) -> None:
    host, source = plant.host, plant.root
    target = plant.next_target(source.rpartition("/")[0])
    told = plant.move(target, "--same-disk")
    assert told["state"] == "committed", f"{told}\n{host.journal(UNIT)}"
    plant.assert_at(target)
    assert_linked(host, plant.kind, source, target)
    told_too = relocator(host, "cleanup", "--yes")
    assert told_too.returncode == 0, told_too.stdout + told_too.stderr
    assert "cleanup.behind" not in told_too.stdout
    assert not host.path(source).exists()
    plant.assert_at(target)
    host.run(["systemctl", "restart", "docker.service"])
    host.wait_docker()
    stand_again(host, plant.was.inventory)
    plant.assert_at(target)


def points(host: Host) -> set[str]:
    """Where something is mounted that is not the engine's."""
    places = (line.split()[4] for line in host.run(["cat", "/proc/1/mountinfo"]).stdout.splitlines())
    return {place for place in places if not place.startswith(("/run/docker", "/var/lib/docker/", f"{DISK}/"))}


def in_memory(host: Host) -> int:
    """Bytes that the worker's root takes, as the host sees it."""
    pid = host.run(["systemctl", "show", "--value", "--property=MainPID", "relocator-keeper.service"]).stdout.strip()
    free, of, size, kind = host.run(["stat", "-f", "-c", "%f %b %S %T", f"/proc/{pid}/root/"]).stdout.split()
    assert kind == "tmpfs"
    return (int(of) - int(free)) * int(size)


def assert_linked(host: Host, kind: Kind, source: str, target: str) -> None:
    """Layers of images are the same files, what belongs to a container is not; of containerd's nothing is known."""
    if kind.is_of_containerd:
        return
    place = f"{kind.driver}/dir/{{}}" if kind.driver == "vfs" else f"{kind.driver}/{{}}/diff"
    names = host.path(f"{target}/image/{kind.driver}/layerdb")
    layers = [one.read_text().strip() for one in names.glob("sha256/*/cache-id")]
    own = [one.read_text().strip() for one in names.glob("mounts/*/mount-id")]
    both = [(host.path(f"{source}/{place.format(one)}"), host.path(f"{target}/{place.format(one)}")) for one in layers]
    files = [(old / file.relative_to(new), file) for old, new in both for file in new.rglob("data/*/*")]
    files = [(old, new) for old, new in files if new.is_file() and not new.is_symlink()]
    assert files
    assert [str(new) for old, new in files if not old.samefile(new)] == []
    kept = [host.path(f"{target}/{place.format(one)}/data/kept/a") for one in own]
    assert [str(one) for one in kept if one.exists() and one.stat().st_nlink > 2] == []  # `kept/same` is its other name


@pytest.mark.parametrize("point", ["final sync.copied", "switch.written"])
def test_a_worker_that_is_killed_is_started_again_from_memory(plant: Plant, point: str) -> None:
    host, source, target = plant.host, plant.root, plant.next_target()
    arm(host, f"{point} kill")
    plant.start(target, "--same-disk")
    told = settled(host)
    disarm(host, point)
    committed = told["state"] == "committed"
    assert committed is (point == "switch.written"), f"{told}\n{host.journal(UNIT)}"
    plant.assert_at(target if committed else source)


@pytest.mark.parametrize("point", ["final sync.copied", "switch.written"])
def test_a_power_cut_leaves_the_engine_on_one_whole_root(plant: Plant, point: str) -> None:
    host, source, target = plant.host, plant.root, plant.next_target()
    arm(host, f"{point} pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, point)
    host.cut_power()
    front.communicate()
    host.boot()
    host.wait_docker()
    root = target if point == "switch.written" else source
    assert plant.root == root, diagnosis(host)
    told = settled(host)
    assert told["state"] == ("committed" if root == target else "rolled-back"), f"{told}\n{host.journal(UNIT)}"
    stand_again(host, plant.was.inventory)
    plant.assert_at(root)


def test_an_engine_that_was_killed_with_its_containers_running_is_moved(plant: Plant) -> None:
    """What it leaves mounted, and the programs that serve it, are gone before the copy is made."""
    host, target = plant.host, plant.next_target()
    arm(host, "freeze.prepared pause")
    plant.start(target, "--same-disk")
    await_pause(host, "freeze.prepared")
    host.run("kill -KILL $(pidof dockerd); systemctl reset-failed docker.service docker.socket", check=False)
    resume(host, "freeze.prepared")
    told = settled(host)
    disarm(host, "freeze.prepared")
    assert told["state"] in ("committed", "rolled-back"), f"{told}\n{host.journal(UNIT)}"
    stand_again(host, plant.was.inventory)
    plant.assert_at(target if told["state"] == "committed" else plant.root)

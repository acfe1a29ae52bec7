"""What a root holds besides images and containers: volumes that are mounted from elsewhere, a plugin, the builder's
cache, a registry. There and back on a host whose full disk is the reason to move, in two moves."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot, image, plugin
from tests.hosts.content import IMAGE
from tests.hosts.loop import make_node
from tests.system.support import moving
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    SOURCE,
    TARGET,
    Before,
    arm,
    assert_committed,
    await_pause,
    before,
    diagnosis,
    disarm,
    fill,
    move,
    outcome,
    relocator,
    resume,
)

pytestmark = pytest.mark.system

FULL = "/var"  # its disk; at 95 % df says no more than that something must be done
OTHER = "/mnt/other"
BACK = f"{FULL}/engine/docker"
RUN = ("run", "--detach", "--restart", "always", "--stop-signal", "KILL")
SLEEP = ("sleep", "99999")
POINT = "pre-copy.layers"
REGISTRY = "localhost:5000"
PUSHED = f"{REGISTRY}/small:1"
# A step that is run again gives another number; what is in the cache of `RUN --mount` is no part of the image.
DRAWN = "head -c 8 /dev/urandom | od -An -tx8"
DOCKERFILE = f"""
FROM {IMAGE}
RUN --mount=type=cache,target=/cache {DRAWN} >/cache/kept && cp /cache/kept /first
COPY file /file
RUN {DRAWN} >/second
"""
ASKING = f"FROM {IMAGE}\nRUN --mount=type=cache,target=/cache cat /cache/kept >/found\n"
STEP = re.compile(r"#\d+ (CACHED|\[stage-0 \d/\d\] .*|\[\d/\d\] .*)")


@dataclass(frozen=True)
class Mounted:
    """A volume that the engine mounts on `_data` while it is in use, and where its content is."""

    name: str
    options: tuple[str, ...]
    place: str = ""  # nothing: memory

    @property
    def user(self) -> str:
        return f"user-of-{self.name}"

    def make(self, host: Host) -> None:
        host.docker("volume", "create", *(f"--opt={option}" for option in self.options), self.name)
        if self.place:
            host.run(["mkdir", "-p", self.place])
            fill(host.path(f"{self.place}/content"), 1)
        host.docker(*RUN, "--name", self.user, "--volume", f"{self.name}:/there", IMAGE, *SLEEP)

    def assert_works(self, host: Host) -> None:
        """What the container sees is what is on the device now, and the other way round."""
        host.docker("exec", self.user, "sh", "-c", "echo inside >/there/by-container")
        if not self.place:
            return
        host.run(f"echo outside >{self.place}/by-host")
        assert host.docker("exec", self.user, "cat", "/there/by-host") == "outside"
        assert host.path(f"{self.place}/by-container").read_text() == "inside\n"
        assert host.path(f"{self.place}/content").stat().st_size == 1 << 20


def bound(name: str, place: str) -> Mounted:
    return Mounted(name, ("type=none", "o=bind", f"device={place}"), place)


MEMORY = Mounted("memory", ("type=tmpfs", "device=tmpfs", "o=size=1m,mode=1700"))
NEAR = bound("near", f"{FULL}/srv/data")  # on the file system of the source
FAR = bound("far", f"{OTHER}/far")
# Mounted when the first copy has been made: to the next look everything there is new.
LATE = bound("late", f"{OTHER}/late")
LATE_NEAR = bound("late-near", f"{FULL}/srv/late")
EARLY = bound("early", f"{FULL}/srv/early")  # no longer mounted by then
BLOCK = "block"
MOUNTED = (MEMORY, NEAR, FAR, LATE, LATE_NEAR, EARLY)


@dataclass(frozen=True)
class Moved:
    host: Host
    disks: dict[str, Disk]
    was: Before
    told: dict[str, Any]
    plugin: str
    built: str
    held: int  # bytes that the root took
    free: int  # bytes on its disk before the move


@pytest.fixture(scope="module", params=["trixie", pytest.param("forky", marks=pytest.mark.matrix)])
def moved(request: pytest.FixtureRequest) -> Iterator[Moved]:
    with Disk("3G") as full, Disk("4G") as new, Disk("1G") as other, Disk("64M") as block:
        disks = {FULL: full, DISK: new, OTHER: other}
        with boot(request.param, name="holding", disks=disks) as host:
            hold(host, block)
            plugin_id = host.docker("plugin", "ls", "--quiet", "--no-trunc")
            built = build(host, DOCKERFILE)[0]
            was = before(host)
            fill_up(host)
            held, free_before = taken(host), free(host, FULL)
            told = move_with_volumes_coming_and_going(host, TARGET)
            yield Moved(host, disks, was, told, plugin_id, built, held, free_before)


def hold(host: Host, block: Disk) -> None:
    for one in MOUNTED:
        one.make(host)
    make_node(host.path(str(block.device)), block.number)
    options = ("type=ext4", f"device={block.device}")
    host.docker("volume", "create", *(f"--opt={option}" for option in options), BLOCK)
    host.docker(*RUN, "--name", BLOCK, "--volume", f"{BLOCK}:/there", IMAGE, *SLEEP)
    host.docker("exec", BLOCK, "sh", "-c", "echo on the device >/there/file")
    plugin.install(host)
    host.docker("volume", "create", "--driver", plugin.NAME, "books")
    host.docker(*RUN, "--name", "reader", "--volume", "books:/books", IMAGE, *SLEEP)
    host.docker("exec", "reader", "sh", "-c", "echo once upon a time >/books/file")
    with image.registry() as served:
        served.load(host)
    host.docker(*RUN, "--name", "registry", "--publish", "5000:5000", "--volume", "pushed:/registry", served.tag)
    host.docker("tag", IMAGE, PUSHED)
    host.run("until curl --silent --fail http://localhost:5000/v2/; do sleep 0.05; done", timeout=30)
    host.docker("push", "--quiet", PUSHED)
    host.docker("rmi", PUSHED)


def build(host: Host, dockerfile: str) -> tuple[str, str]:
    """The image's id, and what BuildKit says of its steps."""
    host.write("/root/build/Dockerfile", dockerfile)
    if not host.path("/root/build/file").exists():
        host.write("/root/build/file", "file\n")
    command = ["docker", "build", "--progress=plain", "--iidfile=/root/iid", "/root/build"]
    said = host.run(command, env={"DOCKER_BUILDKIT": "1"}).stderr
    return host.path("/root/iid").read_text(), said


def fill_up(host: Host) -> None:
    """Until 95 % are taken, by what is not the engine's."""
    there = os.statvfs(host.path(FULL))
    more = there.f_bavail * there.f_frsize - there.f_blocks * there.f_frsize // 20
    host.run(["fallocate", "--length", str(more), f"{FULL}/log/archive"])
    used = host.run(["df", "--output=pcent", FULL]).stdout.split()[-1]
    assert used in ("95%", "96%")


def free(host: Host, place: str) -> int:
    there = os.statvfs(host.path(place))
    return there.f_bavail * there.f_frsize


def taken(host: Host) -> int:
    """Bytes of the root itself: what is mounted in it is not its own."""
    mounted = " ".join(f"--exclude={SOURCE}/volumes/{one.name}/_data" for one in MOUNTED)
    return int(host.run(f"du -s -x -B1 --exclude='{SOURCE}/overlay2/*/merged' {mounted} {SOURCE}").stdout.split()[0])


def move_with_volumes_coming_and_going(host: Host, target: str) -> dict[str, Any]:
    """A move in whose pre-copy volumes are mounted and unmounted between the first copy and the next look."""
    late, early = (LATE.user, LATE_NEAR.user), EARLY.user
    host.docker("stop", *late)
    arm(host, f"{POINT} pause")
    command = ["docker", "run", *ATTACHED, moving.IMAGE, target]
    front = host.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    await_pause(host, POINT)
    host.docker("start", *late)
    host.docker("stop", early)
    resume(host, POINT)
    output, _ = front.communicate(timeout=moving.OUTCOME)
    assert front.returncode == 10, output.decode() + diagnosis(host)
    told = outcome(host)
    disarm(host, POINT)
    host.docker("start", early)
    return told


@contextmanager
def beneath(disk: Disk, root: str) -> Iterator[Path]:
    """A root without what is mounted in it; `root` is its path on the disk."""
    with disk.mounted() as point:
        yield point / root


def shape(place: Path) -> tuple[int, int, list[str]]:
    return place.stat().st_mode, place.stat().st_uid, [one.name for one in place.iterdir()]


def assert_foreign_data_was_not_copied(old: Path, new: Path) -> None:
    """Beneath what is mounted there is in the new root what is in the old: an empty directory."""
    names = (*(one.name for one in MOUNTED), BLOCK)
    was, now = ({name: shape(root / f"volumes/{name}/_data") for name in names} for root in (old, new))
    assert now == was
    assert {name: content for name, (_mode, _owner, content) in now.items()} == {name: [] for name in names}


def assert_all_works(moved: Moved, root: str) -> None:
    """Each volume, the plugin, the builder's cache, the registry."""
    host = moved.host
    for one in MOUNTED:
        one.assert_works(host)
    assert host.docker("exec", BLOCK, "cat", "/there/file") == "on the device"
    assert_plugin_works(host, moved.plugin, root)
    assert_builds_from_cache(host, moved.built)
    assert_registry_serves(host)


def assert_plugin_works(host: Host, plugin_id: str, root: str) -> None:
    listed = host.docker("plugin", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Enabled}}")
    assert listed == f"{plugin_id} {plugin.NAME} true"
    assert host.docker("exec", "reader", "cat", "/books/file") == "once upon a time"
    host.docker("volume", "create", "--driver", plugin.NAME, "more")
    assert host.path(f"{root}/plugins/{plugin_id}/propagated-mount/more").is_dir()
    host.docker("volume", "rm", "more")


def assert_builds_from_cache(host: Host, built: str) -> None:
    again, said = build(host, DOCKERFILE)
    assert again == built
    steps = STEP.findall(said)
    assert steps.count("CACHED") == 3, said
    first = host.docker("run", "--rm", built, "cat", "/first")
    asked, _ = build(host, f"{ASKING}LABEL of={os.urandom(4).hex()}\n")
    assert host.docker("run", "--rm", asked, "cat", "/found") == first
    host.docker("rmi", asked)


def assert_registry_serves(host: Host) -> None:
    host.docker("pull", "--quiet", PUSHED)
    assert host.docker("run", "--rm", PUSHED, "echo", "pulled") == "pulled"
    assert identity(host, PUSHED) == identity(host, IMAGE)
    host.docker("rmi", PUSHED)


def identity(host: Host, name: str) -> str:
    return host.docker("image", "inspect", "--format", "{{.Id}}", name)


def test_everything_is_held_and_works_on_the_new_disk(moved: Moved) -> None:
    assert_committed(moved.host, moved.told, moved.was)
    assert_all_works(moved, TARGET)


def test_what_is_mounted_on_a_volume_is_not_copied(moved: Moved) -> None:
    with beneath(moved.disks[FULL], "lib/docker") as old, beneath(moved.disks[DISK], "docker") as new:
        assert_foreign_data_was_not_copied(old, new)


def test_the_full_disk_has_its_space_back(moved: Moved) -> None:
    host = moved.host
    cleaned = relocator(host, "cleanup", "--yes")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    host.run(["sync", "-f", FULL])
    gained = free(host, FULL) - moved.free
    print(f"\n{FULL}: {moved.free >> 20} MiB were free, {moved.free + gained >> 20} MiB are")
    assert gained > 0.98 * moved.held
    assert not host.path(SOURCE).exists()
    assert host.path(f"{NEAR.place}/content").stat().st_size == 1 << 20


def test_it_comes_back_by_another_move_with_everything(moved: Moved) -> None:
    host = moved.host
    host.run(["rm", f"{FULL}/log/archive"])
    was = before(host)
    assert_committed(host, move(host, BACK), was, BACK)
    assert_all_works(moved, BACK)
    with beneath(moved.disks[DISK], "docker") as old, beneath(moved.disks[FULL], "engine/docker") as new:
        assert_foreign_data_was_not_copied(old, new)

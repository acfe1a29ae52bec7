"""`make soak N=100`: random content, a random instant, a random death, again and again, on one host with real disks.

After each death the engine must be back by itself on one complete root, hold all that it held, and the same command
must complete the move; then the target is the next run's source.
"""

import argparse
import os
import random
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from tests.hosts import Host
from tests.hosts.content import inventory
from tests.system.support.moving import (
    ATTACHED,
    IMAGE,
    OUTCOME,
    REACHED,
    UNIT,
    arm,
    await_pause,
    await_worker,
    before,
    resume,
)
from tests.system.support.points import AROUND, FRONT, WAYS_BACK, WITHIN, failure
from tests.system.support.surviving import (
    ALWAYS,
    Plant,
    assert_stands,
    assert_the_same_command_completes,
    assert_up_by_itself,
    await_engine,
    plant,
    settled,
    stand_again,
)

MOVER = "mover"
# An engine that starts after such an end kills the containers that have outlived it, and from there on takes those with
# `unless-stopped` for stopped by hand (seen on 26.1, with no relocator at work).
CRASH = "kill -9 dockerd"
KEEPER = "relocator-keeper.service"
LONGEST = 8.0  # seconds; a move that nobody disturbs takes about five
LOOK = (
    "exec 2>&1; systemctl status --no-pager --full relocator docker docker.socket; docker ps --all;"
    " for run in $(ls -d /var/lib/relocator/runs/* | tail -n 2); do"
    '   for file in journal log; do echo "== $run/$file.jsonl"; cat $run/$file.jsonl; done; done;'
    " journalctl --no-pager --boot --lines=150"
)


# --- deaths ---------------------------------------------------------------------------------------------------------


def signal_the_mover(host: Host, name: str) -> None:
    """The worker if there is one, else the container in its pre-copy."""
    if host.run(["systemctl", "is-active", "--quiet", UNIT], check=False).returncode == 0:
        host.run(["systemctl", "kill", "--kill-whom=main", f"--signal={name}", UNIT], check=False)
    else:
        host.run(["docker", "kill", f"--signal={name}", MOVER], check=False)


def kill_with_keeper(host: Host) -> None:
    host.run(["systemctl", "kill", "--signal=KILL", KEEPER], check=False)
    signal_the_mover(host, "KILL")


def kill_the_group(host: Host) -> None:
    host.run(f"systemctl kill --signal=KILL {KEEPER} {UNIT}", check=False)


def cut_power(host: Host, *, drop: bool) -> None:
    host.cut_power(drop_unflushed=drop)
    host.boot()


KINDS: dict[str, Callable[[Host], object]] = {
    "SIGKILL": lambda host: signal_the_mover(host, "KILL"),
    "SIGKILL, keeper too": kill_with_keeper,
    "SIGKILL, whole group": kill_the_group,
    "SIGTERM": lambda host: signal_the_mover(host, "TERM"),
    "systemctl stop": lambda host: host.run(["systemctl", "stop", "--no-block", UNIT], check=False),
    CRASH: lambda host: host.run(
        ["systemctl", "kill", "--signal=KILL", "--kill-whom=main", "docker.service"], check=False
    ),
    "reboot": lambda host: host.reboot(),
    "power cut": lambda host: cut_power(host, drop=False),
    "power cut, unflushed lost": lambda host: cut_power(host, drop=True),
    "failure": lambda _host: None,
}
# A restart of the host or of the engine leaves containers down, and no move has to know how they stood before it.
RESTARTS = (CRASH, "reboot", "power cut", "power cut, unflushed lost")


@dataclass(frozen=True)
class Death:
    """What happens, and when: at a point where the program is stopped, or some seconds after it was started."""

    kind: str
    point: str = ""
    failing: str = ""
    delay: float = 0.0

    @property
    def instant(self) -> str:
        if self.delay:
            return f"after {self.delay:.1f} s"
        return f"{self.point} after {self.failing}" if self.failing and self.point else self.point or self.failing


def choose(dice: random.Random) -> Death:
    kind = dice.choice(sorted(KINDS))
    if kind == "failure":
        return Death(kind, failing=dice.choice((*AROUND, *WITHIN[:-1])))
    way = dice.random()
    if way < 0.3:
        return Death(kind, delay=dice.uniform(0.2, LONGEST))
    if way < 0.55:
        back = dice.choice(WAYS_BACK)
        return Death(kind, back.point, back.failing)
    return Death(kind, dice.choice((*FRONT, *AROUND, *WITHIN)))


def die(host: Host, death: Death, target: str) -> None:
    """A move that meets its death; the engine is up again, or a worker works on it, when this returns."""
    armed = [failure(death.failing, death.point)] if death.failing else []
    arm(host, *armed, *([f"{death.point} pause"] if death.point else []))
    command = ["docker", "run", "--name", MOVER, *ATTACHED, IMAGE, target]
    front = host.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if death.point:
        await_pause(host, death.point)
    else:
        time.sleep(death.delay)
    if death.kind == "reboot" and death.point:
        resume(host, death.point)  # a signal does not end a pause on the way back, and nothing else is to hold the host
    KINDS[death.kind](host)
    if death.point and host.path(f"{REACHED}/{death.point}").exists():
        resume(host, death.point)
    front.wait(OUTCOME)


# --- content --------------------------------------------------------------------------------------------------------


def change(plant: Plant, dice: random.Random, number: int) -> str:
    """Something comes, something goes; what was done."""
    changes = (make_container, make_volume, make_image, commit_image, remove_something)
    return ", ".join(dice.choice(changes)(plant, dice, number) for _ in range(dice.randint(1, 3)))


def name_of(dice: random.Random, number: int) -> str:
    return f"soak-{number}-{dice.randrange(10**6)}"


def make_container(plant: Plant, dice: random.Random, number: int) -> str:
    name, policy = name_of(dice, number), dice.choice(("no", "always", "unless-stopped"))
    # Started again it must not change what the runs after this one compare.
    own = "[ -e /own ] || head -c 50000 /dev/urandom >/own"
    beat = f"trap 'exit 0' TERM; {own}; while :; do date >>/beats/log; sleep 1; done"
    options = ("--name", name, "--restart", policy, "--volume", f"beats-{name}:/beats")
    plant.host.docker("run", "--detach", *options, dice.choice(("app:1", "busybox")), "sh", "-c", beat)
    until(plant.host.path(f"{plant.root}/volumes/beats-{name}/_data/log").exists)
    return f"container ({policy})"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def make_volume(plant: Plant, dice: random.Random, number: int) -> str:
    name = name_of(dice, number)
    plant.host.docker("volume", "create", name)
    place = plant.host.path(f"{plant.root}/volumes/{name}/_data")
    for file in range(dice.randint(1, 40)):
        (place / str(file)).write_bytes(dice.randbytes(dice.randrange(60_000)))
    os.link(place / "0", place / "linked")
    return "volume"


def make_image(plant: Plant, dice: random.Random, number: int) -> str:
    layers = "".join(f"RUN head -c {dice.randrange(200_000)} /dev/urandom >/file-{one}\n" for one in range(3))
    tag = name_of(dice, number)
    plant.host.run(
        ["docker", "build", "--quiet", "--tag", tag, "-"],
        stdin=f"FROM busybox\nLABEL com.example.run={number}\n{layers}",
        env={"DOCKER_BUILDKIT": "0"},
    )
    return "image built"


def commit_image(plant: Plant, dice: random.Random, number: int) -> str:
    plant.host.docker("commit", "--pause=false", "healthy", name_of(dice, number))
    return "image committed"


def remove_something(plant: Plant, dice: random.Random, _number: int) -> str:
    """One of our own containers, volumes or images, with what hangs on it."""
    host, held = plant.host, inventory(plant.host)
    containers = [name for name in held.containers if name.startswith("soak-")]
    volumes = [name for name in held.volumes if name.startswith("soak-")]
    images = [tag for image in held.images.values() for tag in image.tags if tag.startswith("soak-")]
    what, names = dice.choice((("container", containers), ("volume", volumes), ("image", images)))
    if names:
        name = dice.choice(sorted(names))
        host.docker(*{"container": ("rm", "--force"), "volume": ("volume", "rm")}.get(what, ("rmi",)), name)
    return f"{what} removed" if names else "nothing removed"


# --- one run --------------------------------------------------------------------------------------------------------


def survive(plant: Plant, death: Death) -> str:
    """Raises whatever is not as promised; how the disturbed move ended."""
    host, source, target = plant.host, plant.root, plant.next_target()
    was, beats = before(host), plant.beats(source)
    host.run(["sync"])
    plant.keep()
    die(host, death, target)
    if death.kind == CRASH:
        await_worker(host)  # it may be holding the engine down
    if death.kind in RESTARTS:
        host.wait_docker()
        await_worker(host)
    await_engine(host)
    root = assert_up_by_itself(host, was, (source, target), ALWAYS[:1] if death.kind == CRASH else ALWAYS)
    plant.assert_holds(root, beats)
    host.run(f"rm -rf /run/relocator-trace {REACHED}")
    told = settled(host)
    if told["target"] != target:  # it died before it had begun, and this is the run before
        told = {"state": "none", "left": ""}
    if death.kind in RESTARTS:
        stand_again(host, was.inventory)
    assert_stands(host, was)
    assert_the_same_command_completes(host, was, target, told)
    plant.assert_holds(target, beats)
    host.run(["rm", "-rf", source])
    plant.root = target
    side = "new" if root == target else "old"
    return f"{side} root, {told['state']}"


@dataclass
class Soak:
    """The host in use; a run that lost something leaves its host to a new one."""

    stack: ExitStack
    hosts: int = 0
    plant: Plant | None = None

    def ready(self) -> Plant:
        if self.plant is None:
            self.hosts += 1
            self.plant = self.stack.enter_context(plant(f"soak-{self.hosts}"))
        return self.plant

    def run(self, number: int, dice: random.Random) -> bool:
        began, death, changed = time.monotonic(), choose(dice), ""
        try:
            there = self.ready()
            changed = change(there, dice, number)
            ended = survive(there, death)
        except Exception:
            print(f"LOST in run {number}: {death}\n{changed}\n{traceback.format_exc()}\n{self.look()}", flush=True)
            ended = "LOST"
            self.stack.close()
            self.plant = None
        row = (f"{number:4}", f"{death.instant:44}", f"{death.kind:26}", f"{ended:26}")
        print(f"| {' | '.join(row)} | {time.monotonic() - began:5.1f} s | {changed}", flush=True)
        return ended != "LOST"

    def look(self) -> str:
        """Everything that is needed to find out why."""
        if self.plant is None or not self.plant.host.is_on:
            return "the host is off"
        return self.plant.host.run(LOOK, check=False, timeout=60).stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    began, kept = time.monotonic(), Counter[bool]()
    with ExitStack() as stack:
        soak = Soak(stack)
        for number in range(1, chosen.runs + 1):
            if time.monotonic() - began > chosen.seconds:
                break
            # Each run has dice of its own, so that one can be repeated alone.
            kept[soak.run(number, random.Random(f"{chosen.seed}-{number}"))] += 1
    print(f"{kept.total()} runs: {kept[True]} engines on one complete root, {kept[False]} lost", flush=True)
    return 0 if kept[False] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

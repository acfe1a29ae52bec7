"""A shop: a host whose clients never stop writing, while its engine moves on with every case.

Writers count what they have flushed where no move reaches it. Each acknowledged number must be on the root that the
engine is on at the end.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.hosts import Host
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    OUTCOME,
    SOURCE,
    UNIT,
    arm,
    assert_nothing_left,
    await_pause,
    await_worker,
    diagnosis,
    disarm,
    resume,
)

ACKS = "/srv/acks"
# Written and flushed first, acknowledged then; it goes on counting where it was.
WRITER = (
    "n=$(tail -n 1 /acks/{0} 2>/dev/null || echo 0); while :; do n=$((n + 1));"
    " echo $n >>/data/log && sync /data/log && echo $n >>/acks/{0}; sleep 0.02; done"
)
# At once: a shell that is process 1 hears no TERM.
START = "run --stop-signal KILL"
RUN = (*START.split(), "--detach")


@dataclass
class Shop:
    """A host whose clients never stop writing; its engine moves on with every case."""

    host: Host
    moves: int = 0
    root: str = SOURCE
    seen: dict[str, int] = field(default_factory=dict)

    def next_target(self) -> str:
        self.moves += 1
        return f"{DISK}/root-{self.moves}"

    def give_up(self, root: str) -> None:
        """The operator has gone back to a root, without what was written since: from here on it counts anew."""
        self.root = root
        self.host.run(f"rm {ACKS}/*")
        self.seen.clear()

    def acknowledged(self, writer: str) -> list[str]:
        return (self.host.path(ACKS) / writer).read_text().split()

    def assert_nothing_lost(self, writers: Sequence[str] = ("db", "app")) -> None:
        """On the root that the engine is on now; and the writers go on there."""
        self.root = self.host.docker("info", "--format", "{{.DockerRootDir}}")
        for name in writers:
            acknowledged = self.acknowledged(name)
            written = set(self.host.path(f"{self.root}/volumes/{name}/_data/log").read_text().split())
            lost = [number for number in acknowledged if number not in written]
            assert not lost, f"{len(lost)} writes of {name} are lost: {lost[0]} to {lost[-1]}"
            assert len(acknowledged) > self.seen.get(name, 0), f"{name} does not write\n{diagnosis(self.host)}"
            self.seen[name] = len(acknowledged)

    def assert_runs(self, *names: str) -> None:
        for name in names:
            found = self.host.docker("inspect", "--format", "{{.State.Status}}", name)
            assert found == "running", f"{name} is {found}\n{diagnosis(self.host)}"

    def recorded(self) -> str:
        """How the last run ended: who asks for the status has tried again what did not stand then."""
        last = sorted(self.host.path("/var/lib/relocator/runs").iterdir())[-1]
        records = [json.loads(line) for line in (last / "journal.jsonl").read_text().splitlines()]
        return next(str(one["outcome"]) for one in reversed(records) if one["event"] == "outcome")

    def assert_arrived(self, told: dict[str, Any], target: str, ended: str = "committed") -> None:
        said = f"{told}\n{self.host.journal(UNIT)}"
        assert (told["state"], told["exit_code"], self.recorded()) == ("committed", 0, ended), said
        self.assert_nothing_lost()
        assert self.root == target
        assert_nothing_left(self.host)


def start_writers(host: Host, policies: Mapping[str, str]) -> None:
    host.run(["mkdir", "-p", ACKS])
    for name, policy in policies.items():
        host.docker(*RUN, "--name", name, "--restart", policy, "--volume", f"{name}:/data",
                    "--volume", f"{ACKS}:/acks", "busybox", "sh", "-c", WRITER.format(name))  # fmt: skip


@contextmanager
def moving(host: Host, target: str, point: str) -> Iterator[None]:
    """A move that waits at a trace point while the block runs, and has ended after it."""
    host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"], check=False)
    arm(host, f"{point} pause")
    front = host.popen(
        ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    await_pause(host, point)
    try:
        yield
    finally:
        resume(host, point)
    front.communicate(timeout=OUTCOME)
    await_worker(host)
    disarm(host, point)
    host.wait_docker()

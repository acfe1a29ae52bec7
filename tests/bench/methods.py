"""The five ways: a bare restart, two recipes with the engine down for the whole copy, and relocator to either place.

Each leaves the engine running with every container, and the old root as it was; `reset` brings the host back to it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.hosts.command import run
from tests.hosts.disk import MKFS, Disk
from tests.hosts.host import Host
from tests.hosts.loop import make_node
from tests.system.support.moving import ATTACHED, IMAGE, SOURCE, UNIT

DISK = "/mnt/big"
OTHER, SAME = f"{DISK}/docker", "/var/lib/docker-moved"
UNITS = ("docker.socket", "docker.service")
LONGEST = 1800.0


@dataclass
class Spans:
    """What happened when: name → seconds since the epoch, begin and end."""

    found: list[tuple[str, float, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.time()
        yield
        self.found.append((name, began, time.time()))


@dataclass(frozen=True)
class Bench:
    host: Host
    old: Disk
    new: Disk
    spans: Spans = field(default_factory=Spans)

    def stop(self) -> None:
        with self.spans("stop"):
            self.host.run(["systemctl", "stop", *UNITS])

    def start(self) -> None:
        with self.spans("start"):
            self.host.run(["systemctl", "reset-failed", *UNITS], check=False)
            self.host.run(["systemctl", "start", *UNITS])
            self.host.wait_docker()

    def point_to(self, root: str) -> None:
        config = self.host.path("/etc/docker/daemon.json")
        known = json.loads(config.read_text()) if config.exists() else {}
        config.parent.mkdir(exist_ok=True)
        config.write_text(json.dumps({**known, "data-root": root}))


def bare_restart(bench: Bench) -> None:
    with bench.spans("restart"):
        bench.host.run(["systemctl", "restart", "docker.service"])
        bench.host.wait_docker()


def stop_rsync_start(bench: Bench) -> None:
    """rsync from the outer machine, because the host has none: the same file systems and kernel, mounted once more."""
    bench.stop()
    with bench.old.mounted() as old, bench.new.mounted() as new, bench.spans("copy"):
        run(["rsync", "-aHAXS", "--numeric-ids", f"{old}/lib/docker/", f"{new}/docker/"])
    bench.point_to(OTHER)
    bench.start()


def stop_cp_start(bench: Bench) -> None:
    bench.stop()
    with bench.spans("copy"):
        bench.host.run(["cp", "-a", "-T", SOURCE, OTHER], timeout=LONGEST)
    bench.point_to(OTHER)
    bench.start()


def relocate_to(target: str) -> Callable[[Bench], None]:
    def relocate(bench: Bench) -> None:
        command = ["docker", "run", *ATTACHED, IMAGE, target, "--same-disk"]
        handed_over = bench.host.run(command, check=False, timeout=LONGEST)
        assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
        while bench.host.run(["systemctl", "is-active", UNIT], check=False).stdout.strip() not in (
            "inactive",
            "failed",
        ):
            time.sleep(0.1)
        bench.spans.found += phases(bench.host)

    return relocate


def phases(host: Host) -> list[tuple[str, float, float]]:
    """The worker's own record of its steps, from the journal of the last run."""
    last = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1]
    records = [json.loads(line) for line in (last / "journal.jsonl").read_text().splitlines()]
    begun = {one["step"]: float(one["at"]) for one in records if one["event"] == "intent"}
    found = [(str(one["step"]), begun[one["step"]], float(one["at"])) for one in records if one["event"] == "done"]
    assert records[-1].get("outcome") == "committed", records[-1]
    at = {str(one["event"]): float(one["at"]) for one in records}
    return [("pre-copy", at["begun"], at["handed-over"]), *found]


METHODS: dict[str, Callable[[Bench], None]] = {
    "a": bare_restart,
    "b": stop_rsync_start,
    "c": stop_cp_start,
    "d": relocate_to(OTHER),
    "e": relocate_to(SAME),
}
TITLES = {
    "a": "systemctl restart docker",
    "b": "stop, rsync -aHAXS --numeric-ids, start",
    "c": "stop, cp -a, start",
    "d": "relocator, other disk",
    "e": "relocator, same file system",
}


def reset(host: Host, disk: Disk, running: int, pause: float) -> None:
    """The engine on the old root with all that ran, an empty new disk, nothing of a move left, and cold caches."""
    host.run(["systemctl", "stop", *UNITS, UNIT], check=False)
    host.run("rm -rf /var/lib/relocator /var/lib/docker-moved /etc/systemd/system/docker.service.d")
    host.path("/etc/docker/daemon.json").unlink(missing_ok=True)
    host.run(["systemctl", "daemon-reload"])
    fresh(host, disk)
    host.run(["systemctl", "reset-failed", *UNITS], check=False)
    host.run(["systemctl", "start", *UNITS])
    host.wait_docker()
    while int(host.docker("info", "--format", "{{.ContainersRunning}}")) < running:
        time.sleep(0.1)
    drop_caches()
    time.sleep(pause)  # the start limit counts, and writeback of what was made anew goes on behind


def fresh(host: Host, disk: Disk) -> None:
    """A new file system on the other disk, mounted at DISK."""
    host.run(f"umount {DISK} || :; mkdir -p {DISK}")
    run([*MKFS[disk.filesystem], disk.image])
    make_node(host.path(str(disk.device)), disk.number)
    host.run(["mount", str(disk.device), DISK])
    host.run(["mkdir", "-p", OTHER])


def drop_caches() -> None:
    run(["sync"])
    with open("/proc/sys/vm/drop_caches", "w") as kernel:
        kernel.write("3")

"""How much a container's own writes are slowed down while the copy is made beside it."""

import time

from tests.bench import content, methods
from tests.bench.content import Size
from tests.bench.methods import OTHER, Bench, phases, relocate_to
from tests.bench.results import Results
from tests.hosts import Disk, Host
from tests.hosts.content import heartbeats

# Writes that wait for the disk, as a database's do; each is one line of the log.
WRITER = (
    "trap 'exit 0' TERM; while :; do dd if=/dev/zero of=/data/written bs=16k count=16 conv=fsync 2>/dev/null;"
    " read -r now rest < /proc/uptime; echo $now >> /beats/log; done"
)


def measure_writes(results: Results, host: Host, new: Disk, size: Size) -> None:
    alone_for = results.plan["alone"]
    for number in range(results.plan["runs"]):
        if results.has("writes", "relocator", number):
            continue
        methods.reset(host, new, size.containers, 0)
        options = ("--name", "writer", "--volume", "writer:/beats", "--volume", "database:/data")
        host.docker("run", "--detach", *options, "reference:0", "sh", "-c", WRITER)
        try:
            time.sleep(alone_for)
            bench = Bench(host, new, new)
            relocate_to(OTHER)(bench)
            _, began, ended = phases(host)[0]
            beats = heartbeats(host.path(f"{content.root(host)}/volumes/writer/_data/log"))
        finally:
            methods.reset(host, new, size.containers, 0)
            host.docker("rm", "--force", "--volumes", "writer")
            host.docker("volume", "rm", "--force", "writer")
        alone, beside = rate(beats, began - alone_for, began), rate(beats, began, ended)
        results.add("writes", "relocator", number, alone=alone, beside=beside, slowdown=1 - beside / alone)


def rate(beats: list[float], since: float, until: float) -> float:
    """Beats a second."""
    return sum(since <= beat < until for beat in beats) / (until - since)

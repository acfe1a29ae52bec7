"""What is measured, part by part, on one host."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tests.bench import content, methods
from tests.bench.content import QUICK as TINY
from tests.bench.content import Size
from tests.bench.heartbeat import downtime
from tests.bench.methods import METHODS, Bench
from tests.bench.processes import Peak
from tests.bench.results import Facts, Results
from tests.bench.writes import measure_writes
from tests.hosts import Disk, Host, boot
from tests.hosts.command import run
from tests.hosts.disk import MKFS

FULL: Facts = {
    "size": asdict(Size()),
    "scales": [1, 4],
    "runs": 3,
    "many": 500_000,
    "changed": 50,
    "in_directory": 100,
    "pause": 3,
    "alone": 10,
}
QUICK: Facts = {
    "size": asdict(TINY),
    "scales": [1],
    "runs": 1,
    "many": 2000,
    "changed": 5,
    "in_directory": 100,
    "pause": 0,
    "alone": 2,
}
DISK = "48G"


def measure(results: Results) -> None:
    with Disk(DISK) as old, Disk(DISK) as new:
        with boot(name="bench", disks={"/var": old}) as host:
            size = Size(**results.plan["size"])
            content.populate(host, size)
            for scale in results.plan["scales"]:
                grown = replace(size, images=scale)
                content.add_images(host, grown, first=1)
                measure_downtime(results, host, old, new, grown)
                if scale == 1:
                    measure_writes(results, host, new, grown)
                    measure_copies(results, host, old, new, grown)
        measure_many(results, old, new)
    results.complete = True
    results.save()


def measure_downtime(results: Results, host: Host, old: Disk, new: Disk, size: Size) -> None:
    for number in range(results.plan["runs"]):
        for letter, method in METHODS.items():
            key = f"{letter} {size.images}x"
            if not results.has("downtime", key, number):
                methods.reset(host, new, size.containers, results.plan["pause"])
                bench = Bench(host, old, new)
                began = time.time()
                method(bench)
                ended = time.time()
                time.sleep(0.5)  # for the beats after the last container came back
                away = downtime(content.beats(host, size), began - 1, time.time())
                facts = {"total": ended - began, "began": began, **asdict(away), "spans": bench.spans.found}
                results.add("downtime", key, number, **facts)
    methods.reset(host, new, size.containers, results.plan["pause"])


def measure_copies(results: Results, host: Host, old: Disk, new: Disk, size: Size) -> None:
    """The bulk alone, with no engine, cold, and flushed."""
    for number in range(results.plan["runs"]):
        for key, copy in COPIES.items():
            if not results.has("copy", key, number):
                methods.reset(host, new, size.containers, results.plan["pause"])
                host.run(["systemctl", "stop", *methods.UNITS])
                with old.mounted() as source, new.mounted() as target:
                    methods.drop_caches()
                    began = time.monotonic()
                    facts = copy(source / "lib/docker", target / "docker")
                    run(["sync", "--file-system", target])
                    results.add("copy", key, number, seconds=time.monotonic() - began, **facts)
    methods.reset(host, new, size.containers, results.plan["pause"])


def rsync(source: Path, target: Path) -> Facts:
    run(["rsync", "-aHAXS", "--numeric-ids", f"{source}/", f"{target}/"])
    return {}


def cp(source: Path, target: Path) -> Facts:
    run(["cp", "-a", "-T", source, target])
    return {}


def ours(source: Path, target: Path) -> Facts:
    return part_of_copy("pre", source, target)


COPIES: dict[str, Callable[[Path, Path], Facts]] = {"rsync": rsync, "cp": cp, "ours": ours}


def part_of_copy(part: str, source: Path, target: Path) -> Facts:
    """One of the product's own, in a process of its own, with the peak of its memory."""
    state = target.parent / "state"
    command = [sys.executable, "-m", "tests.bench.copy", part, str(source), str(target), str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with Peak(process.pid) as peak:
        output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return {**json.loads(output), "peak": peak.bytes, "peak_at": peak.at}


def measure_many(results: Results, old: Disk, new: Disk) -> None:
    """A volume of many small files: the final sync after a few of them changed; then twice as many, for the memory."""
    many, changed = results.plan["many"], results.plan["changed"]
    if results.has("many", "memory", 0):
        return
    with emptied(old) as source, emptied(new) as target:
        files = make_many(source, 0, many, results.plan["in_directory"])
        part_of_copy("pre", source, target)
        for number in range(changed):
            files(number * (many // changed)).write_bytes(b"changed")
        results.add("many", "final", 0, **part_of_copy("final", source, target))
        results.add("many", "rsync", 0, seconds=rsync_pass(source, target))
    with emptied(new) as target, old.mounted() as mounted:
        source = mounted / "many"
        make_many(source, many, many, results.plan["in_directory"])
        results.add("many", "memory", 0, files=2 * many, **part_of_copy("pre", source, target))


def rsync_pass(source: Path, target: Path) -> float:
    """What rsync takes to find that nothing has changed."""
    began = time.monotonic()
    subprocess.run(
        ["rsync", "-aHAXSn", "--numeric-ids", "--delete", f"{source}/", f"{target}/"], check=True, capture_output=True
    )
    return time.monotonic() - began


@contextmanager
def emptied(disk: Disk) -> Iterator[Path]:
    run([*MKFS[disk.filesystem], "-i", "8192", disk.image])
    with disk.mounted() as point:
        folder = point / "many"
        folder.mkdir()
        yield folder


def make_many(root: Path, first: int, count: int, in_directory: int) -> Callable[[int], Path]:
    """Small files in one volume; returns where the file of a number is."""
    volume = root / "volumes/many/_data"

    def place(number: int) -> Path:
        folder = number // in_directory
        return volume / str(folder // 100) / str(folder) / str(number)

    for number in range(first, first + count):
        if number % in_directory == 0:
            place(number).parent.mkdir(parents=True, exist_ok=True)
        with open(place(number), "wb") as file:
            file.write(b"%d\n" % number * 20)
    return place

"""The reference root: enough of everything that the figures mean something, and containers that write a heartbeat."""

import io
import json
import os
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.hosts.command import run
from tests.hosts.content import MIB, fill_oddly, heartbeats
from tests.hosts.host import Host

BASE = "busybox:latest"
POOL = 16 * MIB  # random bytes that files are cut from
# A fiftieth of a second without starting a process: nothing is ever written to the fifo.
BEAT = (
    "trap 'exit 0' TERM; mkfifo /run-fifo; exec 3<>/run-fifo; while :; do read -t 0.02 -r none <&3;"
    " read -r now rest < /proc/uptime; echo $now >> /beats/log; done"
)


@dataclass(frozen=True)
class Size:
    """How much there is; `images` multiplies the layers, everything else stays."""

    layers: int = 8
    files: int = 6200
    layer_bytes: int = 200 * MIB
    images: int = 1
    small_files: int = 30_000
    sparse: int = 2048 * MIB
    database: int = 256 * MIB
    containers: int = 8

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"beat-{number}" for number in range(self.containers))


QUICK = Size(2, 150, 8 * MIB, 1, 500, 64 * MIB, 8 * MIB, 2)
VOLUMES = ("small", "odd", "sparse", "database")


def populate(host: Host, size: Size) -> None:
    """On a host whose engine has busybox, and the product's image, and nothing else."""
    for number in range(size.images):
        load_image(host, f"reference:{number}", size, number)
    for volume in VOLUMES:
        host.docker("volume", "create", volume)
    fill_small(place(host, "small"), size.small_files)
    fill_oddly(place(host, "odd"))
    fill_sparse(place(host, "sparse"), size.sparse)
    (place(host, "database") / "data").write_bytes(os.urandom(size.database))
    for number, name in enumerate(size.names):
        start(host, name, VOLUMES[number % len(VOLUMES)])


def add_images(host: Host, size: Size, first: int) -> None:
    """More image data, in images of their own."""
    for number in range(first, size.images):
        load_image(host, f"reference:{number}", size, number)


def place(host: Host, volume: str) -> Path:
    return host.path(f"{root(host)}/volumes/{volume}/_data")


def root(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def start(host: Host, name: str, volume: str) -> None:
    options = ("--name", name, "--restart", "always", "--volume", f"{name}:/beats", "--volume", f"{volume}:/data")
    host.docker("run", "--detach", *options, "reference:0", "sh", "-c", BEAT)


def beats(host: Host, size: Size) -> dict[str, list[float]]:
    """Seconds since the epoch of each heartbeat of each container."""
    folder = host.path(f"{root(host)}/volumes")
    return {name: heartbeats(folder / name / "_data/log") for name in size.names}


def load_image(host: Host, tag: str, size: Size, seed: int) -> None:
    """`docker load` of an archive made here: layers of small and middling files that no two images share."""
    archive = host.path("/var/tmp/image.tar")
    with tarfile.open(archive, "w") as whole, ThreadPoolExecutor(1):
        names, ids = [], []
        for number, layer in enumerate([base(host), *(layer_of(size, seed, one) for one in range(size.layers))]):
            names.append(f"{number}.tar")
            ids.append(f"sha256:{sha256(layer).hexdigest()}")
            add(whole, names[-1], layer)
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
        add(whole, "config.json", json.dumps(config).encode())
        manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
        add(whole, "manifest.json", json.dumps(manifest).encode())
    host.docker("load", "--quiet", "--input", "/var/tmp/image.tar", timeout=600)
    archive.unlink()


def base(host: Host) -> bytes:
    """busybox's only layer."""
    saved = host.path("/var/tmp/base.tar")
    host.docker("save", "--output", "/var/tmp/base.tar", BASE)
    with tarfile.open(saved) as archive:
        manifest = json.load(member(archive, "manifest.json"))
        layer = member(archive, manifest[0]["Layers"][0]).read()
    saved.unlink()
    return layer


def member(archive: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    found = archive.extractfile(name)
    assert found is not None
    return found  # type: ignore[return-value]


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def layer_of(size: Size, seed: int, number: int) -> bytes:
    """One layer's tar: four fifths of the bytes in a few larger files, the rest spread over all others."""
    chance = random.Random(f"{seed} {number}")
    pool = chance.randbytes(POOL)
    large = 20
    each, small = size.layer_bytes * 4 // 5 // large, size.layer_bytes // 5 // size.files
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for one in range(size.files):
            length = each if one < large else chance.randrange(2 * small)
            offset = chance.randrange(POOL // 2)
            add(archive, f"data/{number}/{one % 100}/{one}", (pool[offset:] * (length // (POOL // 2) + 1))[:length])
    return made.getvalue()


def fill_small(folder: Path, count: int) -> None:
    """Small files in directories of a hundred; some have a second name in another directory."""
    for number in range(count):
        file = folder / str(number // 100) / str(number)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"%d\n" % number * 100)
        if number % 150 == 1:
            (folder / "linked").mkdir(exist_ok=True)
            os.link(file, folder / "linked" / str(number))


def fill_sparse(folder: Path, length: int) -> None:
    with (folder / "image").open("wb") as file:
        for offset in range(0, length, length // 8):
            file.seek(offset)
            file.write(os.urandom(MIB // 2))
        file.truncate(length)
    run(["fallocate", "--length", str(length // 32), folder / "reserved"])

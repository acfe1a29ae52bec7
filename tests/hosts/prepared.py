"""A host's /var with images already in its engine: loaded once, copied for each host."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.hosts import cache, given
from tests.hosts.base import SUITES, Suite, base
from tests.hosts.builder import TAG, built
from tests.hosts.command import remove_tree
from tests.hosts.disk import Disk
from tests.hosts.host import Host
from tests.hosts.image import Image, busybox
from tests.hosts.launch import bare

DAEMON_JSON = "/etc/docker/daemon.json"
# Docker 29 has it by default; 26 and 28 take what is configured (moby daemon/daemon.go, UsesSnapshotter).
# Each layer holds what is below it, too: an image of five layers takes five times its size.
WHOLE = ('"vfs"', '"native"')
CONTAINERD_STORE = '{"features": {"containerd-snapshotter": true}}\n'


@contextmanager
def prepared(suite: Suite, images: Sequence[Image], daemon_json: str = "", extra: Sequence[str] = ()) -> Iterator[Path]:
    with base(suite) as root:
        key = f"{suite.name}-{cache.digest(root.key, *[image.key for image in images], daemon_json)}"
        with cache.entry(
            "var", key, lambda target: _prepare(suite, images, daemon_json, extra, target), keep=8
        ) as path:
            yield path


@contextmanager
def boot(
    suite: str | Suite = "trixie",
    name: str = "host",
    *,
    with_image: bool = True,
    disks: Mapping[str, Disk] | None = None,
    files: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
    start: bool = True,
    containerd_store: bool = False,
    driver: str = "",
) -> Iterator[Host]:
    """A host that has busybox and, unless told otherwise, the product's image; in containerd, if that is asked for.

    `driver` is the storage driver, or containerd's snapshotter, if it is not to be the engine's own choice.
    """
    chosen = SUITES[given.instead(suite)] if isinstance(suite, str) else suite
    first, then = configurations(chosen, containerd_store, driver)
    told = {DAEMON_JSON: then} if then else {}
    with (
        images(with_image) as wanted,
        prepared(chosen, wanted, first, extra) as var,
        bare(chosen, name, var=var, disks=disks, files={**told, **(files or {})}, extra=extra, start=start) as host,
    ):
        if start:
            host.wait_docker()
        yield host


def configurations(suite: Suite, containerd_store: bool, driver: str) -> tuple[str, str]:
    """What the engine is told at its very first start, and at every other.

    The one that is given chooses by itself, as on most hosts: containerd on a fresh root, and what an older engine has
    left there where it was upgraded.
    """
    if suite.layout and not driver:
        return ("" if containerd_store else configuration(False, "overlay2")), ""
    told = configuration(containerd_store and not suite.layout, driver)
    return told, told


def configuration(containerd_store: bool, driver: str) -> str:
    """What the engine is told at its first start; nothing where all is left to it."""
    told = json.loads(CONTAINERD_STORE) if containerd_store else {}
    if driver:
        told["storage-driver"] = driver
    return f"{json.dumps(told)}\n" if told else ""


@contextmanager
def images(with_product: bool) -> Iterator[list[Image]]:
    with busybox() as small:
        if not with_product:
            yield [small]
            return
        with built() as product:
            yield [small, product]


def _prepare(suite: Suite, wanted: Sequence[Image], daemon_json: str, extra: Sequence[str], target: Path) -> None:
    files = {DAEMON_JSON: daemon_json} if daemon_json else {}
    with bare(suite, f"prepare-{suite.name}", files=files, extra=extra) as host:
        host.wait_docker()
        for image in wanted:
            image.load(host)
        if any(driver in daemon_json for driver in WHOLE):
            _flatten(host, TAG)
        host.power_off()
        var = host.machine.directory / "var"
        # The journal of another machine has no place in the host's own.
        remove_tree(var / "log/journal")
        (var / "log/journal").mkdir()
        var.rename(target)


def _flatten(host: Host, tag: str) -> None:
    """The same image with one layer, if it is there."""
    told = host.run(["docker", "image", "inspect", "--format", "{{json .Config}}", tag], check=False).stdout
    if not told:
        return
    config = json.loads(told)
    changes = [f"ENTRYPOINT {json.dumps(config['Entrypoint'])}", *(f"ENV {one}" for one in config["Env"])]
    options = shlex.join(f"--change={one}" for one in changes)
    host.run(
        f"one=$(docker create {tag}); docker export $one | docker import {options} - {tag}; docker rm $one;"
        " docker image prune --force",
        timeout=600,
    )

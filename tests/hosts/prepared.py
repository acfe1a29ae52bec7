"""A host's /var with images already in its engine: loaded once, copied for each host."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.hosts import cache
from tests.hosts.base import SUITES, Suite, base
from tests.hosts.builder import built
from tests.hosts.command import remove_tree
from tests.hosts.disk import Disk
from tests.hosts.host import Host
from tests.hosts.image import Image, busybox
from tests.hosts.launch import bare

DAEMON_JSON = "/etc/docker/daemon.json"
# Docker 29 has it by default; 26 and 28 take what is configured (moby daemon/daemon.go, UsesSnapshotter).
CONTAINERD_STORE = '{"features": {"containerd-snapshotter": true}}\n'


@contextmanager
def prepared(suite: Suite, images: Sequence[Image], daemon_json: str = "") -> Iterator[Path]:
    with base(suite) as root:
        key = f"{suite.name}-{cache.digest(root.key, *[image.key for image in images], daemon_json)}"
        with cache.entry("var", key, lambda target: _prepare(suite, images, daemon_json, target), keep=6) as path:
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
) -> Iterator[Host]:
    """A host that has busybox and, unless told otherwise, the product's image; in containerd, if that is asked for."""
    chosen = SUITES[suite] if isinstance(suite, str) else suite
    daemon_json = CONTAINERD_STORE if containerd_store else ""
    given = {DAEMON_JSON: daemon_json} if daemon_json else {}
    with (
        images(with_image) as wanted,
        prepared(chosen, wanted, daemon_json) as var,
        bare(chosen, name, var=var, disks=disks, files={**given, **(files or {})}, extra=extra, start=start) as host,
    ):
        if start:
            host.wait_docker()
        yield host


@contextmanager
def images(with_product: bool) -> Iterator[list[Image]]:
    with busybox() as small:
        if not with_product:
            yield [small]
            return
        with built() as product:
            yield [small, product]


def _prepare(suite: Suite, wanted: Sequence[Image], daemon_json: str, target: Path) -> None:
    files = {DAEMON_JSON: daemon_json} if daemon_json else {}
    with bare(suite, f"prepare-{suite.name}", files=files) as host:
        host.wait_docker()
        for image in wanted:
            image.load(host)
        host.power_off()
        var = host.machine.directory / "var"
        # The journal of another machine has no place in the host's own.
        remove_tree(var / "log/journal")
        (var / "log/journal").mkdir()
        var.rename(target)

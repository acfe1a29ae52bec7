"""The product's image, built from its Dockerfile as it is, in a host that is on the machine's network.

CACHE/builder/docker/  that host's /var/lib/docker, kept: a changed source file rebuilds the last layers only
CACHE/image/KEY        `docker save` of the result, by the hash of the build context
"""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.hosts import cache, context
from tests.hosts.command import CommandError, HostError, remove_tree
from tests.hosts.host import Host
from tests.hosts.image import Image, debian
from tests.hosts.launch import bare

TAG = "relocator:latest"
# The network is the outer machine's, whose packet filter is none of this engine's business.
DAEMON = '{"bridge": "none", "iptables": false, "ip6tables": false}\n'
KEPT = "8GB"
LONGEST = 1800.0


@contextmanager
def built(directory: Path = context.CHECKOUT, tag: str = TAG) -> Iterator[Image]:
    if not (directory / "Dockerfile").exists():
        raise HostError(f"no Dockerfile in {directory}")
    with debian() as parent:
        # Begun with the name, so that one image's versions do not push out another's.
        key = f"{tag.partition(':')[0]}-{cache.digest(parent.key, tag, context.digest(directory))}"
        with cache.entry("image", key, lambda target: _build(directory, tag, parent, target)) as path:
            yield Image(tag, key, path)


def _build(directory: Path, tag: str, parent: Image, target: Path) -> None:
    with builder(directory) as host:
        build(host, parent, tag, target)
        _trim(host)


def build(host: Host, parent: Image, tag: str, target: Path, *options: str) -> None:
    """Build in a builder, and save the result."""
    _import(host, parent)
    host.run(
        ["docker", "build", "--progress=plain", "--network=host", *options, "--tag", tag, "/srv/context"],
        timeout=LONGEST,
    )
    with target.open("wb") as file:
        process = host.popen(["docker", "save", tag], stdout=file, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=LONGEST)
    if process.returncode != 0:
        raise HostError(f"docker save: {errors.decode(errors='replace')}")


@contextmanager
def builder(directory: Path) -> Iterator[Host]:
    """One at a time, with the layers of the builds before it."""
    store = cache.root() / "builder" / "docker"
    with ExitStack() as stack:
        stack.enter_context(cache.lock(cache.lock_of(store), fcntl.LOCK_EX))
        store.mkdir(exist_ok=True)
        staged = cache.root() / "builder" / "context"
        remove_tree(staged)
        context.copy(directory, staged)
        stack.callback(remove_tree, staged)
        files = {"/etc/docker/daemon.json": DAEMON}
        binds = [(store, "/var/lib/docker"), (staged, "/srv/context")]
        host = stack.enter_context(bare("trixie", "builder", network=True, files=files, binds=binds))
        host.wait_docker()
        yield host
        host.power_off()


def _import(host: Host, parent: Image) -> None:
    """Once: a second import would have another id, and no layer of an earlier build would be used again."""
    mark = f"stand-in:{parent.key}"
    if host.run(["docker", "image", "inspect", mark], check=False).returncode != 0:
        parent.load(host)
        host.docker("tag", parent.tag, mark)
    else:
        host.docker("tag", mark, parent.tag)


def _trim(host: Host) -> None:
    # Only housekeeping: what it does not remove today it removes tomorrow.
    with suppress(CommandError):
        host.docker("image", "prune", "--force")
        host.docker("builder", "prune", "--force", f"--keep-storage={KEPT}")

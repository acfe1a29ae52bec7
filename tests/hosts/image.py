"""Images for test hosts, none of them from a registry."""

import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hosts import cache
from tests.hosts.base import SUITES, bootstrap
from tests.hosts.command import HostError, remove_tree, run
from tests.hosts.host import Host
from tests.hosts.mirror import mirror

SUITE = SUITES["trixie"]
CERTIFICATES = Path("usr/local/share/ca-certificates")
REGISTRY = "version: 0.1\nstorage: {filesystem: {rootdirectory: /registry}}\nhttp: {addr: ':5000'}\n"
IDENTITIES = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"


@dataclass(frozen=True)
class Image:
    """`docker` takes the archive from its standard input; `arguments` say how."""

    tag: str
    key: str
    archive: Path
    arguments: tuple[str, ...] = ("load", "--quiet")

    def load(self, host: Host) -> None:
        with self.archive.open("rb") as source:
            process = host.popen(
                ["docker", *self.arguments], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output, _ = process.communicate(timeout=600)
        if process.returncode != 0:
            raise HostError(f"{host.name} did not take {self.tag}: {output.decode(errors='replace')}")


@contextmanager
def debian() -> Iterator[Image]:
    """A stand-in for debian:trixie-slim, with the machine's own certificates if it has any."""
    command = bootstrap(SUITE, packages=())
    certificates = sorted(Path("/", CERTIFICATES).glob("*.crt"))
    key = cache.digest(*command, *[path.read_bytes() for path in certificates])

    def build(target: Path) -> None:
        tree = target.with_suffix(".tree")
        remove_tree(tree)
        run([*command, SUITE.name, tree, mirror()])
        (tree / CERTIFICATES).mkdir(parents=True, exist_ok=True)
        for path in certificates:
            run(["cp", "--", path, tree / CERTIFICATES])
        for name in ("etc/hostname", "etc/resolv.conf"):
            (tree / name).unlink(missing_ok=True)
        run(["tar", "--create", "--numeric-owner", "--xattrs", f"--file={target}", "-C", tree, "."])
        remove_tree(tree)

    tag = f"debian:{SUITE.name}-slim"
    with cache.entry("debian", key, build) as path:
        yield Image(tag, key, path, _imported(tag, '["bash"]'))


@contextmanager
def busybox() -> Iterator[Image]:
    """One static program and its links: two megabytes, for the containers that tests run."""
    command = bootstrap(SUITE, variant="extract", packages=("busybox-static",))
    key = cache.digest(*command, IDENTITIES)

    def build(target: Path) -> None:
        tree = target.with_suffix(".tree")
        remove_tree(tree)
        run([*command, SUITE.name, tree, mirror()])
        program = next(path for path in (tree / "usr/bin/busybox", tree / "bin/busybox") if path.exists())
        _pack_busybox(program, tree / "image")
        with tarfile.open(target, "w") as archive:
            archive.add(tree / "image", arcname=".")
        remove_tree(tree)

    tag = "busybox:latest"
    with cache.entry("busybox", key, build) as path:
        yield Image(tag, key, path, _imported(tag, '["sh"]'))


@contextmanager
def registry() -> Iterator[Image]:
    """A registry that keeps what is pushed to it below /registry, and serves it on port 5000."""
    command = bootstrap(SUITE, variant="extract", packages=("docker-registry",))
    key = cache.digest(*command, REGISTRY)

    def build(target: Path) -> None:
        tree = target.with_suffix(".tree")
        remove_tree(tree)
        run([*command, SUITE.name, tree, mirror()])
        _pack_registry(tree, tree / "image")
        with tarfile.open(target, "w") as archive:
            archive.add(tree / "image", arcname=".")
        remove_tree(tree)

    tag = "registry:2"
    with cache.entry("registry", key, build) as path:
        yield Image(tag, key, path, _imported(tag, '["docker-registry", "serve", "/etc/registry.yml"]'))


def _imported(tag: str, program: str) -> tuple[str, ...]:
    return ("import", "--change", f"CMD {program}", "-", tag)


def _pack_busybox(program: Path, target: Path) -> None:
    for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755)):
        (target / name).mkdir(parents=True)
        (target / name).chmod(mode)
    run(["cp", "--", program, target / "bin/busybox"])
    for applet in run([program, "--list"]).split():
        if applet != "busybox":
            (target / "bin" / applet).symlink_to("busybox")
    (target / "etc/passwd").write_text(IDENTITIES)
    (target / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def _pack_registry(tree: Path, target: Path) -> None:
    """The program and the C library it is linked to, at the places they have in a merged /usr."""
    libraries = ("usr/lib*/ld-linux*", "usr/lib/*/ld-linux*", "usr/lib/*/libc.so.6")
    for file in (tree / "usr/bin/docker-registry", *(one for some in libraries for one in tree.glob(some))):
        place = target / file.relative_to(tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        run(["cp", "-a", "--", file, place])
    for name in ("lib", "lib64"):
        (target / name).symlink_to(f"usr/{name}")
    for name in ("etc", "tmp"):
        (target / name).mkdir()
    (target / "etc/registry.yml").write_text(REGISTRY)

"""`python -m tests.hosts`: a disposable host by hand."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.hosts import cache, context, workspace
from tests.hosts.base import SUITES
from tests.hosts.command import HostError
from tests.hosts.disk import MKFS, Disk
from tests.hosts.host import Host
from tests.hosts.prepared import boot, images, prepared

KINDS = ("base", "debian", "busybox", "builder", "image", "var", "vm")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.action(chosen))
    except HostError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    shell = actions.add_parser("shell", help="boot a host and give a shell in it; it is gone afterwards")
    shell.add_argument("--disk", action="append", default=[], metavar="SIZE[:FILESYSTEM]", help="at /mnt/disk1, ...")
    shell.set_defaults(action=_shell)
    build = actions.add_parser("build", help="build everything that is cached")
    build.set_defaults(action=_build)
    for action in (shell, build):
        action.add_argument("--suite", choices=SUITES, default="trixie")
    clean = actions.add_parser("clean", help="remove what killed runs left behind")
    clean.add_argument("--cache", action="store_true", help="and all that is cached and not in use")
    clean.set_defaults(action=_clean)
    return parser


def _shell(chosen: argparse.Namespace) -> int:
    disks = {f"/mnt/disk{number}": _disk(text) for number, text in enumerate(chosen.disk, 1)}
    start = time.monotonic()
    with boot(chosen.suite, chosen.suite, with_image=_has_image(), disks=disks) as host:
        print(f"{host.state} after {time.monotonic() - start:.1f} s; leave with `exit`", file=sys.stderr)
        _attach_keyboard(host)
    return 0


def _attach_keyboard(host: Host) -> None:
    argv = host.entering(["bash", "--login"])
    # An interrupt belongs to the shell.
    process = subprocess.Popen(argv)
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue


def _disk(text: str) -> Disk:
    size, _, filesystem = text.partition(":")
    if filesystem and filesystem not in MKFS:
        raise HostError(f"{filesystem} is none of {', '.join(MKFS)}")
    return Disk(size, filesystem or "ext4")


def _has_image() -> bool:
    there = (context.CHECKOUT / "Dockerfile").exists()
    if not there:
        print("no Dockerfile yet: the host has only busybox", file=sys.stderr)
    return there


def _build(chosen: argparse.Namespace) -> int:
    start = time.monotonic()
    with images(_has_image()) as wanted:
        print(f"images after {time.monotonic() - start:.1f} s")
        with prepared(SUITES[chosen.suite], wanted) as var:
            print(f"{var} after {time.monotonic() - start:.1f} s")
    return 0


def _clean(chosen: argparse.Namespace) -> int:
    for name in workspace.sweep():
        print(f"removed what run {name} had left")
    if chosen.cache:
        for kind in KINDS:
            cache.clear(kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())

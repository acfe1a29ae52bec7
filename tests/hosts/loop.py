"""Loop devices: connect an image, and be certain that it is gone again."""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from tests.hosts.command import CommandError, HostError, run

GET_FREE = 0x4C82  # LOOP_CTL_GET_FREE of linux/loop.h
MAJOR = 7
ATTEMPTS = 20


def connect(image: Path, *options: str) -> Path:
    for _ in range(ATTEMPTS):
        device = _free()
        try:
            run(["losetup", *options, device, image])
        except CommandError:
            # Somebody else was given the same free number and came first.
            continue
        return device
    raise HostError(f"no free loop device for {image}")


def disconnect(device: Path, timeout: float = 20.0) -> None:
    """Until the kernel has let go: a device that is connected again too early shows the dead superblock."""
    backing = backing_file(device)
    deadline = time.monotonic() + timeout
    while backing and backing_file(device) == backing:
        if time.monotonic() > deadline:
            raise HostError(f"{device} is still in use for {backing}")
        # Detaching is lazy: once asked for, it may finish on its own at any moment.
        with suppress(CommandError):
            run(["losetup", "--detach", device])
        time.sleep(0.01)


def backing_file(device: Path) -> str:
    try:
        return Path(f"/sys/block/{device.name}/loop/backing_file").read_text().strip()
    except OSError:
        return ""


def devices_below(directory: Path) -> list[Path]:
    names = [path.name for path in Path("/sys/block").glob("loop*")]
    return [Path("/dev", name) for name in names if _is_below(backing_file(Path(name)), directory)]


def _is_below(backing: str, directory: Path) -> bool:
    # The kernel marks the file of a device whose image was deleted meanwhile.
    return bool(backing) and Path(backing.removesuffix(" (deleted)")).is_relative_to(directory)


def _free() -> Path:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, GET_FREE)
    finally:
        os.close(control)
    device = Path(f"/dev/loop{number}")
    make_node(device, number)
    return device


def make_node(node: Path, number: int) -> None:
    """Nothing but devtmpfs makes device nodes by itself, and a host has none of that."""
    try:
        os.mknod(node, 0o660 | stat.S_IFBLK, os.makedev(MAJOR, number))
    except FileExistsError:
        if node.stat().st_rdev != os.makedev(MAJOR, number):
            raise HostError(f"{node} is another device") from None

"""Fixtures for all tests; those that need root and the programs of packages.txt skip without."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.hosts import Disk, Host, boot, given

# Its assertions say what differs only if pytest is told before it is imported.
pytest.register_assert_rewrite("tests.system.support.moving", "tests.system.support.shop")

# A shell that starts us behind it lets us ignore Ctrl-C, and so would every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROGRAMS = ("mmdebstrap", "systemd-nspawn", "nsenter", "losetup", "xfs_io", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat")
DiskMaker = Callable[..., Disk]


def pytest_report_header() -> str:
    return f"engine: {given.version()}, instead of Debian's newest two" if given.is_given() else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("system") is None:
        return
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        lack = f"hosts need {', '.join(missing)} (tests/hosts/packages.txt)"
        # Where everything was installed on purpose, a test that does not run is a test that failed.
        (pytest.fail if "CI" in os.environ else pytest.skip)(lack)


@pytest.fixture
def make_disk() -> Iterator[DiskMaker]:
    """Disks that last as long as the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(Disk(*arguments, **options))


# The hosts ask for `make_disk` so that they are gone before their disks are, in whichever order a test asks.
@pytest.fixture
def host(make_disk: DiskMaker) -> Iterator[Host]:
    """A running host with the product's image and busybox."""
    with boot() as booted:
        yield booted


@pytest.fixture
def bare_host(make_disk: DiskMaker) -> Iterator[Host]:
    """A running host with busybox alone."""
    with boot(with_image=False) as booted:
        yield booted

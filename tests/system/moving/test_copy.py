"""The copy itself, looked at between the switch and the engine's first start on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import populate
from tests.system.support.moving import (
    DISK,
    OUTCOME,
    SOURCE,
    TARGET,
    UNIT,
    assert_committed,
    assert_exact_copy,
    before,
    outcome,
    relocator,
)

pytestmark = pytest.mark.system

GATE = "/run/gate"
WAITING = "/run/gate-waiting"
# A start that stops to be looked at: the copy is complete, the engine has not written a byte to it.
PAUSED_START = f"""[Service]
ExecStartPre=/bin/sh -c 'touch {WAITING}; while [ -e {GATE} ]; do sleep 0.05; done'
"""


@contextmanager
def start_paused(host: Host, target: str = TARGET, *options: str) -> Iterator[None]:
    """While in the block, the engine's next start waits, and has reached the point where it waits."""
    host.write("/etc/systemd/system/docker.service.d/10-gate.conf", PAUSED_START)
    host.write(GATE, "")
    host.path(WAITING).unlink(missing_ok=True)  # of a start before
    host.run(["systemctl", "daemon-reload"])
    try:
        handed_over = relocator(host, *options, target)
        assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
        deadline = time.monotonic() + OUTCOME
        while not host.path(WAITING).exists():
            assert time.monotonic() < deadline, host.journal(UNIT)
            time.sleep(0.05)
        yield
    finally:
        host.path(GATE).unlink()


@pytest.mark.parametrize("filesystem", ["ext4", pytest.param("xfs", marks=pytest.mark.matrix), "btrfs"])
def test_every_byte_and_attribute_is_equal_before_the_first_start(filesystem: str) -> None:
    with Disk("6G", filesystem) as disk, boot(name=f"copy-{filesystem}", disks={DISK: disk}) as host:
        populate(host)
        was = before(host)
        with start_paused(host):
            assert_exact_copy(host, SOURCE, TARGET)
        assert_committed(host, outcome(host), was)

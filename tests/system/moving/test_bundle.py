"""A host whose engine cannot load an image or start a container any more, because its disk is full to the last byte."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, populate
from tests.system.support.moving import (
    DISK,
    IMAGE,
    OUTCOME,
    SOURCE,
    TARGET,
    arm,
    assert_committed,
    await_pause,
    before,
    disarm,
    resume,
)

pytestmark = pytest.mark.system

BUNDLE = f"{DISK}/relocator.run"
RECORDS = "/var/lib/relocator"


@pytest.fixture(scope="module")
def full() -> Iterator[Host]:
    """The bundle is on the new disk; the image is nowhere on the host."""
    with (
        Disk("700M", "ext4") as small,
        Disk("4G", "ext4") as disk,
        boot(name="full", disks={SOURCE: small, DISK: disk}) as host,
    ):
        host.run(["sh", "-euc", f"docker run --rm {IMAGE} bundle >{BUNDLE}"])
        populate(host, roles=FEWER)
        host.run(["docker", "image", "rm", "--force", IMAGE])
        host.run(["docker", "volume", "create", "filler"])
        host.run(f"cat /dev/zero >{SOURCE}/volumes/filler/_data/zeros || sync")
        yield host


def bundle(host: Host, *words: str) -> tuple[int, str]:
    done = host.run(["sh", BUNDLE, *words], check=False, timeout=OUTCOME)
    return done.returncode, done.stdout + done.stderr


def test_the_engine_there_can_start_nothing(full: Host) -> None:
    """Or this file shows nothing."""
    refused = full.run(["docker", "run", "--rm", "busybox", "true"], check=False)
    assert refused.returncode == 125
    assert "no space left" in refused.stderr


def test_of_a_bundle_that_was_cut_off_nothing_is_done(full: Host) -> None:
    full.run(f"head -c 5000000 {BUNDLE} >{DISK}/cut.run")
    cut = full.run(["sh", f"{DISK}/cut.run", TARGET], check=False)
    full.run(["rm", f"{DISK}/cut.run"])
    assert cut.returncode == 2, cut.stdout + cut.stderr
    assert f"{full.path(BUNDLE).stat().st_size:09}" in cut.stderr
    assert not full.path(RECORDS).exists()


def test_a_disk_without_room_for_the_record_is_told_by_every_command(full: Host) -> None:
    """As `run` itself would refuse it later."""
    full.run(f"mkdir -p {RECORDS}; mount -t tmpfs -o size=1m tmpfs {RECORDS}")
    said = {verb: bundle(full, *verb.split(), TARGET) for verb in ("check", "plan", "run")}
    full.run(f"umount {RECORDS}; rmdir {RECORDS}")
    for verb, (code, text) in said.items():
        assert (code, "no-room-for-records" in text) == (3, True), (verb, text)
    assert not full.path(TARGET).exists()


def test_where_the_engine_could_not_start_again_it_refuses_with_the_way(full: Host) -> None:
    """A move that fails would leave nothing that runs."""
    code, text = bundle(full, TARGET)
    assert (code, "no-room-to-start" in text) == (3, True), text
    assert not full.path(TARGET).exists()
    full.run(["truncate", "--size=-12M", f"{SOURCE}/volumes/filler/_data/zeros"])


def test_a_move_that_fails_there_comes_back_to_the_old_root(full: Host) -> None:
    refusing = "/etc/systemd/system/docker.service.d/90-refusing.conf"
    full.write(refusing, "[Service]\nExecStartPre=/bin/sh -c '! grep -q data-root /etc/docker/daemon.json'\n")
    full.run(["systemctl", "daemon-reload"])
    code, text = bundle(full, TARGET)
    full.run(f"rm {refusing}; systemctl daemon-reload")
    assert code == 4, text
    assert full.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    full.run(["rm", "-r", TARGET])


def test_a_session_that_is_cut_does_not_take_the_move_along(full: Host) -> None:
    """Its terminal hangs up while the copy is being made; there is no container that goes on."""
    arm(full, "pre-copy.begun pause")
    with full.terminal(["sh", BUNDLE, TARGET]) as session:
        await_pause(full, "pre-copy.begun")
        session.expect("• pre-copy")
    resume(full, "pre-copy.begun")
    deadline = time.monotonic() + OUTCOME
    while full.run(["pgrep", "-f", BUNDLE], check=False).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    disarm(full, "pre-copy.begun")
    code, text = bundle(full, "status", "--wait")
    assert (code, f"to {TARGET}" in text) == (0, True), text
    assert bundle(full, "rollback", "--yes")[0] == 0
    assert bundle(full, "cleanup", "--yes")[0] == 0  # of the copy


def test_it_moves_and_goes_back_and_the_engine_has_room_again(full: Host) -> None:
    was = before(full)
    assert bundle(full, "check", TARGET)[0] == 0
    code, text = bundle(full, TARGET)
    assert (code, text.count("Unpacking relocator into memory")) == (0, 1), text
    assert f"sh {BUNDLE} " in re.sub(r"\s+", " ", bundle(full, "status")[1])  # how to go on, as it is typed here
    full.run(["docker", "run", "--rm", "busybox", "true"])
    told = full.run(["sh", BUNDLE, "status", "--json"]).stdout
    assert_committed(full, json.loads(told), was, TARGET)
    assert bundle(full, "rollback", "--yes")[0] == 0
    assert full.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    leftovers = full.run("mount | grep -c 'relocator on' || true").stdout.strip()
    assert leftovers == "0"  # nothing of the tmpfs is seen on the host, and nothing is left of it

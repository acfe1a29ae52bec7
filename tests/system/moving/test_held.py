"""What others do to the host while a run is held: nothing is stopped, started or written that was not agreed to."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.moving.test_hold import RUNS, await_passes, engine_pid, hold, status
from tests.system.support.moving import DISK, OUTCOME, UNIT, diagnosis, fill, outcome, relocator
from tests.system.support.shop import RUN, Shop, start_writers

pytestmark = pytest.mark.system

OTHER = "/mnt/other"
CONFIG = "/etc/docker/daemon.json"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Disk("8G", "ext4") as disk, Disk("2G", "ext4") as other, \
            boot(name="beset", disks={DISK: disk, OTHER: other}) as host:  # fmt: skip
        start_writers(host, {"db": "unless-stopped", "app": "no"})
        yield Shop(host)


def give_up(host: Host, *words: str) -> None:
    ended = relocator(host, "abort", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def await_end(host: Host) -> None:
    host.run(f"until systemctl is-active {UNIT} | grep -q inactive; do sleep 0.1; done")


def test_a_disk_that_is_unmounted_ends_it_and_nothing_is_written_below_its_place(shop: Shop) -> None:
    host, pid = shop.host, engine_pid(shop.host)
    ran = relocator(host, OTHER, "--hold")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    await_passes(host)
    host.run(f"until umount {OTHER}; do sleep 0.2; done")
    await_end(host)
    told = status(host)
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), diagnosis(host)
    assert list(host.path(OTHER).iterdir()) == []
    assert "unmounted" in told["reason"]
    assert engine_pid(host) == pid
    shop.assert_nothing_lost()


def test_an_engine_that_was_stopped_by_hand_is_not_started_by_the_net_of_a_run_that_is_held(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    told = hold(host, target)
    host.run("systemctl stop docker.socket docker.service")
    host.run(f"systemctl kill --signal=KILL {UNIT}")
    record = f"{RUNS}/{told['run']}/journal.jsonl"
    host.run(f"until [ $(grep -c took-over {record}) = 2 ]; do sleep 0.1; done")
    assert host.run(["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
    host.run(f"systemctl stop {UNIT}")
    assert host.run(["systemctl", "is-active", "docker.service"], check=False).stdout.strip() == "inactive"
    host.run("systemctl start docker.socket docker.service")
    host.wait_docker()
    assert status(host)["state"] == "interrupted"
    host.docker("start", "app")


def test_what_was_edited_or_is_asked_otherwise_meanwhile_is_told_and_it_is_held_as_before(shop: Shop) -> None:
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    told = hold(host, target)
    for words in (("--hold", "--at=03:00"), ("--hold", "--checksum"), ("--max-downtime=30s",)):
        other = relocator(host, target, "--same-disk", *words)
        assert (other.returncode, "other options" in other.stderr) == (3, True), other.stdout + other.stderr
    for verb in ("rollback", "cleanup"):
        refused = relocator(host, verb, "--yes")
        assert (refused.returncode, "relocator go" in refused.stderr) == (3, True), refused.stderr
    config = host.path(CONFIG)
    before = config.read_bytes() if config.exists() else None
    config.write_text(json.dumps({**json.loads(before or b"{}"), "max-concurrent-downloads": 2}))
    refused = relocator(host, "go")
    assert (refused.returncode, "abort --keep" in refused.stderr) == (3, True), refused.stdout + refused.stderr
    if before is None:
        config.unlink()
    else:
        config.write_bytes(before)
    later = status(host)
    assert (later["state"], later["run"]) == ("held", told["run"])
    assert engine_pid(host) == pid
    give_up(host)
    assert not host.path(target).exists()


def test_abort_does_not_wait_for_a_pass_of_hours(shop: Shop) -> None:
    host, target, pid = shop.host, shop.next_target(), engine_pid(shop.host)
    hold(host, target)
    assert relocator(host, "limit", "64k").returncode == 0
    fill(host.path(f"{shop.root}/volumes/db/_data/large"), 200)
    host.run(f"for i in $(seq 300); do find {target}/volumes -size +100k | grep -q . && exit; sleep 0.1; done; exit 1")
    began = time.monotonic()
    give_up(host)
    assert time.monotonic() - began < OUTCOME
    assert not host.path(target).exists()
    host.path(f"{shop.root}/volumes/db/_data/large").unlink()
    assert engine_pid(host) == pid


def test_what_is_made_and_removed_meanwhile_is_so_on_the_new_root(shop: Shop) -> None:
    host, target = shop.host, shop.next_target()
    hold(host, target)
    host.docker("volume", "create", "late")
    host.docker(*RUN, "--name=late", "--volume=late:/data", "busybox", "sleep", "infinity")
    host.docker("commit", "late", "made:late")
    host.docker("rm", "--force", "late")
    host.docker("image", "prune", "--force")
    await_passes(host, 2)
    host.docker("image", "rm", "made:late")
    assert relocator(host, "go").returncode == 10
    shop.assert_arrived(outcome(host), target)
    assert "late" in host.docker("volume", "ls", "--quiet")
    before = outcome(host)["source"]
    back = relocator(host, "rollback", "--yes")
    assert back.returncode == 10, back.stdout + back.stderr
    shop.give_up(before)  # what was written since the move stays in the root that it had led to
    told = outcome(host)
    assert (told["state"], told["direction"], told["target"]) == ("committed", "back", before), told
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == before

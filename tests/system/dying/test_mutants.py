"""The tests themselves: with a step taken out of the product, what shows that step must fail.

Each mutant is an image built on the product's, with a line of a step removed.
"""

from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, Content, populate
from tests.system.dying.test_rollback import broken_unit
from tests.system.support.moving import (
    DISK,
    SOURCE,
    assert_committed,
    assert_rolled_back,
    assert_writes_survived,
    before,
    move,
)

pytestmark = pytest.mark.system

FINAL_SYNC = ("-e", "s/FinalSync(), //")
FINAL_SYNC_AND_CHECK = ("-e", "s/FinalSync(), CheckCopy(), //")
RESTART = ("-e", "/^def _put(/a\\    return")
VERIFY = ("-e", "s/, Verify())/)/")


@pytest.fixture
def host() -> Iterator[tuple[Host, Content]]:
    with Disk("4G", "ext4") as disk, boot(name="mutant", disks={DISK: disk}) as booted:
        yield booted, populate(booted, roles=FEWER)


STEPS, STANDING = "move/steps.py", "move/proof/restart.py"


def build(host: Host, removal: tuple[str, ...], module: str = STEPS) -> None:
    """Put the mutant in the product's place, and see that it is one."""
    place = f"/opt/relocator/entrypoint/{module}"
    expressions = " ".join(f"'{word}'" for word in removal)
    host.write(
        "/root/mutant/Dockerfile",
        "FROM relocator\n"
        f"RUN cp {place} /tmp/before.py"
        f" && sed -i {expressions} {place}"
        f" && ! cmp -s /tmp/before.py {place}"
        " && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/relocator/entrypoint\n",
    )
    host.run(["docker", "build", "--tag", "relocator", "/root/mutant"], env={"DOCKER_BUILDKIT": "0"})


def test_without_the_final_sync_the_check_of_the_copy_stops_the_move(host: tuple[Host, Content]) -> None:
    build(host[0], FINAL_SYNC)
    was = before(host[0])
    told = move(host[0])
    with pytest.raises(AssertionError):
        assert_committed(host[0], told, was)
    assert_rolled_back(host[0], told, was, "The copy does not hold what the source holds")


@pytest.mark.matrix
def test_without_final_sync_and_check_lost_writes_are_seen(host: tuple[Host, Content]) -> None:
    build(host[0], FINAL_SYNC_AND_CHECK)
    assert move(host[0])["state"] == "committed"
    with pytest.raises(AssertionError):
        assert_writes_survived(host[0], SOURCE, f"{DISK}/docker", host[1])


@pytest.mark.matrix
def test_without_the_restart_containers_that_stay_down_are_seen(host: tuple[Host, Content]) -> None:
    build(host[0], RESTART, STANDING)
    was = before(host[0])
    told = move(host[0])
    assert (told["state"], told["exit_code"]) == ("moved", 6), told
    with pytest.raises(AssertionError):
        assert_committed(host[0], told, was)


@pytest.mark.matrix
def test_without_the_verification_a_lost_container_is_seen(host: tuple[Host, Content]) -> None:
    lose = f"grep -q {DISK} /etc/docker/daemon.json && rm -r $$(ls -d {DISK}/docker/containers/* | head -n 1)"
    build(host[0], VERIFY)
    was = before(host[0])
    with broken_unit(host[0], f"[Service]\nExecStartPre=-/bin/sh -c '{lose}'\n"):
        told = move(host[0])
    with pytest.raises(AssertionError):
        assert_rolled_back(host[0], told, was, "is missing")

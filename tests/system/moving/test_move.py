"""The main job: one complete move of the reference content, and what is true afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import Content, downtime, inventory, populate
from tests.hosts.inside import end
from tests.system.support.moving import (
    DISK,
    SOURCE,
    TARGET,
    Before,
    assert_committed,
    assert_equal_roots,
    assert_unchanged,
    assert_untouched_since,
    assert_writes_survived,
    before,
    configuration,
    frozen_at,
    move,
    relocator,
)

pytestmark = pytest.mark.system

# Clients that do not stop asking: each call would start the engine, were it only stopped and its socket left armed.
CLIENTS = """
while :; do
    curl --silent --max-time 2 --unix-socket /run/docker.sock http://docker/_ping >/dev/null 2>&1 || sleep 0.01
done
"""


@dataclass(frozen=True)
class Moved:
    host: Host
    content: Content
    was: Before
    told: dict[str, Any]


@contextmanager
def clients(host: Host) -> Iterator[None]:
    asking = [host.popen(CLIENTS) for _ in range(3)]
    try:
        yield
    finally:
        assert [process.poll() for process in asking] == [None] * 3
        for process in asking:
            end(process)
            process.wait()


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    """A populated host, moved once under the noise of clients."""
    with Disk("6G", "ext4") as disk, boot(name="moved", disks={DISK: disk}) as host:
        content = populate(host)
        was = before(host)
        with clients(host):
            told = move(host)
        yield Moved(host, content, was, told)


def test_the_engine_holds_on_the_new_root_what_it_held_on_the_old(moved: Moved) -> None:
    assert_committed(moved.host, moved.told, moved.was)


def test_what_containers_wrote_until_the_freeze_is_there(moved: Moved) -> None:
    assert_writes_survived(moved.host, SOURCE, TARGET, moved.content)


def test_the_old_root_is_untouched_after_the_freeze(moved: Moved) -> None:
    assert_untouched_since(moved.host, SOURCE, frozen_at(moved.host))


def test_no_client_brought_the_engine_back_in_the_middle(moved: Moved) -> None:
    said = moved.host.run(["journalctl", "--unit=docker.service", "--output=cat", "--no-pager"]).stdout
    ours = moved.host.run(["journalctl", "--unit=relocator.service", "--output=short-unix", "--no-pager"]).stdout
    began = float(ours.split()[0])
    since = moved.host.run(
        ["journalctl", "--unit=docker.service", "--output=cat", "--no-pager", f"--since=@{began:.0f}"]
    ).stdout
    assert "Starting up" in said
    assert since.count("Starting up") == 1, since


def test_the_downtime_is_told_and_seen_from_outside(moved: Moved) -> None:
    gap = downtime(moved.host, "always").seconds
    print(f"\nseen by a container: {gap:.2f} s, told: {moved.told['downtime']} s")
    assert 0 < moved.told["downtime"] < 30
    assert gap < moved.told["downtime"] + 5


def test_the_report_tells_what_was_verified_and_while_which_phases_the_engine_was_away(moved: Moved) -> None:
    told = moved.told
    away = sum(one["seconds"] for one in told["timeline"] if one["away"])
    assert [one["phase"] for one in told["timeline"]][0::7] == ["pre-copy", "verify"]
    assert away == pytest.approx(told["downtime"], abs=0.5)
    assert told["verified"]["containers"] >= len(moved.content.beating)
    assert told["verified"]["volumes"] == len(moved.was.inventory.volumes)
    assert told["frees"] > 0
    page = relocator(moved.host, "status", "--html", "-")
    assert (page.returncode, page.stderr) == (0, "")
    assert page.stdout.startswith("<!doctype html>")
    assert page.stdout.count("<rect") == len(told["timeline"])
    for _ in ("new", "the second time"):
        assert relocator(moved.host, "status", "--html", "/root/page.html").returncode == 0
        assert moved.host.path("/root/page.html").read_text() == page.stdout
    text = relocator(moved.host, "status").stdout
    assert "the engine was away" in text
    assert "come back" in text


def test_unless_stopped_means_what_it_meant(moved: Moved) -> None:
    moved.host.run(["systemctl", "restart", "docker.service"])
    moved.host.wait_docker()
    states = {name: container.status for name, container in inventory(moved.host).containers.items()}
    assert states["unless-stopped"] == "running"
    assert states["stopped-unless-stopped"] == "exited"
    assert states["always"] == "running"
    # put back what a bare restart does not: the next tests compare with the state after the move
    moved.host.run("docker start no on-failure; docker pause paused; docker stop stopped-always")


def test_running_it_again_changes_nothing(moved: Moved) -> None:
    held, was = inventory(moved.host), configuration(moved.host, target=None)
    again = relocator(moved.host, TARGET)
    assert again.returncode == 0
    assert "already_there" in again.stdout
    assert_unchanged(moved.host, was, held, target=None)


def test_every_file_is_equal(moved: Moved) -> None:
    assert_equal_roots(moved.host, SOURCE, TARGET)


def test_a_reboot_starts_the_engine_on_the_new_root(moved: Moved) -> None:
    host = moved.host
    attachment = host.disks[DISK]
    host.power_off()
    host.attach(attachment.disk, DISK, keep=True)
    host.boot()
    host.wait_docker()
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == TARGET

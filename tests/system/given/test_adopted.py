"""A root that was moved with overlay2, and an engine whose /etc was made anew: it would keep its images in containerd,
but for what it finds in that root."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import differences, inventory
from tests.hosts.given import Layout
from tests.system.support.given import DAEMON_JSON, NEEDED, WEB, driver, load, restart, row
from tests.system.support.moving import DISK, SOURCE, TARGET, Before, assert_committed, before, move, outcome, relocator

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800), NEEDED]


@dataclass(frozen=True)
class Anew:
    host: Host
    was: Before


@pytest.fixture(scope="module")
def anew() -> Iterator[Anew]:
    with Disk("4G") as disk, boot("trixie", "anew", disks={DISK: disk}) as host:
        host.docker(*WEB)
        host.docker("exec", "web", "sh", "-c", "date >/inside")
        was = before(host)
        assert_committed(host, move(host), was)
        assert relocator(host, "cleanup", "--yes").returncode == 0
        host.run("systemctl stop docker.socket docker.service")
        host.run(f"cd /etc/systemd/system; rm -rf {DAEMON_JSON} docker.service.d docker.socket.d {SOURCE}")
        restart(host)
        assert driver(host) == "overlayfs"
        load(host)
        relocator(host, "status")  # with its first container an engine makes a directory in its root
        yield Anew(host, was)


def test_the_root_is_judged_by_the_engine_that_would_use_it(anew: Anew) -> None:
    host, was = anew.host, anew.was
    told = relocator(host, "check", TARGET)
    assert told.returncode == 0, told.stderr
    handed_over = relocator(host, TARGET)
    assert handed_over.returncode == 10, handed_over.stderr
    found = outcome(host)
    assert (found["state"], found["direction"]) == ("committed", "adopt"), found
    assert (host.docker("info", "--format", "{{.DockerRootDir}}"), driver(host)) == (TARGET, "overlay2")
    assert differences(was.inventory, inventory(host), ignore=("engine.root",)) == []
    assert host.docker("exec", "web", "cat", "/inside")
    host.reboot()
    host.wait_docker()
    assert driver(host) == "overlay2"
    row(Layout.DEBIAN, "a root with overlay2 is adopted by a fresh engine", "adopted")


def test_it_is_taken_back_to_the_fresh_engines_own(anew: Anew) -> None:
    host = anew.host
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stderr
    found = outcome(host)
    assert found["state"] == "committed", found
    assert (host.docker("info", "--format", "{{.DockerRootDir}}"), driver(host)) == (SOURCE, "overlayfs")
    row(Layout.DEBIAN, "and taken back to the fresh engine's own root", "as it was")

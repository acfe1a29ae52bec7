"""A host without systemd, with the engine from /etc/init.d/docker: refused, with the steps for it, and they work."""

from collections.abc import Iterator

import pytest

from tests.hosts import Host, boot
from tests.hosts.survey import compare
from tests.system.support.moving import configuration, relocator

pytestmark = [pytest.mark.system, pytest.mark.matrix]

TARGET = "/var/new/docker"


@pytest.fixture(scope="module")
def old() -> Iterator[Host]:
    with boot("sysvinit") as host:
        yield host


def written_by_containerd(path: bytes, _aspect: str) -> bool:
    """Without a unit of its own it is the engine's child, in the data root, and writes for every container."""
    return path.startswith(b"var/lib/docker/containerd/")


@pytest.mark.parametrize("verb", ["run", "plan", "check"])
def test_a_host_without_systemd_is_refused_with_the_steps_for_it(old: Host, verb: str) -> None:
    was = configuration(old, None)
    answer = relocator(old, verb, TARGET)
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert "process 1 is `init`" in answer.stderr
    for step in ("service docker stop", "pgrep containerd-shim", 'in /etc/default/docker: DOCKER_OPTS="--data-root='):
        assert step in answer.stderr
    found = compare(was, configuration(old, None), ignore=written_by_containerd)
    assert not found, str(found)
    print(f"\n| 20 | {verb:40} | sysvinit | refused, with the steps |")


def test_the_steps_that_are_told_move_the_root(old: Host) -> None:
    images = old.docker("images", "--quiet")
    old.run(f"""
        docker ps --quiet | xargs --no-run-if-empty docker stop
        service docker stop
        ! grep /var/lib/docker/ /proc/mounts
        mkdir -p {TARGET} && cp -a /var/lib/docker/. {TARGET}/
        echo 'DOCKER_OPTS="--data-root={TARGET}"' >/etc/default/docker
        service docker start
    """)
    old.wait_docker()
    assert old.docker("info", "--format", "{{.DockerRootDir}}") == TARGET
    assert old.docker("images", "--quiet") == images

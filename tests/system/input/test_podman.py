"""Podman in Docker's place, with Docker's program and socket or without: the promised words, and none of a client's."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts import Host, bare
from tests.hosts.builder import built

pytestmark = [pytest.mark.system, pytest.mark.matrix]  # its base takes two minutes to build

IMAGE = "docker.io/library/relocator:latest"
EQUIPPED = f"docker run --rm --privileged --pid=host --network=none {IMAGE}"
# This machine has no `pids` controller where a host's systemd manages its groups.
FILES = {"/etc/containers/containers.conf": "[containers]\npids_limit = 0\n", "/etc/containers/nodocker": ""}
SITUATIONS = {
    "the socket off": "systemctl stop podman.socket podman.service",
    "the socket on": "systemctl start podman.socket",
    "no socket of Docker's": "systemctl stop podman.socket podman.service; rm -f /run/docker.sock",
}


@pytest.fixture(scope="module")
def podman() -> Iterator[Host]:
    with built() as image, bare("podman", "podman", files=FILES) as host:
        with image.archive.open("rb") as archive:
            loading = host.popen(["podman", "load"], stdin=archive, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output, _ = loading.communicate(timeout=300)
        assert loading.returncode == 0, output
        host.run(f"cd /root && docker run --rm --network=none {IMAGE} script >relocate", timeout=120)
        yield host


@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize(
    "command", [f"{EQUIPPED} check /mnt/x", f"{EQUIPPED} /mnt/x", f"RELOCATOR_IMAGE={IMAGE} sh /root/relocate /mnt/x"]
)
def test_podman_is_known_and_told_its_own_way(podman: Host, name: str, command: str) -> None:
    podman.run(SITUATIONS[name])
    told = podman.run(command, check=False, timeout=120)
    assert told.returncode == 3, told.stdout + told.stderr
    assert "[other-product]" in told.stderr
    assert "graphroot" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_container_that_has_its_socket_alone_knows_it_too(podman: Host) -> None:
    podman.run("systemctl start podman.socket; ln -sf /run/podman/podman.sock /run/docker.sock")
    command = f"docker run --rm --network=none -v /run/docker.sock:/var/run/docker.sock {IMAGE} check /mnt/x"
    told = podman.run(command, check=False, timeout=120)
    assert (told.returncode, "[other-product]" in told.stderr) == (3, True), told.stdout + told.stderr

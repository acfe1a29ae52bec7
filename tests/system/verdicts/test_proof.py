"""What the engine lists is looked up on its disk: before a move, and before a way back."""

from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import DISK, SOURCE, TARGET, UNIT, outcome, relocator

pytestmark = pytest.mark.system

STORE = "/var/lib/containerd"
SNAPSHOTS = f"{STORE}/io.containerd.snapshotter.v1.overlayfs/snapshots"


@pytest.fixture(scope="module", params=["trixie", pytest.param("forky", marks=pytest.mark.matrix)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with Disk("3G") as disk, boot(request.param, "proof", disks={DISK: disk}, containerd_store=True) as host:
        host.docker("run", "-d", "--name", "web", "--restart=always", "-v", "data:/data", "busybox", "sleep", "99999")
        host.docker("create", "--name", "stopped", "busybox", "true")
        host.run("tar -c /etc/hostname | docker import - small:1")
        yield host


def snapshot_of(host: Host, name: str) -> str:
    return host.docker("inspect", "--format", "{{.Id}}", name)


def refused(host: Host, *words: str) -> str:
    told = relocator(host, "check", TARGET)
    assert (told.returncode, "[source-incomplete]" in told.stderr) == (3, True), told.stdout + told.stderr
    assert all(word in told.stderr for word in words), told.stderr
    return told.stderr


def test_a_container_that_the_engine_lists_and_has_no_snapshot_is_told_before(host: Host) -> None:
    """As an engine of 29.5 and later keeps it: this one goes on listing what was taken from its containerd."""
    host.docker("create", "--name", "hollow", "busybox", "true")
    host.run(["ctr", "--namespace=moby", "snapshots", "rm", snapshot_of(host, "hollow")])
    assert "hollow" in host.docker("ps", "--all", "--format", "{{.Names}}")
    refused(host, "container hollow has no snapshot")
    host.docker("rm", "--force", "hollow")


def test_a_layer_and_a_volume_that_are_gone_are_told_before(host: Host) -> None:
    for place, said in ((f"{SOURCE}/volumes/data", "volume data"), (f"{SNAPSHOTS}/1", "image busybox:latest")):
        host.run(["mv", place, f"{place.partition('lib/')[0]}away"])  # containerd removes what it does not know
        refused(host, said)
        host.run(["mv", f"{place.partition('lib/')[0]}away", place])
    assert relocator(host, "check", TARGET).returncode == 0


def test_what_was_removed_from_the_images_root_since_is_told_before_the_way_back(host: Host) -> None:
    moved = relocator(host, "--only=data-root", TARGET)
    assert moved.returncode == 10, moved.stdout + moved.stderr
    assert outcome(host)["state"] == "committed", host.journal(UNIT)
    host.docker("rm", "stopped")
    host.docker("rmi", "small:1")
    for words, code in ((("rollback",), 0), (("rollback", "--yes"), 10)):
        told = relocator(host, *words)
        said = told.stdout + told.stderr
        assert (told.returncode, "gone-since" in said) == (code, True), said
        assert "container stopped has no snapshot" in said and "image small:1 has no record" in said, said
    back = outcome(host)
    assert (back["state"], back["exit_code"]) == ("committed", 0), f"{back}\n{host.journal(UNIT)}"
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    assert back["gone"] and back["verified"]["containers"] == 1, back
    assert "all as before" not in relocator(host, "status").stdout
    assert host.docker("exec", "web", "echo", "here") == "here"

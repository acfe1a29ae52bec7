"""A file of the host's configuration that was removed has no time of its own: its directory has."""

from pathlib import Path

from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import Host
from tests.unit.support.good_facts import GOOD


def test_a_file_that_was_removed_was_changed_when_its_directory_was(tmp_path: Path) -> None:
    folder = tmp_path / "etc/docker"
    folder.mkdir(parents=True)
    (folder / "daemon.json").write_text("{}")
    there = HostFile.read(Host(tmp_path), "/etc/docker/daemon.json", GOOD.mounts)
    assert there.changed_at == (folder / "daemon.json").stat().st_ctime
    (folder / "daemon.json").unlink()
    removed = HostFile.read(Host(tmp_path), "/etc/docker/daemon.json", GOOD.mounts)
    assert (removed.content, removed.changed_at) == (None, folder.stat().st_ctime)

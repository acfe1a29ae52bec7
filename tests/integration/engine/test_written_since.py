"""What going back would lose: by whom it was written, and what the engine holds in addition or no more."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.engine.drivers import MOVED
from entrypoint.engine.drivers.driver import Driver
from entrypoint.engine.holdings import written_since
from entrypoint.engine.holdings.written_since import Loss, Written
from entrypoint.engine.inventory import Container, Inventory, Status

LONG_AGO, SOON = 0.0, 4e9


def container(name: str) -> Container:
    return Container(f"id-{name}", name, "sha256:1", Status.RUNNING, "no", False, "")


BEFORE = Inventory("ID", "overlay2", "graphdriver", (container("web"), container("gone")), {"sha256:1": "app:1"},
                   {"data": "local", "dropped": "local"}, {"n1": "backend bridge"}, {})  # fmt: skip
NOW = replace(BEFORE, containers=(container("web"), container("new")), volumes={"data": "local", "fresh": "local"},
              images={"sha256:1": "app:1", "sha256:0123456789abcdef": ""})  # fmt: skip


def write(root: Path, name: str, size: int) -> None:
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(size))


def test_what_came_and_what_went_is_named(tmp_path: Path) -> None:
    found = written_since.between(BEFORE, NOW, tmp_path, LONG_AGO)
    assert found == Loss(
        ("container new", "image 0123456789ab", "volume fresh"), ("container gone", "volume dropped"), ()
    )


def test_what_no_restart_brings_back_is_neither_lost_nor_there_again(tmp_path: Path) -> None:
    fleeting = replace(container("once"), auto_remove=True)
    with_it = replace(BEFORE, containers=(*BEFORE.containers, fleeting))
    assert written_since.between(BEFORE, with_it, tmp_path, LONG_AGO) == Loss((), (), ())
    assert written_since.between(with_it, BEFORE, tmp_path, LONG_AGO) == Loss((), (), ())


def test_nothing_new_is_no_loss(tmp_path: Path) -> None:
    assert written_since.between(BEFORE, BEFORE, tmp_path, LONG_AGO) == Loss((), (), ())


def test_what_was_written_is_summed_by_whom_it_belongs_to(tmp_path: Path) -> None:
    write(tmp_path, "volumes/data/_data/a", 10)
    write(tmp_path, "volumes/data/_data/deep/b\nc", 5)
    write(tmp_path, "volumes/metadata.db", 1000)
    write(tmp_path, "containers/id-web/id-web-json.log", 7)
    write(tmp_path, "containers/id-web/config.v2.json", 1000)
    write(tmp_path, "containers/strange/strange-json.log", 1000)
    write(tmp_path, "overlay2/m1/diff/etc/x", 3)
    write(tmp_path, "overlay2/m1/link", 1000)
    write(tmp_path, "overlay2/m1/merged/x", 1000)
    write(tmp_path, "overlay2/layer/diff/x", 1000)
    write(tmp_path, "image/overlay2/layerdb/mounts/id-web/mount-id", 0)
    (tmp_path / "image/overlay2/layerdb/mounts/id-web/mount-id").write_text("m1")
    found = written_since.between(BEFORE, NOW, tmp_path, LONG_AGO)
    assert set(found.written) == {
        Written("volume data", 2, 15), Written("the log of container web", 1, 7), Written("container web", 1, 3),
    }  # fmt: skip


@pytest.mark.parametrize("driver", MOVED, ids=lambda driver: driver.name)
def test_what_a_container_wrote_is_told_whatever_the_driver(tmp_path: Path, driver: Driver) -> None:
    write(tmp_path, f"{driver.content('m1')}/etc/x", 3)
    write(tmp_path, f"{driver.content('layer')}/x", 1000)
    mark = tmp_path / driver.mounts / "id-web/mount-id"
    mark.parent.mkdir(parents=True)
    mark.write_text("m1")
    assert written_since.between(BEFORE, NOW, tmp_path, LONG_AGO).written == (Written("container web", 1, 3),)


@pytest.mark.parametrize(("snapshotter", "place"), [("overlayfs", "7/fs/var/x"), ("native", "7/var/x")])
def test_what_was_written_to_snapshots_is_told(tmp_path: Path, snapshotter: str, place: str) -> None:
    write(tmp_path, f"containerd/io.containerd.snapshotter.v1.{snapshotter}/snapshots/{place}", 3)
    now = replace(NOW, driver=snapshotter)
    [written] = written_since.between(BEFORE, now, tmp_path, LONG_AGO, tmp_path / "containerd").written
    assert (written.files, written.size) == (1, 3)
    assert "snapshot 7" in written.place


def test_what_was_there_before_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, "volumes/data/_data/a", 10)
    assert written_since.between(BEFORE, NOW, tmp_path, SOON).written == ()


def test_a_time_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, "volumes/data/_data/a", 10)
    now = (tmp_path / "volumes/data/_data/a").stat().st_ctime
    os.utime(tmp_path / "volumes/data/_data/a", (1, 1))
    assert written_since.between(BEFORE, NOW, tmp_path, now - 100).written == (Written("volume data", 1, 10),)


def test_in_a_root_that_was_left_all_but_layers_is_told_by_whom_or_by_where(tmp_path: Path) -> None:
    """Layers have other names in other roots of the same file system, and removing these changes the inode here too."""
    write(tmp_path, "volumes/data/_data/a", 10)
    write(tmp_path, "volumes/metadata.db", 5)
    write(tmp_path, "containers/id-web/id-web-json.log", 7)
    write(tmp_path, "containers/id-web/config.v2.json", 8)
    write(tmp_path, "overlay2/layer/diff/x", 1000)
    write(tmp_path, "containerd/daemon/io.containerd.content.v1.content/blobs/sha256/1", 1000)
    write(tmp_path, "containerd/daemon/namespaces", 6)
    write(tmp_path, "mine/x", 1000)
    os.symlink("a", tmp_path / "volumes/data/_data/b")
    homes = ("volumes", "containers", "overlay2", "containerd", "swarm")
    found = set(written_since.behind(tmp_path, homes, LONG_AGO, BEFORE, is_images=False))
    assert found == {
        Written("volume data", 2, 11), Written("volumes in the root", 1, 5), Written("the log of container web", 1, 7),
        Written("containers in the root", 1, 8), Written("containerd in the root", 1, 6),
    }  # fmt: skip
    assert list(written_since.behind(tmp_path, homes, SOON, BEFORE, is_images=False)) == []


def test_in_a_containerd_root_that_was_left_shared_files_are_no_writes(tmp_path: Path) -> None:
    write(tmp_path, "io.containerd.content.v1.content/blobs/sha256/1", 1000)
    write(tmp_path, "io.containerd.metadata.v1.bolt/meta.db", 9)
    write(tmp_path, "io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs/x", 4)
    found = set(
        written_since.behind(
            tmp_path, os.listdir(tmp_path), LONG_AGO, replace(BEFORE, driver="overlayfs"), is_images=True
        )
    )
    assert found == {
        Written("io.containerd.metadata.v1.bolt in the root", 1, 9),
        Written("container unknown (snapshot 7)", 1, 4),
    }

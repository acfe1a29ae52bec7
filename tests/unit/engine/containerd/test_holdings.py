"""The databases of a containerd root tell what it holds, and what of it is missing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.engine.containerd import bolt, holdings
from entrypoint.engine.containerd.holdings import SNAPSHOTS, ContainerdHoldings
from entrypoint.engine.containerd.service import BLOBS, DATABASE, snapshots
from entrypoint.engine.drivers.snapshotters import OVERLAYFS
from tests.unit.support.bolt_file import database, make_store
from tests.unit.support.good_facts import INVENTORY

BLOB, PLACE = f"{BLOBS}/sha256/1", snapshots(OVERLAYFS.name)


def test_a_whole_root_says_what_it_holds(tmp_path: Path) -> None:
    held = ContainerdHoldings.of(make_store(tmp_path, "web"))
    assert held == ContainerdHoldings(frozenset({"sha256:1"}), frozenset({"sha256:layer", "web"}), ())
    assert holdings.writers(tmp_path, OVERLAYFS.name) == {"1": "", "2": "web"}


def test_who_writes_is_told_of_others_too(tmp_path: Path) -> None:
    make_store(tmp_path)
    held = {"k8s.io/1/pod": {"id": b"\1", "kind": b"\2"}, "k8s.io/2/layer": {"id": b"\2", "kind": b"\3"}}
    (tmp_path / PLACE / SNAPSHOTS).write_bytes(database({"v1": {"snapshots": held}}))
    assert holdings.writers(tmp_path, OVERLAYFS.name) == {"1": "pod of namespace k8s.io", "2": ""}


@pytest.mark.parametrize("options", [{"live": True}, {"elsewhere": True}])
def test_snapshots_are_not_looked_for_where_they_may_be_elsewhere_or_vanish(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    shutil.rmtree(make_store(tmp_path, "web") / PLACE)
    assert ContainerdHoldings.of(tmp_path, **options).incomplete == ()
    (tmp_path / BLOB).unlink()
    assert ContainerdHoldings.of(tmp_path, **options).incomplete == (() if "live" in options else (BLOB,))


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (DATABASE, DATABASE),
        (BLOB, BLOB),
        (f"{PLACE}/{SNAPSHOTS}", f"{PLACE}/{SNAPSHOTS}"),
        (f"{PLACE}/snapshots/2", f"{PLACE}/snapshots/2"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: str, named: str) -> None:
    place = make_store(tmp_path, "web") / missing
    place.rename(tmp_path / "away")
    assert ContainerdHoldings.of(tmp_path).incomplete == (named,)


def test_a_blob_that_is_cut_off_is_missing(tmp_path: Path) -> None:
    (make_store(tmp_path) / BLOB).write_bytes(b"blo")
    assert ContainerdHoldings.of(tmp_path).incomplete == (BLOB,)


def test_a_layer_that_its_snapshotter_does_not_know_is_missing(tmp_path: Path) -> None:
    """As with two databases that were copied at different instants."""
    make_store(tmp_path, "web")
    (tmp_path / PLACE / SNAPSHOTS).write_bytes(database({"v1": {"snapshots": {"moby/1/sha256:layer": {"id": b"\1"}}}}))
    assert ContainerdHoldings.of(tmp_path).incomplete == (f"{PLACE}/snapshots: web",)


def test_a_database_that_is_none_is_missing_and_names_no_owners(tmp_path: Path) -> None:
    make_store(tmp_path)
    for name in (DATABASE, f"{PLACE}/{SNAPSHOTS}"):
        (tmp_path / name).write_bytes(b"")
    assert ContainerdHoldings.of(tmp_path).incomplete == (DATABASE,)
    assert holdings.writers(tmp_path, OVERLAYFS.name) == {}


def test_images_that_it_does_not_hold_are_named_once_by_a_tag(tmp_path: Path) -> None:
    held = ContainerdHoldings.of(make_store(tmp_path))
    engine = replace(INVENTORY, images={"sha256:1": "app:1", "sha256:2": "more:1 more:2", "sha256:3": ""})
    assert list(held.lacking(engine)) == [("image", "more:1")]


def test_what_was_written_is_what_is_read() -> None:
    assert bolt.read(database({"a": {"b": b"c"}, "d": b""})) == {b"a": {b"b": b"c"}, b"d": b""}


def test_a_bucket_of_several_pages_is_read_whole(tmp_path: Path) -> None:
    names = [f"container-{number:03}" for number in range(100)]
    assert ContainerdHoldings.of(make_store(tmp_path, *names)).snapshots == {"sha256:layer", *names}
    (tmp_path / f"{PLACE}/snapshots/77/fs").rmdir()
    (tmp_path / f"{PLACE}/snapshots/77").rmdir()
    assert ContainerdHoldings.of(tmp_path).incomplete == (f"{PLACE}/snapshots/77",)

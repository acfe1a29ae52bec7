"""What an engine lists is looked up on the disk: in a storage driver's files, and in containerd's databases."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.engine.containerd.holdings import SNAPSHOTS
from entrypoint.engine.containerd.service import BLOBS, DATABASE, snapshots
from entrypoint.engine.drivers.graph_store import topmost
from entrypoint.engine.drivers.snapshotters import OVERLAYFS
from entrypoint.engine.holdings import whole
from entrypoint.engine.holdings.whole import Lack, Roots
from entrypoint.engine.inventory import Inventory, Status
from tests.unit.support.bolt_file import Branches, database, make_store
from tests.unit.support.data_root import write
from tests.unit.support.good_facts import INVENTORY, container

DIFF_IDS = ("sha256:aa", "sha256:bb")
BOTTOM, TOP = topmost(DIFF_IDS[:1]), topmost(DIFF_IDS)
LAYERS, MOUNTS = "image/overlay2/layerdb/sha256", "image/overlay2/layerdb/mounts/web"
HELD = replace(INVENTORY, volumes={"data": "local", "far": "nfs"})
PLACE = snapshots(OVERLAYFS.name)


def make_graph(root: Path) -> Path:
    """An image of two layers, a container upon it, and a volume."""
    write(root / "image/overlay2/imagedb/content/sha256/1", json.dumps({"rootfs": {"diff_ids": DIFF_IDS}}).encode())
    for chain, name, parent in ((BOTTOM, "bottom", ""), (TOP, "top", BOTTOM)):
        entry = root / LAYERS / chain.removeprefix("sha256:")
        write(entry / "cache-id", name.encode())
        if parent:
            write(entry / "parent", parent.encode())
    for file, text in (("mount-id", "own"), ("init-id", "own-init"), ("parent", TOP)):
        write(root / MOUNTS / file, text.encode())
    for name in ("bottom", "top", "own", "own-init"):
        (root / f"overlay2/{name}/diff").mkdir(parents=True)
    return make_rest(root)


def make_rest(root: Path) -> Path:
    write(root / "containers/web/config.v2.json")
    (root / "volumes/data/_data").mkdir(parents=True)
    return root


def names(held: Inventory, roots: Roots) -> list[str]:
    return [one.text for one in whole.missing(held, roots)]


def test_a_chain_of_layers_is_named_as_the_specification_says() -> None:
    """`sha256:aa sha256:bb` by sha256sum; a real engine's are looked up in tests/system."""
    assert topmost(()) == ""
    assert topmost(("sha256:aa",)) == "sha256:aa"
    assert TOP == "sha256:b68ad689d6d1ec110ea1c13617437ad6f3766d4b3b309f6a603a222e07a0164f"


def test_a_whole_root_lacks_nothing(tmp_path: Path) -> None:
    assert names(HELD, Roots(make_graph(tmp_path))) == []


GRAPH: dict[str, list[str]] = {
    "containers/web/config.v2.json": ["container web has no record (containers/web/config.v2.json)"],
    f"{MOUNTS}/mount-id": ["container web has no layer of its own"],
    "overlay2/own/diff": ["container web has no layer (overlay2/own/diff)"],
    "overlay2/own-init/diff": ["container web has no layer (overlay2/own-init/diff)"],
    "overlay2/bottom/diff": [f"{one} has no layer (overlay2/bottom/diff)" for one in ("container web", "image app:1")],
    f"{LAYERS}/{BOTTOM[7:]}/cache-id": [f"{one} has no layer {BOTTOM}" for one in ("container web", "image app:1")],
    "image/overlay2/imagedb/content/sha256/1": [
        "image app:1 has no record (image/overlay2/imagedb/content/sha256/1)"],
    "volumes/data/_data": ["volume data has no directory (volumes/data)"],
}  # fmt: skip


@pytest.mark.parametrize("missing", GRAPH)
def test_what_a_driver_keeps_and_is_gone_is_named(tmp_path: Path, missing: str) -> None:
    place = make_graph(tmp_path) / missing
    place.rename(tmp_path / "away")
    assert names(HELD, Roots(tmp_path)) == GRAPH[missing]


@pytest.mark.parametrize("part", ["volumes", "volumes/data", "volumes/data/_data"])
def test_a_volume_that_is_elsewhere_is_not_missed(tmp_path: Path, part: str) -> None:
    """What a link of the administrator's says is a path of the host, and another one from here."""
    place = make_graph(tmp_path) / part
    place.rename(tmp_path / "away")
    place.symlink_to("/of/the/host/only")
    assert names(HELD, Roots(tmp_path)) == []


def test_what_no_restart_brings_back_is_not_looked_for(tmp_path: Path) -> None:
    fleeting = (container("once", auto_remove=True), replace(container("half"), status=Status.REMOVING))
    held = replace(HELD, containers=(*HELD.containers, *fleeting))
    assert names(held, Roots(make_graph(tmp_path))) == []


IN_STORE = replace(HELD, driver=OVERLAYFS.name, store="containerd", containers=(container("web"), container("stopped")))


def two(tmp_path: Path, *containers: str) -> Roots:
    root = make_rest(tmp_path / "docker")
    write(root / "containers/stopped/config.v2.json")
    return Roots(root, make_store(tmp_path / "containerd", *containers))


def test_a_whole_pair_of_roots_lacks_nothing(tmp_path: Path) -> None:
    assert names(IN_STORE, two(tmp_path, "web", "stopped")) == []


def test_a_container_that_the_engine_keeps_without_a_layer_is_named(tmp_path: Path) -> None:
    """Engine 29.5 and later: its record is there, the engine lists it, and no start of it can succeed."""
    assert names(IN_STORE, two(tmp_path, "web")) == ["container stopped has no snapshot"]


def test_what_is_the_engines_is_in_the_namespace_that_it_was_given(tmp_path: Path) -> None:
    """--containerd-namespace=shop, and another engine in the usual one."""
    roots = two(tmp_path, "web", "stopped")
    store = make_store(tmp_path / "shop", "web", "stopped", space="shop")
    assert names(IN_STORE, replace(roots, containerd=store, namespace="shop")) == []
    assert "container web has no snapshot" in names(IN_STORE, replace(roots, containerd=store))


STORE: dict[str, tuple[str, list[str]]] = {
    "its directory": (f"{PLACE}/snapshots/3", ["container stopped has no snapshot (3)"]),
    "the image's directory": (
        f"{PLACE}/snapshots/1",
        [f"{one} has no snapshot (1)" for one in ("container stopped", "container web", "image app:1")],
    ),
    "a blob": (f"{BLOBS}/sha256/1", [f"image app:1 has no content ({BLOBS}/sha256/1)"]),
}


@pytest.mark.parametrize("name", STORE)
def test_what_containerd_keeps_and_is_gone_is_named(tmp_path: Path, name: str) -> None:
    roots = two(tmp_path, "web", "stopped")
    assert roots.containerd
    missing, said = STORE[name]
    (roots.containerd / missing).rename(tmp_path / "away")
    assert names(IN_STORE, roots) == said


def test_an_image_that_containerd_does_not_know_is_named(tmp_path: Path) -> None:
    held = replace(IN_STORE, images={"sha256:1": "app:1", "sha256:2": ""})
    assert names(held, two(tmp_path, "web", "stopped")) == ["image 2 has no record in containerd's database"]


def test_a_blob_that_was_never_fetched_is_not_missed(tmp_path: Path) -> None:
    """Of an image for several platforms one is there, and the image may go by that one's name."""
    roots = two(tmp_path, "web", "stopped")
    assert roots.containerd
    ref = "containerd.io/gc.ref.content."
    blobs: Branches = {
        "sha256:1": {"size": b"\x08", "labels": {f"{ref}m.0": b"sha256:2", f"{ref}m.1": b"sha256:never"}},
        "sha256:2": {"size": b"\x08"},
    }
    moby: Branches = {"content": {"blob": blobs}, "images": {"app": {"target": {"digest": b"sha256:1"}}}}
    (roots.containerd / DATABASE).write_bytes(database({"v1": {"moby": moby}}))
    write(roots.containerd / BLOBS / "sha256/2", b"blob")
    for image in ("sha256:1", "sha256:2"):
        held = replace(IN_STORE, images={image: "app"}, containers=())
        assert names(held, roots) == []


@pytest.mark.parametrize("name", [DATABASE, f"{PLACE}/{SNAPSHOTS}"])
def test_a_database_that_is_none_is_no_proof(tmp_path: Path, name: str) -> None:
    roots = two(tmp_path, "web", "stopped")
    assert roots.containerd
    (roots.containerd / name).write_bytes(b"")
    (found,) = names(IN_STORE, roots)
    assert found.startswith("containerd's root has no database that can be read (")


def test_snapshots_are_looked_for_where_the_configuration_has_them(tmp_path: Path) -> None:
    roots = two(tmp_path, "web", "stopped")
    assert roots.containerd
    (roots.containerd / PLACE).rename(tmp_path / "elsewhere")
    assert names(IN_STORE, replace(roots, snapshots=tmp_path / "elsewhere")) == []


def test_what_was_missing_before_is_not_lost(tmp_path: Path) -> None:
    before, after = (Roots(make_graph(tmp_path / name)) for name in ("before", "after"))
    shutil.rmtree(after.data / "overlay2/own")
    assert [one.name for one in whole.lost(HELD, before, after)] == ["web"]
    shutil.rmtree(before.data / "overlay2/own")
    assert whole.lost(HELD, before, after) == ()


def test_what_comes_and_goes_under_an_engine_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is being written may be read half old, half new."""
    monkeypatch.setattr(whole, "BETWEEN", 0.0)
    seen: list[tuple[Lack, ...]] = [(Lack("container", "a", "a", "snapshot"),), ()]
    monkeypatch.setattr(whole, "_look", lambda _held, _roots: seen.pop(0))
    assert whole.missing(HELD, Roots(tmp_path), live=True) == ()
    assert seen == []


def test_what_was_removed_meanwhile_is_not_missing() -> None:
    lacks = [Lack(kind, key, key, "x") for kind, key in (("container", "web"), ("container", "gone"), ("image", "2"))]
    assert [one.key for one in whole.still(lacks, INVENTORY)] == ["web"]


def test_many_are_told_in_a_line() -> None:
    lacks = [Lack("volume", str(number), str(number), "directory") for number in range(7)]
    assert whole.told(lacks).endswith("volume 4 has no directory; and 2 more")

"""How a tree is cut: everything once, hard links together, the largest first."""

import os
from pathlib import Path

import pytest

from entrypoint.copy.looking import shards
from entrypoint.copy.looking.shards import Shards, cut


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGE_COUNT", 10)
    monkeypatch.setattr(shards, "SMALL_COUNT", 2)


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / str(number)).touch()
    return folder


def places(found: Shards) -> list[tuple[bytes, ...]]:
    return [shard.places for shard in found.shards]


def test_a_volume_is_a_shard_and_a_large_one_is_several(tmp_path: Path) -> None:
    fill(tmp_path / "volumes/a/_data", 5)
    for part in ("x", "y"):
        fill(tmp_path / "volumes/b/_data" / part, 9)
    found = cut(tmp_path, ())
    assert sorted(places(found)) == [(b"volumes/a",), (b"volumes/b/_data/x",), (b"volumes/b/_data/y",)]
    assert found.cut == [b"", b"volumes", b"volumes/b", b"volumes/b/_data"]


def test_the_largest_comes_first(tmp_path: Path) -> None:
    for name, count in (("a", 4), ("b", 9), ("c", 6)):
        fill(tmp_path / "volumes" / name, count)
    assert places(cut(tmp_path, ())) == [(b"volumes/b",), (b"volumes/c",), (b"volumes/a",)]


def test_small_ones_are_put_together(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / "containers" / name).mkdir(parents=True)
        (tmp_path / "volumes" / name).mkdir(parents=True)
    found = cut(tmp_path, ())
    assert len(found.shards) < 4
    assert sorted(place for group in places(found) for place in group) == [
        b"containers", b"volumes/a", b"volumes/b", b"volumes/c", b"volumes/d",
    ]  # fmt: skip


def test_volumes_that_share_a_file_are_one_shard(tmp_path: Path) -> None:
    for name in "abcd":
        fill(tmp_path / "volumes" / name, 5)
    os.link(tmp_path / "volumes/a/1", tmp_path / "volumes/c/linked")
    os.link(tmp_path / "volumes/c/2", tmp_path / "volumes/d/linked")
    assert sorted(places(cut(tmp_path, ()))) == [(b"volumes/a", b"volumes/c", b"volumes/d"), (b"volumes/b",)]


def test_a_file_that_a_shard_shares_with_a_directory_that_is_cut_is_told(tmp_path: Path) -> None:
    inode = (fill(tmp_path / "volumes/a", 5) / "1").stat().st_ino
    os.link(tmp_path / "volumes/a/1", tmp_path / "volumes/metadata")
    assert cut(tmp_path, ()).scattered == {inode}


def test_files_of_several_names_in_the_same_directories_share_what_is_kept_of_them(tmp_path: Path) -> None:
    """A volume of backups has millions of them."""
    (tmp_path / "volumes/b").mkdir(parents=True)
    fill(tmp_path / "volumes/a", 20)
    for place in (tmp_path / "volumes/a").iterdir():
        os.link(place, tmp_path / "volumes/b" / place.name)
    _, links, _ = shards.weigh(tmp_path, (), None)
    assert len(links) == 20
    assert {*links.values()} == {frozenset({b"volumes/a", b"volumes/b"})}
    assert len({*map(id, links.values())}) == 1


def test_what_is_left_out_is_in_no_shard(tmp_path: Path) -> None:
    for place in ("tmp", "overlay2/l/x", "overlay2/layer/diff", "overlay2/box/diff", "overlay2/box/merged"):
        fill(tmp_path / place, 3)
    found = cut(tmp_path, ("/tmp", "/overlay2/layer/diff", "/overlay2/*/merged"))
    assert sorted(place for group in places(found) for place in group) == [b"overlay2/box/diff", b"overlay2/l/x"]


def test_a_shard_is_known_again_by_its_places() -> None:
    one, other = shards.Shard((b"a", b"b"), 1, 1), shards.Shard((b"a", b"b"), 2, 2)
    assert one.key == other.key != shards.Shard((b"a",), 1, 1).key


def test_deep_trees_are_not_cut_without_end(tmp_path: Path) -> None:
    fill(tmp_path.joinpath("volumes", *"abcdefghijk"), 50)
    assert max(place.count(b"/") for group in places(cut(tmp_path, ())) for place in group) < shards.DEEPEST

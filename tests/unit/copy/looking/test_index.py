"""What an index says of directories and of what they hold, and that it says nothing unless it is whole."""

from array import array
from collections.abc import Iterable
from pathlib import Path

import pytest

from entrypoint.copy.looking import index
from entrypoint.copy.looking.index import INODES, Draft, Index, Whose
from entrypoint.copy.looking.marks import Places

WHOSE = Whose(12.5, 7 << 8, 2)


def note(draft: Draft, where: bytes, inode: int, files: Iterable[int] = (), folders: Iterable[int] = ()) -> None:
    draft.note(where, inode, array("Q", files), array("Q", folders))


def kept(draft: Draft, place: Path, places: Iterable[int] = ()) -> Index:
    assert draft.write(place, WHOSE, Places.of(places))
    found = Index.read(place, WHOSE)
    assert found is not None
    return found


def names(found: Index, *inodes: int) -> set[bytes]:
    return {found.name(number) for number in found.holding(inodes)}


def test_a_file_is_in_each_directory_that_holds_it_and_a_directory_is_itself(tmp_path: Path) -> None:
    draft = Draft()
    note(draft, b"", 2, [11, 12])
    note(draft, b"a", 20, [12, 13])
    note(draft, b"a/b", 21, [14])
    note(draft, b"c", 22)
    found = kept(draft, tmp_path / "index")
    assert names(found, 11) == {b""}
    assert names(found, 12) == {b"", b"a"}
    assert names(found, 14, 22) == {b"a/b", b"c"}
    assert names(found, 99) == set()
    assert names(found, 2, 20, 21) == {b"", b"a", b"a/b"}


def test_a_directory_that_comes_by_itself_has_its_whole_name(tmp_path: Path) -> None:
    """As one that is looked at once more, long after what is above it, or instead of that."""
    draft = Draft()
    order = [b"", b"a", b"a/b", b"a/b/c", b"d", b"a/b/e", b"x/y/z/deep", b"x/y/z/deep/er", b"d/f"]
    for number, name in enumerate(order):
        note(draft, name, 100 + number)
    found = kept(draft, tmp_path / "index")
    assert [found.name(number) for number in range(len(order))] == order


def test_many_come_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "AT_ONCE", 3)
    draft = Draft()
    note(draft, b"", 2, range(100, 30, -1))
    note(draft, b"a", 3, range(31, 101, 2))
    found = kept(draft, tmp_path / "index")
    assert list(found.entries) == sorted(found.entries)
    assert [names(found, inode) == {b"", b"a"} for inode in (30, 31, 32, 99, 100)] == [False, True, False, True, False]


def test_a_directory_with_another_one_that_was_not_looked_into_is_unsure(tmp_path: Path) -> None:
    draft = Draft()
    note(draft, b"", 2, [], [1001, 1002])
    note(draft, b"a", 3, [], [1003, 1004])
    note(draft, b"b", 4, [], [1005])
    found = kept(draft, tmp_path / "index", [1001, 1002, 1004, 1005])
    assert [found.name(number) for number in found.unsure] == [b"a"]


@pytest.mark.parametrize("whose", [Whose(12.4, 7 << 8, 2), Whose(12.5, 8 << 8, 2), Whose(12.5, 7 << 8, 3)])
def test_one_of_another_pass_or_root_says_nothing(tmp_path: Path, whose: Whose) -> None:
    draft = Draft()
    note(draft, b"", 2)
    kept(draft, tmp_path / "index")
    assert Index.read(tmp_path / "index", whose) is None


def test_one_that_is_cut_off_or_missing_says_nothing(tmp_path: Path) -> None:
    draft = Draft()
    note(draft, b"", 2, [5], [6])
    kept(draft, tmp_path / "index")
    whole = (tmp_path / "index").read_bytes()
    for end in range(len(whole)):
        (tmp_path / "index").write_bytes(whole[:end])
        assert Index.read(tmp_path / "index", WHOSE) is None
    (tmp_path / "index").unlink()
    assert Index.read(tmp_path / "index", WHOSE) is None


def test_numbers_that_do_not_fit_are_not_kept(tmp_path: Path) -> None:
    draft = Draft()
    note(draft, b"", 2, [1 << INODES])
    assert not draft.write(tmp_path / "index", WHOSE, Places())
    assert not (tmp_path / "index").exists()


def test_directories_in_a_circle_are_no_endless_name(tmp_path: Path) -> None:
    draft = Draft()
    note(draft, b"", 2)
    note(draft, b"a", 3)
    draft._above[1] = 1
    with pytest.raises(ValueError, match="later"):
        kept(draft, tmp_path / "index").name(1)


@pytest.mark.parametrize("name", [b"x" * 200 + b"/" + b"y" * 800, b"/".join([b"d"] * 101)])
def test_what_is_too_deep_is_left_to_a_walk(tmp_path: Path, name: bytes) -> None:
    draft = Draft()
    assert [draft.takes(one) for one in (b"", b"a/b", name, b"a/c")] == [True, True, False, False]
    assert not draft.write(tmp_path / "index", WHOSE, Places())

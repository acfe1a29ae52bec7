"""Where changes are looked for, and by what they are recognised."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from entrypoint.copy.looking.changes import DEEPEST, FORMAT, Change, changed_command
from entrypoint.copy.looking.left_out import NEVER_COPIED
from entrypoint.copy.looking.marks import Marks, Places


def found(root: Path, words: list[str]) -> list[bytes]:
    return sorted(Change.parse(record).name for record in subprocess.check_output(words, cwd=root).split(b"\0")[:-1])


def test_what_is_excluded_is_asked_by_its_last_name_first_and_of_nothing_deeper() -> None:
    excludes = ["/overlay2/a/diff", "/tmp", "/overlay2/b/diff", "/overlay2/*/merged"]
    assert changed_command(12.5, excludes) == [
        "env", "LC_ALL=C", "find", ".", "-maxdepth", str(DEEPEST), "-xdev",
        "-regextype", "posix-extended", "-not", "-path", "./*/*/*/*", "(",
        "-name", "diff", "-regex", "\\.(/overlay2/a/diff|/overlay2/b/diff)", "-prune", "-o",
        "-name", "tmp", "-regex", "\\.(/tmp)", "-prune", "-o",
        "-name", "merged", "-regex", "\\.(/overlay2/[^/]*/merged)", "-prune", ")", "-o",
        "(", "-newerct", "@12.500000", "-o", "-type", "d", "-inum", "256", ")", "-printf", FORMAT,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "a*b", "a?b", "a[b]c", "a\\b", "sp ace", "[!x]", "new\nline", "*"),
        *("a.b", "a+b", "(a)", "{1}", "^a$", "a|b", "\udcff\udcfe", "ä"),
    ],
)
def test_the_source_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    for place in ("tmp/a", "overlay2/abc/merged/a", "overlay2/abc/diff/srv/merged/a", "overlay2/abc/diff/merged/a"):
        (root / place).mkdir(parents=True)
    (root / "found\n").touch()
    (root / "link").symlink_to("found\n")
    names = found(root, changed_command(None, NEVER_COPIED))
    assert [name for name in names if name.endswith(b"/a")] == [
        b"overlay2/abc/diff/merged/a", b"overlay2/abc/diff/srv/merged/a",
    ]  # fmt: skip
    assert {b"found\n", b"link", b"overlay2"} < set(names)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 30])
def test_what_is_left_out_is_so_however_deep_it_lies(tmp_path: Path, depth: int) -> None:
    place = "a/" * depth + "covered"
    (tmp_path / place / "inside").mkdir(parents=True)
    (tmp_path / f"{place}-beside").mkdir()
    names = found(tmp_path, changed_command(None, [*NEVER_COPIED, f"/{place}"]))
    assert os.fsencode(f"{place}-beside") in names
    assert os.fsencode(place) not in names
    assert os.fsencode(f"{place}/inside") not in names


@pytest.mark.parametrize("inside", [b"a\nb", b"\xff", b"*", b"a.b"])
def test_a_star_is_any_one_name(tmp_path: Path, inside: bytes) -> None:
    for place in (b"overlay2/%s/merged/a" % inside, b"overlay2/%s/kept/merged/a" % inside):
        os.makedirs(os.fsencode(tmp_path) + b"/" + place)
    names = found(tmp_path, changed_command(None, NEVER_COPIED))
    assert [name for name in names if name.endswith(b"/a")] == [b"overlay2/%s/kept/merged/a" % inside]


def test_only_what_has_changed_is_found_and_directories_if_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    later = time.time() + 60
    assert found(tmp_path, changed_command(later, [])) == []
    assert found(tmp_path, changed_command(later, [], directories=True)) == [b"", b"folder"]
    assert found(tmp_path, changed_command(0.0, [])) == [b"", b"folder", b"folder/file"]


def test_marks_are_the_same_in_whichever_order_places_are_looked_at() -> None:
    names = [b"/".join([b"%d" % number + b"x" * 200] * 40) for number in range(3)]
    names += [name + more for name in names for more in (b"/a", b"/a/b", b"b", b"/a/c")]
    names += [b"", b"a", b"a/b"]
    one = {name: Places.mark(7, name) for name in names}
    assert len({*one.values()}) == len(names)
    for ordered in (names, names[::-1], sorted(names)):
        marks = Marks()
        assert {name: marks.mark(7, name) for name in ordered} == one
        assert {name: marks.place(name) for name in ordered} == {name: Marks().place(name) for name in names}


def test_a_place_is_a_name_and_an_inode_together(tmp_path: Path) -> None:
    places = Places.of([Places.mark(7, b"a"), Places.mark(8, b"b")])
    places.write(tmp_path / "places")
    read = Places.read(tmp_path / "places")
    assert [Places.mark(*one) in read for one in ((7, b"a"), (8, b"b"), (7, b"b"), (8, b"a"), (9, b"a"))] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_places_that_cannot_be_read_know_no_directory(tmp_path: Path) -> None:
    (tmp_path / "torn").write_bytes(b"123")
    for name in ("torn", "missing"):
        assert Places.mark(7, b"a") not in Places.read(tmp_path / name)

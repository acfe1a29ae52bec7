"""What the copier decides: when to stop, what to look at again, what to leave alone."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from entrypoint.copying import (
    NEVER_COPIED,
    SMALL_ENOUGH,
    Copied,
    Copier,
    changed_command,
    identity,
    is_enough,
    layer_command,
    remove_copy,
)
from entrypoint.errors import CopyError

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("sent", "before", "enough"),
    [
        (0, None, True),
        (SMALL_ENOUGH, None, True),
        (SMALL_ENOUGH + 1, None, False),
        (100 * MIB, 1000 * MIB, False),
        (800 * MIB, 1000 * MIB, False),
        (800 * MIB + 1, 1000 * MIB, True),
        (2000 * MIB, 1000 * MIB, True),
        (SMALL_ENOUGH, 1, True),
    ],
)
def test_passes_go_on_while_they_pay(sent: int, before: int | None, enough: bool) -> None:
    assert is_enough(sent, before) is enough


def test_files_are_looked_at_from_two_seconds_before_the_last_pass() -> None:
    now = time.time()
    assert Copied(frozenset(), now - 50, time.monotonic() - 50).racy_since() == now - 52


@pytest.mark.parametrize("set_by", [-3600.0, -1.5, 1.5, 3600.0])
def test_every_file_is_looked_at_if_the_clock_was_set(set_by: float) -> None:
    assert Copied(frozenset(), time.time() - 50 + set_by, time.monotonic() - 50).racy_since() == 0.0


def test_a_clock_that_is_slewed_a_little_is_trusted() -> None:
    since = time.time() - 50 + 0.5
    assert Copied(frozenset(), since, time.monotonic() - 50).racy_since() == since - 2


def test_a_layer_is_copied_with_everything_it_holds() -> None:
    assert layer_command(Path("/a b"), Path("/-c"), link=False) == [
        "cp", "-a", "--one-file-system", "--remove-destination", "--reflink=auto", "-T", "--", "/a b", "/-c",
    ]  # fmt: skip


def test_a_layer_on_the_same_file_system_is_linked() -> None:
    assert layer_command(Path("/a"), Path("/b"), link=True) == [
        "cp", "-a", "--one-file-system", "--remove-destination", "--link", "-T", "--", "/a", "/b",
    ]  # fmt: skip


def test_changed_files_are_found_outside_what_is_excluded() -> None:
    command = changed_command(Path("/old"), 12.5, ["/tmp", "/overlay2/a/diff"])
    assert command == [
        "find", "/old", "-xdev",
        "(", "-path", "/old/tmp", "-o", "-path", "/old/overlay2/a/diff", ")", "-prune", "-o",
        "-type", "f", "-newerct", "@12.500000", "-printf", "./%P\\0",
    ]  # fmt: skip


def test_an_asterisk_among_what_is_excluded_stands_for_one_name() -> None:
    assert changed_command(Path("/o*d"), 0.0, ["/overlay2/*/merged", "/tmp"])[3:-7] == [
        "(", "-path", "/o\\*d/overlay2/*/merged", "!", "-path", "/o\\*d/overlay2/*/*/merged", "-o",
        "-path", "/o\\*d/tmp", ")", "-prune",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain", "a*b", "a?b", "a[b]c", "a\\b", "sp ace", "[!x]", "new\nline"])
def test_the_source_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    (root / "tmp").mkdir(parents=True)
    (root / "tmp/excluded").touch()
    (root / "found\n").touch()
    (root / "link").symlink_to("found\n")
    found = subprocess.run(changed_command(root, 0.0, ["/tmp"]), check=True, capture_output=True).stdout
    assert found == b"./found\n\0"


def test_files_that_have_not_changed_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert subprocess.check_output(changed_command(tmp_path, time.time() + 60, ["/tmp"])) == b""


@pytest.mark.parametrize("name", ["plain", "a*b", "a?b", "a[b]c", "a\\b", "*"])
def test_a_directory_called_merged_deep_inside_a_container_is_not_left_out(tmp_path: Path, name: str) -> None:
    for place in ("overlay2/abc/merged", "overlay2/abc/diff/srv/merged", "overlay2/abc/diff/merged"):
        (tmp_path / name / place).mkdir(parents=True)
        (tmp_path / name / place / "file").touch()
    found = subprocess.check_output(changed_command(tmp_path / name, 0.0, NEVER_COPIED))
    assert sorted(found.split(b"\0")[:-1]) == [
        b"./overlay2/abc/diff/merged/file", b"./overlay2/abc/diff/srv/merged/file",
    ]  # fmt: skip


def make_layer(root: Path, cache_id: str, *, with_diff: bool = True) -> None:
    entry = root / "image/overlay2/layerdb/sha256" / f"chain-{cache_id}"
    entry.mkdir(parents=True)
    (entry / "cache-id").write_text(cache_id)
    (entry / "size").write_text("1")
    if with_diff:
        (root / "overlay2" / cache_id / "diff").mkdir(parents=True)


def test_only_layers_that_were_copied_and_still_exist_are_left_alone(tmp_path: Path) -> None:
    make_layer(tmp_path, "b1")
    make_layer(tmp_path, "a1")
    make_layer(tmp_path, "new")
    make_layer(tmp_path, "lost", with_diff=False)
    copier = Copier(tmp_path, tmp_path / "target", same_file_system=False)
    assert copier.excludes(["b1", "a1", "vanished", "lost"]) == (
        *NEVER_COPIED, "/overlay2/a1/diff", "/overlay2/b1/diff",
    )  # fmt: skip


def test_what_was_copied_is_read_as_it_was_stored() -> None:
    copied = Copied(frozenset({"a", "b"}), 1.5, 2.5, (2**40, 2**60))
    assert Copied.from_json(json.loads(json.dumps(copied.to_json()))) == copied


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Copier, Copied]:
    """A copy of two layers, one of which the database no longer names."""
    source, target = tmp_path / "source", tmp_path / "target"
    for root in (source, target):
        make_layer(root, "a1")
    make_layer(target, "removed")
    return Copier(source, target, same_file_system=False), Copied(
        frozenset({"a1", "removed"}), 0.0, 0.0, identity(target)
    )


def test_a_target_that_is_as_it_was_is_gone_on_with(copy: tuple[Copier, Copied]) -> None:
    copier, copied = copy
    copier.require_target(copied)
    (copier.target / "overlay2/removed/diff").rmdir()  # it is not trusted: the final sync deletes what is left
    copier.require_target(copied)


def test_another_directory_in_the_targets_place_is_not_written_to(copy: tuple[Copier, Copied]) -> None:
    copier, copied = copy
    copier.target.rename(copier.target.parent / "elsewhere")
    with pytest.raises(CopyError, match="not the directory"):
        copier.require_target(copied)
    make_layer(copier.target, "a1")
    with pytest.raises(CopyError, match="not the directory"):
        copier.require_target(copied)


def test_a_layer_that_is_not_looked_at_again_must_still_be_there(copy: tuple[Copier, Copied]) -> None:
    copier, copied = copy
    (copier.target / "overlay2/a1/diff").rmdir()
    with pytest.raises(CopyError, match="Layers are missing") as failed:
        copier.require_target(copied)
    assert failed.value.details == "a1"


def test_a_removed_copy_leaves_the_directory_and_lost_and_found(tmp_path: Path) -> None:
    for folder in ("lost+found", "overlay2/a/diff", "volumes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "-rf").touch()
    (tmp_path / "link").symlink_to("/nowhere")
    remove_copy(tmp_path)
    assert [place.name for place in tmp_path.iterdir()] == ["lost+found"]

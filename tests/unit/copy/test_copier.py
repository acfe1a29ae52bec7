"""What the copier decides: when to stop, what to look at again, what to leave alone."""

import json
import time
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import (
    SMALL_ENOUGH,
    Copier,
    identity,
    is_enough,
)
from entrypoint.copy.looking.left_out import NEVER_COPIED
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.move.roots.discard import remove_copy

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


def test_files_are_looked_at_from_half_a_minute_before_the_last_pass() -> None:
    now = time.time()
    assert Copied(frozenset(), now - 50, time.monotonic() - 50).racy_since() == now - 80


@pytest.mark.parametrize("set_by", [-3600.0, -1.5, 1.5, 3600.0])
def test_every_file_is_looked_at_if_the_clock_was_set(set_by: float) -> None:
    assert Copied(frozenset(), time.time() - 50 + set_by, time.monotonic() - 50).racy_since() == 0.0


def test_a_clock_that_is_slewed_a_little_is_trusted() -> None:
    since = time.time() - 50 + 0.5
    assert Copied(frozenset(), since, time.monotonic() - 50).racy_since() == since - 30


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
    named = (f"overlay2/{name}/diff" for name in ("b1", "a1", "vanished", "lost"))
    assert copier.excludes(named) == (
        *NEVER_COPIED, "/overlay2/a1/diff", "/overlay2/b1/diff",
    )  # fmt: skip


def test_what_was_copied_is_read_as_it_was_stored() -> None:
    copied = Copied(frozenset({"a", "b"}), 1.5, 2.5, (2**40, 2**60))
    assert from_json(Copied, json.loads(json.dumps(to_json(copied)))) == copied


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Copier, Copied]:
    """A copy of two layers, one of which the database no longer names."""
    source, target = tmp_path / "source", tmp_path / "target"
    for root in (source, target):
        make_layer(root, "a1")
    make_layer(target, "removed")
    return Copier(source, target, same_file_system=False), Copied(
        frozenset({"overlay2/a1/diff", "overlay2/removed/diff"}), 0.0, 0.0, identity(target)
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


def test_no_pass_is_made_over_what_is_where_the_copy_was(copy: tuple[Copier, Copied]) -> None:
    """Its disk may be unmounted for days, and its place is a directory of the host's own disk."""
    copier, copied = copy
    (copier.source / "volumes").mkdir()
    copier.target.rename(copier.target.parent / "elsewhere")
    copier.target.mkdir()
    with pytest.raises(CopyError, match="not the directory"):
        copier.onward(copied)
    assert list(copier.target.iterdir()) == []


def test_a_layer_that_is_not_looked_at_again_must_still_be_there(copy: tuple[Copier, Copied]) -> None:
    copier, copied = copy
    (copier.target / "overlay2/a1/diff").rmdir()
    with pytest.raises(CopyError, match="Layers are missing") as failed:
        copier.require_target(copied)
    assert failed.value.details == "overlay2/a1/diff"


def test_a_removed_copy_leaves_the_directory_and_lost_and_found(tmp_path: Path) -> None:
    for folder in ("lost+found", "overlay2/a/diff", "volumes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "-rf").touch()
    (tmp_path / "link").symlink_to("/nowhere")
    remove_copy(tmp_path)
    assert [place.name for place in tmp_path.iterdir()] == ["lost+found"]


def test_a_pass_that_began_in_the_future_is_no_measure() -> None:
    """The clock was set back between two attempts, before this one's pass was noted."""
    assert Copied(frozenset(), time.time() + 50, time.monotonic() + 50).racy_since() == 0.0

"""What changes places while it is copied and compared: two directories, whose files keep their times and ctimes."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console import events
from entrypoint.console.errors import CopyError
from entrypoint.copy import confirmation
from entrypoint.copy import copied as copied_module
from entrypoint.copy.copied import Copied
from entrypoint.copy.looking.changes import Look
from entrypoint.copy.looking.comparison import Comparison, Difference
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.transfer import Transfer
from entrypoint.host.disks.stored import from_json, to_json
from tests.integration.copy.test_copier import wait_for_the_clock
from tests.unit.support.data_root import VOLUME, Roots, make_roots, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="copies owners")

TICK = 0.1


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    """Two directories with the same names in them, long enough ago for nothing to count as changed."""
    monkeypatch.setattr(copied_module, "RACY", 0.02)
    roots = make_roots(tmp_path)
    for name in ("left", "right"):
        write(roots.source / VOLUME / name / "inner/same", name.encode())
        write(roots.source / VOLUME / name / "inner" / name)
    os.link(roots.source / VOLUME / "left/inner/same", roots.source / VOLUME / "other-name")
    wait_for_the_clock(tmp_path / "probe", TICK)
    return roots


def exchange(roots: Roots) -> None:
    one, other, aside = (roots.source / VOLUME / name for name in ("left", "right", "aside"))
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


class At(io.StringIO):
    """A log that does something once, as soon as it is told of an event."""

    def __init__(self, event: str, act: Callable[[], None]) -> None:
        super().__init__()
        self.event, self.acts = f'"{event}"', [act]

    def write(self, text: str) -> int:
        if self.event in text and self.acts:
            self.acts.pop()()
        return super().write(text)


def ended(roots: Roots, copied: Copied) -> None:
    roots.copier.final_sync(copied)
    roots.copier.check(copied)
    roots.require_equal_surveys()


def test_what_was_at_its_place_before_and_after_the_comparison_but_not_during_it_is_looked_into(roots: Roots) -> None:
    events.configure(At("pass.finished", lambda: exchange(roots)))
    copied = roots.pre_copy()
    exchange(roots)
    ended(roots, copied)


@pytest.mark.parametrize("names", [("twin",), ("twin", "lasting")], ids=["all of it", "with a file that is lost"])
def test_what_differs_in_its_content_alone_is_copied_from_where_it_is(
    roots: Roots, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A comparison tells no such files apart, as of two versions whose files all have the same time. What is lost in
    the copy meanwhile has them looked at once more."""
    for side in ("left", "right"):
        (roots.source / VOLUME / side / "inner" / side).unlink()
        for name in ("same", *names):
            place = write(roots.source / VOLUME / side / "inner" / name, f"{side:5}{name}".encode())
            os.utime(place, (1, 1))
    wait_for_the_clock(tmp_path / "probe", TICK)

    def act() -> None:
        exchange(roots)
        (roots.target / VOLUME / "left/inner/lasting").unlink(missing_ok=True)

    events.configure(At("pass.finished", act))
    ended(roots, roots.pre_copy())


def test_what_is_elsewhere_when_it_is_compared_again_does_not_end_the_copy(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Transfer.apply_names

    def then_exchange(transfer: Transfer, *arguments: object) -> object:
        sent = real(transfer, *arguments)  # type: ignore[arg-type]
        exchange(roots)
        return sent

    monkeypatch.setattr(Transfer, "apply_names", then_exchange)
    events.configure(At("pass.finished", lambda: exchange(roots)))
    copied = roots.pre_copy()
    assert any("left/inner" in place for place in copied.doubtful)
    assert from_json(Copied, to_json(copied)) == copied
    ended(roots, copied)


def test_a_directory_that_cannot_be_looked_into_for_a_moment_is_looked_into_in_the_end(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is in is a link while it would be compared, and the copy has lost a file of it."""
    place, real = roots.source / VOLUME / "left", Comparison.directory

    def away(comparison: Comparison, where: bytes, todo: list[bytes] | None = None) -> "list[Difference]":
        is_it = where.endswith(b"left/inner")
        if is_it and comparison.live:
            (roots.target / VOLUME / "left/inner/same").unlink(missing_ok=True)
            place.rename(place.with_name("aside"))
            place.symlink_to("/etc")
        found = [*real(comparison, where, todo)]
        if is_it and comparison.live:
            place.unlink()
            place.with_name("aside").rename(place)
        return found

    monkeypatch.setattr(Comparison, "directory", away)
    copied = roots.pre_copy()
    assert f"{VOLUME}/left/inner" in copied.doubtful
    ended(roots, copied)


def test_what_differs_and_has_not_changed_nor_moved_ends_the_copy(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is lost each time it was copied is none that changes."""
    real = Transfer.apply_names

    def then_lose(transfer: Transfer, *arguments: object) -> object:
        sent = real(transfer, *arguments)  # type: ignore[arg-type]
        (roots.target / VOLUME / "left/inner/same").unlink()
        return sent

    monkeypatch.setattr(Transfer, "apply_names", then_lose)
    events.configure(At("pass.finished", lambda: (roots.target / VOLUME / "left/inner/same").unlink()))
    with pytest.raises(CopyError, match="does not hold"):
        roots.pre_copy()


def test_a_directory_that_is_renamed_keeps_the_links_to_what_it_holds(roots: Roots) -> None:
    """The other name has not changed, nor what it stands for."""
    copied = roots.pre_copy()
    (roots.source / VOLUME / "left").rename(roots.source / VOLUME / "renamed")
    ended(roots, copied)


def test_a_link_that_was_lost_with_a_renamed_directory_is_found(roots: Roots) -> None:
    copied = roots.pre_copy()
    (roots.source / VOLUME / "left").rename(roots.source / VOLUME / "renamed")
    roots.copier.final_sync(copied)
    part(roots.target / VOLUME / "other-name")
    with pytest.raises(CopyError, match="does not hold"):
        roots.copier.check(copied)


def test_too_many_doubts_become_few(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmation, "MOST", 3)
    look = roots.copier.look(Copied(frozenset(), 0.0, 0.0), Places(), live=True)
    one = confirmation.Confirmation(roots.source, roots.target, look, roots.copier.programs)
    for number in range(5):
        one._doubt(b"volumes/a/_data/%d/1/2/3/4/5" % number)
    assert one._doubts == {b"volumes/a/_data", b"volumes/a/_data/4/1/2"}


def test_a_name_that_is_elsewhere_while_its_file_is_linked_again_is_linked_in_the_end(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One name of a file is found to differ and the others are linked to it, but for that in a directory which is away
    just then, and comes back to where it was seen to be equal. Nothing of that file has a new ctime."""
    place, real = roots.source / VOLUME / "left", Transfer.apply_names
    other = f"{VOLUME}/other-name"

    def without_it(transfer: Transfer, _names: object, look: Look) -> object:
        place.rename(place.with_name("aside"))
        sent = real(transfer, [os.fsencode(other)], look)  # whichever was looked at last is the one that differs
        place.with_name("aside").rename(place)
        return sent

    monkeypatch.setattr(Transfer, "apply_names", without_it)
    events.configure(At("pass.finished", lambda: part(roots.target / other)))
    copied = roots.pre_copy()
    assert (roots.source / other).stat().st_ino in copied.linked
    assert from_json(Copied, to_json(copied)) == copied
    ended(roots, copied)


def part(name: Path) -> None:
    """Make of one name of a file a file of its own, with all that the file has."""
    shutil.copy2(name, name.with_name("new"))
    name.with_name("new").rename(name)


def test_names_of_one_file_are_compared_that_the_pre_copy_has_seen_apart(roots: Roots) -> None:
    copied = roots.pre_copy()
    inode = (roots.source / VOLUME / "other-name").stat().st_ino
    part(roots.target / VOLUME / "other-name")
    copier, doubted = roots.copier, replace(copied, linked=(inode,))
    with pytest.raises(CopyError, match="does not hold"):
        copier.check(doubted)
    copier.final_sync(doubted)
    copier.check(doubted)
    roots.require_equal_surveys()


def test_what_was_equal_before_another_was_copied_to_its_place_is_not_known(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are exchanged while they are compared, back when the copy is mended, and exchanged again: what was looked
    into, and what is in the copy by then, are two."""
    real = Transfer.apply_names

    def first_exchange(transfer: Transfer, *arguments: object) -> object:
        exchange(roots)
        return real(transfer, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Transfer, "apply_names", first_exchange)
    events.configure(At("pass.finished", lambda: exchange(roots)))
    copied = roots.pre_copy()
    exchange(roots)
    ended(roots, copied)


def test_what_is_in_a_directory_that_was_away_while_all_was_compared_is_looked_into(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is back when the copy is mended, and equal itself; what a pass has left out in it has no new ctime."""
    place, real = roots.source / VOLUME / "right", Transfer.apply_names

    def back(transfer: Transfer, *arguments: object) -> object:
        place.with_name("aside").rename(place)
        return real(transfer, *arguments)  # type: ignore[arg-type]

    def away() -> None:
        inner = roots.target / VOLUME / "right/inner"
        times = inner.stat()
        (inner / "right").unlink()
        os.utime(inner, ns=(times.st_atime_ns, times.st_mtime_ns))
        place.rename(place.with_name("aside"))

    monkeypatch.setattr(Transfer, "apply_names", back)
    events.configure(At("pass.finished", away))
    ended(roots, roots.pre_copy())


def test_a_directory_that_was_dressed_as_another_gets_its_own_times_in_the_end(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something was removed from it while another was at its place: its times are compared by what is above it."""
    real, inner = Transfer.apply_names, roots.target / VOLUME / "left/inner"

    def between(transfer: Transfer, *arguments: object) -> object:
        exchange(roots)
        sent = real(transfer, *arguments)  # type: ignore[arg-type]
        exchange(roots)
        return sent

    def add() -> None:
        times = inner.stat()
        (inner / "extra").touch()
        os.utime(inner, ns=(times.st_atime_ns, times.st_mtime_ns))

    monkeypatch.setattr(Transfer, "apply_names", between)
    events.configure(At("pass.finished", add))
    ended(roots, roots.pre_copy())

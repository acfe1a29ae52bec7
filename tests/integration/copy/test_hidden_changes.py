"""A change that the clock hides: it was set back when the file was changed, and forward again. No clock is set here:
the file's times are, behind the kernel's back, to what they would be then."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrypoint.copy.copied import Copied
from entrypoint.journal.unfinished import Unfinished
from tests.hosts import Disk
from tests.unit.support.data_root import VOLUME, Roots, make_roots

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

BEFORE = "20200101000000"
CHANGED = b"changed"
FILE = f"{VOLUME}/owned"


@dataclass
class Hidden:
    """A copy whose source has a change that has the time of long before the last pass."""

    roots: Roots
    copied: Copied

    @property
    def is_copied(self) -> bool:
        return (self.roots.target / FILE).read_bytes() == CHANGED


@pytest.fixture
def hidden() -> Iterator[Hidden]:
    with Disk("256M", "ext4") as disk:
        with disk.mounted() as point:
            (point / "x").mkdir()
            roots = make_roots(point / "x")
            copied = roots.pre_copy()
            (roots.source / FILE).write_bytes(CHANGED)
            inside = Path("/", (roots.source / FILE).relative_to(point))
        for field in ("ctime", "mtime"):
            subprocess.run(["debugfs", "-w", "-R", f'set_inode_field "{inside}" {field} {BEFORE}', disk.device],
                           check=True, capture_output=True)  # fmt: skip
        with disk.mounted():
            yield Hidden(roots, copied)


def test_without_the_timer_nothing_sees_it(hidden: Hidden) -> None:
    """This is why there is one; should a look by times find it some day, the timer can go."""
    hidden.roots.copier.final_sync(hidden.copied)
    hidden.roots.copier.check(hidden.copied)
    assert not hidden.is_copied


def with_set_clock(copied: Copied) -> Copied:
    """As if the kernel had told of it since."""
    return replace(copied, sets=copied.sets - 1)


def test_it_is_copied_with_the_engine_up_when_the_clock_was_set(hidden: Hidden) -> None:
    again = hidden.roots.copier.again(with_set_clock(hidden.copied))
    assert hidden.is_copied
    assert not again.clock_was_set
    hidden.roots.copier.final_sync(again)
    hidden.roots.require_equal(again)


def test_it_is_copied_by_the_final_sync_when_the_clock_was_set_as_the_engine_went_down(hidden: Hidden) -> None:
    hidden.roots.copier.final_sync(with_set_clock(hidden.copied).settle())
    assert hidden.is_copied


@pytest.mark.parametrize(("step", "is_seen"), [(0.0, False), (2.0, True), (-2.0, True)])
def test_it_is_copied_by_the_next_attempt_if_the_clock_was_set_between_the_two(step: float, is_seen: bool) -> None:
    """Also if its size and its time are what they were, so that no comparison finds it; without the step nothing is."""
    with Disk("256M", "ext4") as disk:
        with disk.mounted() as point:
            (point / "x").mkdir()
            roots = make_roots(point / "x")
            file = roots.source / FILE
            file.write_bytes(CHANGED[::-1])
            os.utime(file, (0, 0))
            roots.pre_copy()
            file.write_bytes(CHANGED)
            os.utime(file, (0, 0))
            inside = Path("/", file.relative_to(point))
        subprocess.run(["debugfs", "-w", "-R", f'set_inode_field "{inside}" ctime {BEFORE}', disk.device],
                       check=True, capture_output=True)  # fmt: skip
        with disk.mounted():
            record = Unfinished.read(roots.target)
            assert record is not None
            assert record.clock is not None
            assert record.shards
            roots.copier.pre_copy(replace(record, clock=record.clock._replace(ahead=record.clock.ahead + step)))
            assert ((roots.target / FILE).read_bytes() == CHANGED) is is_seen

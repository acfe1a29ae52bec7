"""Pre-copy and final sync with the real cp and find: the target holds all that the source holds, and what
changes while the passes run is not missed."""

import io
import mmap
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console import events, progress
from entrypoint.console import events as logging
from entrypoint.console.errors import CopyError, RelocatorError
from entrypoint.copy import bulk, content
from entrypoint.copy import copier as copying
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking import changes
from entrypoint.copy.looking.comparison import Comparison
from entrypoint.engine.drivers import MOVED
from entrypoint.engine.drivers.driver import Driver
from entrypoint.host.disks import filesystem
from entrypoint.journal import unfinished
from tests.hosts.survey import compare
from tests.unit.support.data_root import (
    CONTAINER,
    LAYER,
    VOLUME,
    Roots,
    add_layer,
    begun,
    fill,
    make_roots,
    unseen_write,
    write,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, owners and trusted attributes")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return make_roots(tmp_path)


def test_a_quiet_root_is_copied_with_everything_it_holds(roots: Roots) -> None:
    before = roots.look(roots.source)
    copied = roots.pre_copy()
    assert copied.layers == {"overlay2/layer1/diff", "overlay2/layer2/diff"}
    differences = list(Comparison(roots.source, roots.target, roots.copier.excludes(())).differences())
    assert len(differences) == 1  # the record of the copy gave the target's own directory another time
    assert "the data root itself" in str(differences[0])
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert not compare(before, roots.look(roots.source))


def test_a_terminal_is_told_what_takes_long_after_the_copy(
    roots: Roots, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    logging.configure(human=True)
    roots.pre_copy()
    logging.configure()
    shown = capsys.readouterr().out
    for what in ("flushing what was copied", "looking for what has changed", "comparing the copy with the source"):
        assert f"  {what}" in shown


def test_a_copy_that_is_gone_on_with_is_told_from_where_it_is_to_its_end(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a whole attempt all but the files in no shard is there: what is told first is nearly the end."""
    roots.pre_copy()
    record = unfinished.Unfinished.read(roots.target)
    assert record is not None
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "EVERY", 0.0)
    logging.configure(stream := io.StringIO(), human=True)
    roots.copier.pre_copy(record)
    logging.configure()
    told = [int(one) for one in re.findall(r"(\d+) %", stream.getvalue())]
    assert told[-1] == 100
    assert 50 < told[0] < 100, told
    assert 100 not in told[:-1]


@pytest.mark.parametrize(("boot", "is_whole"), [("another", True), ("", False)])
def test_what_may_not_have_been_on_the_disk_is_copied_again_in_another_boot(
    roots: Roots, monkeypatch: pytest.MonkeyPatch, boot: str, is_whole: bool
) -> None:
    """By its size and times a layer is whole, though the power was cut before its content was written."""
    roots.pre_copy()
    unseen_write(roots.target / LAYER / "first")
    record = unfinished.Unfinished.read(roots.target)
    assert record is not None
    record = replace(record, layers=(), boot=boot or record.boot)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bulk.Bulk, "copy", interrupt)
        roots.copier.pre_copy(record)
    again = unfinished.Unfinished.read(roots.target)
    assert again is not None
    roots.copier.pre_copy(again)
    one, other = (root / LAYER / "first" for root in (roots.source, roots.target))
    assert (one.read_bytes() == other.read_bytes()) is is_whole


def interrupt(_bulk: bulk.Bulk) -> unfinished.Unfinished:
    raise KeyboardInterrupt


@pytest.mark.parametrize("driver", MOVED, ids=lambda driver: driver.name)
def test_layers_are_copied_once_and_containers_to_the_end_whatever_the_driver(tmp_path: Path, driver: Driver) -> None:
    roots = make_roots(tmp_path, driver.name)
    copied = roots.pre_copy()
    assert copied.layers == {driver.content(name) for name in ("layer1", "layer2")}
    unseen_write(roots.source / driver.content("container") / "first")
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    unseen_write(roots.source / driver.content("container") / "first")
    with pytest.raises(CopyError, match="does not hold"):
        roots.copier.check(copied, content=True)


@pytest.mark.parametrize("driver", MOVED, ids=lambda driver: driver.name)
def test_layers_are_linked_on_the_same_file_system_and_what_containers_write_is_not(
    tmp_path: Path, driver: Driver
) -> None:
    roots = make_roots(tmp_path, driver.name)
    linked = replace(roots, same_file_system=True)
    copied = linked.pre_copy()
    linked.copier.final_sync(copied)
    linked.copier.check(copied)
    for name, is_one in (("layer1", True), ("container", False)):
        ours, theirs = (root / driver.content(name) / "first" for root in (roots.source, roots.target))
        assert ours.samefile(theirs) is is_one, name


@pytest.mark.parametrize("driver", MOVED, ids=lambda driver: driver.name)
def test_a_layer_that_is_lost_from_the_copy_is_missed(tmp_path: Path, driver: Driver) -> None:
    roots = make_roots(tmp_path, driver.name)
    copied = roots.pre_copy()
    shutil.rmtree(roots.target / driver.content("layer2"))
    with pytest.raises(CopyError, match="missing"):
        roots.copier.require_target(copied)


def test_the_copy_is_known_by_its_directory_and_its_layers(roots: Roots) -> None:
    copied = roots.pre_copy()
    status = roots.target.stat()
    assert copied.target == (status.st_dev, status.st_ino)
    roots.copier.require_target(copied)
    roots.copier.final_sync(copied)
    roots.copier.require_target(copied)
    (roots.target / LAYER).rename(roots.target / "elsewhere")
    with pytest.raises(CopyError, match="Layers are missing"):
        roots.copier.require_target(copied)


def test_a_mapped_page_that_was_dirty_when_it_was_copied_is_not_missed(roots: Roots) -> None:
    """A second write to it leaves the file's times alone: a database does that for as long as it has a file open."""

    def flush_source(path: Path, *_: object) -> None:
        if path.samefile(roots.source):  # also where it is confined
            filesystem.flush(path)

    place = roots.source / VOLUME / "mapped"
    place.write_bytes(bytes(mmap.PAGESIZE))
    with place.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as page:
        page[0] = 1
        dirtied = place.stat().st_ctime_ns
        page[0] = 2
        assert place.stat().st_ctime_ns == dirtied  # the kernel's way, without which this test shows nothing
        with pytest.MonkeyPatch.context() as patch:
            for module in (copying, bulk):  # two disks: a flush of the target's leaves the source's pages dirty
                patch.setattr(module, "flush", flush_source)
            patch.setattr("entrypoint.copy.copied.RACY", 0.02)
            time.sleep(0.1)  # the file's time is older than the pass by more than a tick of its clock
            copied = roots.pre_copy()
            page[0] = 3
            roots.copier.final_sync(copied)
    assert (roots.target / VOLUME / "mapped").read_bytes()[0] == 3
    roots.require_equal(copied)


def test_what_the_engine_makes_anew_is_not_copied(roots: Roots) -> None:
    roots.copier.final_sync(roots.pre_copy())
    places = ("tmp", "runtimes", "overlay2/backingFsBlockDev", "volumes/backingFsBlockDev", "overlay2/container/merged")
    assert [place for place in places if (roots.target / place).exists()] == []


def test_on_the_same_file_system_layers_are_linked_and_nothing_else_is(roots: Roots) -> None:
    roots = Roots(roots.source, roots.target, same_file_system=True)
    before = roots.look(roots.source)
    copied = roots.pre_copy()
    roots.copier.final_sync(copied)
    roots.require_equal(copied)
    assert not compare(before, roots.look(roots.source))
    assert (roots.source / LAYER / "first").samefile(roots.target / LAYER / "first")
    for place in (VOLUME, CONTAINER):
        assert not (roots.source / place / "first").samefile(roots.target / place / "first")
    assert not (roots.source / "overlay2/layer1/link").samefile(roots.target / "overlay2/layer1/link")


def test_an_empty_root_is_copied(tmp_path: Path) -> None:
    events.configure(io.StringIO())
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o711)
    target.mkdir()
    copier = Copier(source, target, same_file_system=False)
    copier.final_sync(copier.pre_copy(begun()))
    assert {place.name for place in target.iterdir()} - {unfinished.INDEX} == {unfinished.NAME, unfinished.PLACES}
    assert stat.S_IMODE(target.stat().st_mode) == 0o711


# --- while the passes run -----------------------------------------------------------------------------------------

Change = Callable[[Path], None]


def change_unseen(root: Path) -> None:
    for name in ("immense", "first", "sparse"):
        unseen_write(root / VOLUME / name)


def append(root: Path) -> None:
    with (root / VOLUME / "first").open("ab") as file:
        file.write(b"more")


def delete(root: Path) -> None:
    for name in ("immense", "fifo", "sub/second"):
        (root / VOLUME / name).unlink()


def rename(root: Path) -> None:
    (root / VOLUME / "immense").rename(root / VOLUME / "sub/immense")
    (root / VOLUME / "odd").rename(root / VOLUME / "odder")


def layer_appears(root: Path) -> None:
    fill(add_layer(root, "layer3"))


class Between(io.StringIO):
    """A log that does something as soon as it is told that a pass is finished; so it happens between two passes."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.acts = [act]

    def write(self, text: str) -> int:
        if '"pass.finished"' in text and self.acts:
            self.acts.pop()()
        return super().write(text)


def wait_for_the_clock(probe: Path, seconds: float) -> None:
    """Until the file system's clock has gone on so far."""
    probe.touch()
    began = probe.stat().st_ctime
    while probe.stat().st_ctime < began + seconds:
        probe.touch()


@pytest.mark.parametrize("change", [append, delete, rename, layer_appears])
def test_no_change_between_two_passes_is_missed(roots: Roots, change: Change) -> None:
    events.configure(Between(lambda: change(roots.source)))
    copied = roots.pre_copy()
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


def test_no_unseen_change_long_before_the_last_pass_is_missed(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "entrypoint.copy.copied.RACY", 0.05
    )  # a pass over a large root takes minutes, one over this root takes none

    def act() -> None:
        change_unseen(roots.source)
        wait_for_the_clock(tmp_path / "probe", 0.2)

    events.configure(Between(act))
    copied = roots.pre_copy()
    roots.copier.final_sync(copied)
    roots.require_equal_surveys()


@pytest.mark.parametrize("name", ["#hash", ";semi"])
def test_no_unseen_change_of_a_file_at_the_top_is_missed(roots: Roots, name: str) -> None:
    place = write(roots.source / name)
    copied = roots.pre_copy()
    unseen_write(place)
    roots.copier.final_sync(copied)
    roots.require_equal_surveys()


def test_no_unseen_change_below_a_directory_called_merged_is_missed(roots: Roots) -> None:
    place = write(roots.source / CONTAINER / "srv/merged/file")
    copied = roots.pre_copy()
    unseen_write(place)
    roots.copier.final_sync(copied)
    roots.require_equal_surveys()


# --- while names of one file come and go --------------------------------------------------------------------------

CHURN = """
n=0
while [ -e go ]; do
    n=$((n+1))
    echo $n >>log
    echo $n >same-$((n%10))
    mv same-$(((n+3)%10)) renamed-$((n%7))
    ln -f log link-$((n%3))
    rm -f link-$(((n+1)%3))
done
"""
PASSES = 30


@contextmanager
def churn(folder: Path) -> Iterator[None]:
    """Files that are written, renamed, linked and removed as fast as a shell can, until the block ends."""
    (folder / "go").touch()
    with subprocess.Popen(["sh", "-c", CHURN], cwd=folder, stderr=subprocess.DEVNULL) as shell:
        try:
            yield
            assert shell.poll() is None
        finally:
            (folder / "go").unlink()


def test_no_pass_hangs_or_fails_while_names_of_one_file_come_and_go(roots: Roots) -> None:
    """rsync -H waited for itself for ever here, one time in seven."""
    folder = roots.source / VOLUME / "churn"
    folder.mkdir()
    copied = roots.pre_copy()
    with churn(folder):
        for _ in range(PASSES):
            roots.pass_over(copied)
    assert int((folder / "log").read_text().split()[-1]) > PASSES
    roots.copier.final_sync(copied)
    roots.require_equal(copied)


@pytest.fixture
def _racing(monkeypatch: pytest.MonkeyPatch) -> None:
    """find as it ends when a file goes between its name and its times being read."""
    real = changes.changed_command
    script = '"$@"; echo "find: \'/x\': No such file or directory" >&2; exit 1'
    racing = lambda *words, **options: ["sh", "-c", script, "sh", *real(*words, **options)]
    monkeypatch.setattr(changes, "changed_command", racing)


@pytest.mark.usefixtures("_racing")
def test_a_file_that_goes_while_changes_are_looked_for_does_not_end_the_pre_copy(roots: Roots) -> None:
    roots.pre_copy()


def test_nothing_may_go_while_changes_are_looked_for_with_the_engine_down(
    roots: Roots, request: pytest.FixtureRequest
) -> None:
    copied = roots.pre_copy()
    (roots.target / unfinished.INDEX).unlink(missing_ok=True)  # so that it is a walk
    request.getfixturevalue("_racing")
    with pytest.raises(RelocatorError):
        roots.copier.final_sync(copied)


# --- content --------------------------------------------------------------------------------------------------------


def test_a_byte_that_went_wrong_in_the_copy_of_a_volume_is_found_by_its_content_alone(roots: Roots) -> None:
    copied = roots.pre_copy()
    roots.copier.final_sync(copied)
    unseen_write(roots.target / VOLUME / "immense")
    roots.copier.check(copied)
    with pytest.raises(CopyError, match="does not hold") as caught:
        roots.copier.check(copied, content=True)
    assert f"{VOLUME}/immense: content differs" in caught.value.text()


def test_a_byte_that_went_wrong_in_the_copy_of_a_layer_is_found_by_its_content_alone(roots: Roots) -> None:
    copied = roots.pre_copy()
    content.check(roots.copier, copied)
    unseen_write(roots.target / LAYER / "immense")
    with pytest.raises(CopyError, match="does not hold") as caught:
        content.check(roots.copier, copied)
    assert "immense: content differs" in caught.value.text()

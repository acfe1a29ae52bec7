"""rsync's arguments, and what its exit codes and words mean to us."""

import os
from pathlib import Path

import pytest

from entrypoint.errors import CopyError
from entrypoint.host import Result
from entrypoint.rsync import TransferStats, copy, copy_failed, forced_command, pass_command

SOURCE, TARGET = Path("/proc/1/root/old root"), Path("/proc/1/root/new")
COMMON = ["rsync", "-aHAXS", "--numeric-ids", "--one-file-system", "--modify-window=-1", "--no-inc-recursive",
          "--filter=-x trusted.SGI_ACL_*"]  # fmt: skip
PLACES = ["--", "/proc/1/root/old root/", "/proc/1/root/new/"]


def test_a_pass_deletes_what_is_gone_and_leaves_out_what_is_excluded() -> None:
    assert pass_command(SOURCE, TARGET, ["/tmp", "/overlay2/*/merged"]) == [
        *COMMON, "--delete", "--stats", "--no-human-readable",
        "--exclude=/tmp", "--exclude=/overlay2/*/merged", *PLACES,
    ]  # fmt: skip


def test_a_limit_is_given_only_if_there_is_one() -> None:
    assert pass_command(SOURCE, TARGET, [], bwlimit="50m") == [
        *COMMON, "--delete", "--stats", "--no-human-readable", "--bwlimit=50m", *PLACES,
    ]  # fmt: skip


@pytest.mark.parametrize(("live", "gone"), [(False, []), (True, ["--ignore-missing-args"])])
def test_a_forced_pass_copies_named_files_whatever_they_look_like(live: bool, gone: list[str]) -> None:
    assert forced_command(SOURCE, TARGET, live=live) == [
        *COMMON, "--force", "--stats", "--no-human-readable",
        *gone, "--ignore-times", "--from0", "--files-from=-", *PLACES,
    ]  # fmt: skip


STATS = """
Number of files: 1,234 (reg: 1,000, dir: 234)
Number of created files: 12 (reg: 12)
Number of regular files transferred: 1,012
Total file size: 99,999,999 bytes
Total transferred file size: 1,048,576 bytes
sent 1,050,000 bytes  received 35 bytes  700,023.33 bytes/sec
"""


@pytest.mark.parametrize(
    ("output", "stats"),
    [(STATS, TransferStats(1012, 1048576)), (STATS.replace(",", ""), TransferStats(1012, 1048576)),
     ("", TransferStats(0, 0)), ("odd: line\nno colon\n", TransferStats(0, 0))],
)  # fmt: skip
def test_the_stats_are_read(output: str, stats: TransferStats) -> None:
    assert TransferStats.parse(output) == stats


def ends_with(code: int) -> list[str]:
    """A program in rsync's place."""
    return ["sh", "-c", f"printf '%s' \"$0\"; echo 'rsync says why' >&2; exit {code}", STATS]


@pytest.mark.parametrize("code", [0, 24])
def test_files_may_vanish_while_the_engine_runs(code: int) -> None:
    assert copy(ends_with(code), live=True) == TransferStats(1012, 1048576)


@pytest.mark.parametrize("code", [1, 11, 12, 20, 30, 255])
def test_nothing_else_may_go_wrong_while_the_engine_runs(code: int) -> None:
    with pytest.raises(CopyError) as failed:
        copy(ends_with(code), live=True)
    assert failed.value.brief == f"rsync ended with code {code}."
    assert failed.value.details == "rsync says why"


@pytest.mark.parametrize("code", [1, 23, 24])
def test_nothing_may_go_wrong_with_the_engine_down(code: int) -> None:
    with pytest.raises(CopyError, match=f"rsync ended with code {code}"):
        copy(ends_with(code), live=False)


@pytest.mark.parametrize("live", [False, True])
def test_a_pass_is_given_the_names_on_its_input(live: bool) -> None:
    assert copy(["sh", "-c", 'test "$(wc -c)" = 8'], b"a\0b\nc\0\xff\0", live=live) == TransferStats(0, 0)


@pytest.mark.parametrize(("live", "niceness"), [(False, 0), (True, 19)])
def test_only_a_pass_while_the_engine_runs_gives_way(live: bool, niceness: int) -> None:
    base = os.nice(0)
    command = ["sh", "-c", 'echo "Number of regular files transferred: $(nice)"']
    assert copy(command, live=live).files == min(base + niceness, 19)


def test_what_two_passes_did_is_added_up() -> None:
    assert TransferStats(1, 20) + TransferStats(3, 400) == TransferStats(4, 420)


@pytest.mark.parametrize("words", ["No space left on device (28)", "Disk quota exceeded (122)"])
def test_a_full_disk_is_told_apart(words: str) -> None:
    error = copy_failed("x", Result(("rsync",), 11, "", f'rsync: write failed on "/a": {words}'))
    assert error.brief == "The target's file system is full."
    assert "larger target" in error.resolution


def test_a_program_that_said_nothing_is_quoted_from_its_output() -> None:
    error = copy_failed("It failed.", Result(("rsync",), 5, "1\n2\n3\n4\n5\n6\n", ""))
    assert error.text() == "It failed.\n2\n3\n4\n5\n6"

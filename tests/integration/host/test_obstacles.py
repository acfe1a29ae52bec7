"""What a removal cannot remove is named with the way out, which is one."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoint.host.children import Result
from entrypoint.host.confined.removal import Removal
from entrypoint.host.disks import obstacles
from entrypoint.host.host import Host

SWAPS = "Filename Type Size Used Priority\n/dev/dm-0 partition 1 0 -2\n{} file 1048572 0 -3\n"


class Swapping(Host):
    """A host whose kernel tells of one swap file."""

    def run(self, argv: Sequence[str], *, timeout: float = 0, check: bool = True) -> Result:
        assert tuple(argv) == ("cat", "/proc/swaps")
        return Result(tuple(argv), 0, SWAPS.format("/old/my\\040swap"), "")


@pytest.mark.skipif(os.geteuid() != 0, reason="as root")
@pytest.mark.parametrize(
    ("flag", "on", "said"),
    [("i", "data/file", "it may not"), ("a", "data/file", "it may not"), ("ia", "data/my file", "it may not"),
     ("i", "data", "its directory may not")],
)  # fmt: skip
def test_a_file_that_may_not_be_changed_is_told_with_the_command_that_allows_it(
    tmp_path: Path, flag: str, on: str, said: str
) -> None:
    host, root = Swapping(tmp_path), tmp_path / "old"
    (root / "data").mkdir(parents=True)
    (root / "data/file").touch()
    (root / "data/my file").touch()
    if subprocess.run(["chattr", f"+{flag}", root / on], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no such attributes")
    try:
        done = Removal(root)
        done.remove(["data"])
        told = obstacles.told(host, "/old", done.problems[0])
        assert told.startswith("/old/data/")
        assert said in told
        command = shlex.split(told.partition("with: ")[2])
        assert command == ["chattr", f"-{flag}", f"/old/{on}"]
    finally:
        subprocess.run(["chattr", "-ia", root / on], check=True)
    again = Removal(root)
    again.remove(["data"])
    assert again.problems == []


def test_a_swap_file_is_told_as_one(tmp_path: Path) -> None:
    host = Swapping(tmp_path)
    told = obstacles.told(host, "/old", "my swap: Operation not permitted")
    assert told == "/old/my swap: it is in use as swap; end that with: swapoff '/old/my swap'"


def test_of_all_else_the_reason_stays(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    told = obstacles.told(Swapping(tmp_path), "/old", "a: b: Input/output error")
    assert told == "/old/a: b: Input/output error"

"""What cp says of a copy that failed is told in the host's paths, in whole lines."""

from entrypoint.copy import cp

LINE = "cp: error writing '/proc/1/root/mnt/data/docker/{}': No space left on device\n"


def test_a_full_disk_is_told_by_one_path_as_the_host_names_it() -> None:
    lines = [LINE.format("x" * 200 + str(number)) for number in range(9)]
    said = "cp: preserving times for '/proc/1/root/mnt/x'\n" + "".join(lines)
    error = cp.failed("Files cannot be copied.", said)
    assert error.details == f"cp: error writing '/mnt/data/docker/{'x' * 200}0': No space left on device"
    assert error.brief == "The target's file system is full."


def test_other_failures_are_told_by_their_last_lines() -> None:
    error = cp.failed("Files cannot be copied.", "".join(f"cp: {n:0300}\n" for n in range(40)))
    assert error.details.splitlines() == [f"cp: {n:0300}" for n in range(40 - cp.TOLD, 40)]

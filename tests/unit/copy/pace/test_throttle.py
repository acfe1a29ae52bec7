"""What a limit means, and that what copies keeps to it."""

import os
import time
from pathlib import Path

import pytest

from entrypoint.console.errors import UsageError
from entrypoint.copy.cp import Programs
from entrypoint.copy.pace.throttle import bytes_a_second, throttled
from entrypoint.host.signals import Signals

MIB = 1 << 20


@pytest.mark.parametrize(
    ("limit", "bytes_"),
    [("50m", 50 * MIB), ("50M", 50 * MIB), ("1.5g", 1536 * MIB), ("7k", 7168), ("4MiB", 4 * MIB)],
)
def test_a_limit_is_read(limit: str, bytes_: float) -> None:
    assert bytes_a_second(limit) == bytes_


@pytest.mark.parametrize("limit", ["0", "0m", "-5m", "fast", "5x", "m", " 5m", "100", "50b"])
def test_what_is_no_limit_is_refused(limit: str) -> None:
    with pytest.raises(UsageError, match="is no limit"):
        bytes_a_second(limit)


def test_a_copy_keeps_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    names = [f"{number}".encode() for number in range(12)]
    for name in names:
        (tmp_path / "source" / os.fsdecode(name)).write_bytes(os.urandom(2 * MIB))
    signals, began = Signals(), time.monotonic()
    with throttled("16m", signals.children) as throttle:
        for name in names:
            programs = Programs(signals, throttle=throttle)
            programs.copy("names", tmp_path / "source", tmp_path / "target", [name])
            programs.end()
    assert time.monotonic() - began > 0.6  # 24 MiB less a burst; without a limit it takes a tenth of that
    assert len(list((tmp_path / "target").iterdir())) == 12

"""Which driver is configured, what drivers leave in a root, and what is said of those that cannot be moved."""

from pathlib import Path

import pytest

from entrypoint import drivers
from entrypoint.findings import Severity
from entrypoint.preflight import check
from tests.unit.good_facts import engine


@pytest.mark.parametrize(
    ("variable", "arguments", "content", "driver"),
    [
        ("", (), None, ""),
        ("", (), b'{"debug": true}', ""),
        ("", (), b'{"storage-driver": "vfs"}', "vfs"),
        ("", ("--storage-driver=vfs",), None, "vfs"),
        ("", ("-s", "btrfs", "--storage-driver", "vfs"), None, "vfs"),
        ("zfs", ("-s", "vfs"), None, "zfs"),
    ],
)
def test_a_driver_may_be_named_in_three_places(
    variable: str, arguments: tuple[str, ...], content: bytes | None, driver: str
) -> None:
    assert drivers.named(variable, arguments, content, "daemon.json") == driver


def test_only_what_a_driver_has_left_is_a_trace(tmp_path: Path) -> None:
    for place in ("overlay2/l", "btrfs", "image/zfs", "vfs/dir"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "aufs").touch()
    assert drivers.traces(tmp_path) == {"overlay2", "vfs"}


@pytest.mark.parametrize("driver", sorted(drivers.REFUSED))
def test_a_driver_that_cannot_be_moved_is_refused_with_the_reason_and_the_way(driver: str) -> None:
    [finding] = check(engine(driver=driver))
    assert (finding.id, finding.severity) == ("storage-driver", Severity.ERROR)
    assert driver in finding.title
    assert finding.detail
    assert "docker save" in finding.remedy

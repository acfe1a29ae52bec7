"""Which driver is configured, what drivers leave in a root, and what is said of those that cannot be moved."""

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.findings import Finding, Severity
from entrypoint.engine.drivers import MOVED, choice, refused
from entrypoint.engine.drivers.choice import Configured
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check, check_adoption
from tests.unit.support.good_facts import CONFIG, engine, with_target


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
    assert Configured(variable, arguments, content, "daemon.json").driver == driver


def test_only_what_a_driver_has_left_is_a_trace(tmp_path: Path) -> None:
    for place in ("overlay2/l", "btrfs", "image/zfs", "vfs/dir"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "aufs").touch()
    assert choice.traces(tmp_path) == {"overlay2", "vfs"}


@pytest.mark.parametrize("driver", [driver.name for driver in MOVED])
def test_a_driver_that_keeps_files_can_be_moved(driver: str) -> None:
    named = replace(CONFIG, content=json.dumps({"storage-driver": driver}).encode())
    assert check(replace(engine(driver=driver), config=named)) == ()


def test_vfs_must_be_named_for_an_engine_overlooks_what_it_has_left() -> None:
    [finding] = check(engine(driver="vfs"))
    assert (finding.id, finding.severity) == ("driver-unnamed", Severity.ERROR)
    assert '"storage-driver": "vfs"' in finding.remedy
    [finding] = check_adoption_of(engine(driver="vfs"))
    assert finding.id == "driver-unnamed"


def check_adoption_of(facts: HostFacts) -> list[Finding]:
    return [one for one in check_adoption(facts, None) if one.id != "nothing-to-adopt"]


@pytest.mark.parametrize(("driver", "found"), [("fuse-overlayfs", ["target-characters"]), ("vfs", [])])
def test_only_what_is_named_in_a_mounts_options_must_do_without_their_separators(driver: str, found: list[str]) -> None:
    named = replace(CONFIG, content=json.dumps({"storage-driver": driver}).encode())
    facts = with_target(replace(engine(driver=driver), config=named), resolved=PurePosixPath("/mnt/data/a:b"))
    assert [one.id for one in check(facts)] == found


@pytest.mark.parametrize("driver", [driver.name for driver in refused.ROWS])
def test_a_driver_that_cannot_be_moved_is_refused_with_the_reason_and_the_way(driver: str) -> None:
    [finding] = check(engine(driver=driver))
    assert (finding.id, finding.severity) == ("storage-driver", Severity.ERROR)
    assert driver in finding.title
    assert finding.detail
    assert "docker save" in finding.remedy

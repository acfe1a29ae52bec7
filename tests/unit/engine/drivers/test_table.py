"""The table of drivers: each row is whole, explained in docs/drivers.md, and said nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.engine import drivers
from entrypoint.engine.drivers import MOVED, SNAPSHOTTERS, STORAGE_DRIVERS
from entrypoint.engine.drivers.driver import Driver

PAGE = Path(__file__).parents[4] / "docs/drivers.md"
EVERY = (*STORAGE_DRIVERS, *SNAPSHOTTERS)


def test_every_driver_is_in_the_documentation_and_no_other() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    is_refused = {name: "refused" in how for names, _what, how, _same in rows
                  for name in re.findall(r"[a-z0-9-]+", names.removeprefix(" containerd:"))}  # fmt: skip
    assert is_refused == {driver.name: not driver.is_moved for driver in EVERY}


@pytest.mark.parametrize("driver", EVERY, ids=lambda driver: driver.name)
def test_a_driver_is_moved_or_has_its_reason_and_the_way(driver: Driver) -> None:
    assert driver.is_moved or (driver.reason != Driver("any").reason and "docker save" in driver.way)


def test_a_driver_that_is_not_in_the_table_is_not_moved() -> None:
    assert not drivers.of("windowsfilter").is_moved
    assert not drivers.of("overlay2", is_snapshotter=True).is_moved
    assert not drivers.of("native").is_moved


@pytest.mark.parametrize(
    ("driver", "place", "layer"),
    [
        ("overlay2", "overlay2/a1/diff/etc/x", "a1"),
        ("overlay2", "overlay2/a1/link", ""),
        ("overlay2", "overlay2/a1", ""),
        ("overlay2", "fuse-overlayfs/a1/diff/x", ""),
        ("vfs", "vfs/dir/a1/etc/x", "a1"),
        ("vfs", "vfs/dir", ""),
    ],
)
def test_whose_a_file_is_is_told_by_its_place(driver: str, place: str, layer: str) -> None:
    assert drivers.of(driver).owner(place.split("/")) == layer


def values(place: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(place.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("driver", (*MOVED, *SNAPSHOTTERS), ids=lambda driver: driver.name)
def test_no_other_module_goes_by_the_name_of_a_driver(driver: Driver) -> None:
    """What differs between drivers is said in their rows. In sentences for people they may be named."""
    top = Path(drivers.__file__).parent
    named = re.compile(rf"(?:.*/)?{driver.name}(?:[/.=]\S*)?")
    others = [place for place in top.parents[1].rglob("*.py") if place.parent != top]
    assert [str(place) for place in others if any(map(named.fullmatch, values(place)))] == []

"""No trace point of the product is missing from the crash tests, and none in them has gone from the product."""

import re
from pathlib import Path

from entrypoint.move.steps import STEPS
from tests.system.support import points

SOURCE = Path(__file__).resolve().parents[3] / "entrypoint"
CALL = re.compile(r"\btrace\(f?\"(?P<point>[^\"]+)\"\)")


def points_in_the_source() -> set[str]:
    found = set()
    for file in SOURCE.rglob("*.py"):
        for call in CALL.finditer(file.read_text()):
            found |= {call["point"].replace("{step.name}", step.name) for step in STEPS}
    return found


def test_every_trace_point_of_the_product_stands_in_the_crash_tests() -> None:
    assert points_in_the_source() == set(points.ALL)


def test_every_call_is_one_that_the_search_understands() -> None:
    calls = [line for file in SOURCE.rglob("*.py") for line in re.findall(r"(?<!def )\btrace\(.*", file.read_text())]
    assert [line for line in calls if not CALL.match(line)] == []


def test_every_point_on_the_way_back_is_passed_in_some_test() -> None:
    assert {back.point for back in points.WAYS_BACK} >= {*points.BACK, *points.DISCARD}

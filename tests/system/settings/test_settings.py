"""Every place where a data root is set (docs/settings.md): found, and changed where it wins, or refused with the way.

A row is a way to set the root, on the suites that have it. One suite of each row is always run, `make settings-matrix`
takes all and prints the table.
"""

from collections.abc import Iterator, Sequence

import pytest

from tests.system.support.moving import read
from tests.system.support.settings_bench import Bench, assert_moved, assert_only_root, assert_refused, bench
from tests.system.support.settings_rows import ALL, MOVED, REFUSED, SOURCE, Refused, Row

pytestmark = pytest.mark.system


def cases(rows: Sequence[Row | Refused]) -> list[object]:
    """Grouped by suite, so that each suite's host is booted once."""
    found: list[object] = []
    for suite in ALL:
        for row in rows:
            if suite in row.suites:
                marks = () if row.sample and suite == row.suite else pytest.mark.matrix
                found.append(pytest.param(suite, row, marks=marks, id=f"{suite}-{row.number} {row.name}"))
    return found


@pytest.fixture(scope="module")
def trixie() -> Iterator[Bench]:
    with bench("trixie") as made:
        yield made


@pytest.fixture(scope="module")
def forky() -> Iterator[Bench]:
    with bench("forky") as made:
        yield made


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Bench]:
    with bench("bookworm") as made:
        yield made


@pytest.fixture(scope="module")
def bullseye() -> Iterator[Bench]:
    with bench("bullseye") as made:
        yield made


def told(number: int, name: str, suite: str, what: str) -> None:
    print(f"\n| {number:2} | {name:40} | {suite:8} | {what} |")


@pytest.mark.parametrize(("suite", "row"), cases(MOVED))
def test_the_place_that_wins_is_changed(request: pytest.FixtureRequest, suite: str, row: Row) -> None:
    made: Bench = request.getfixturevalue(suite)
    made.configure(row.script, row.source, row.units, real=row.real, undo=row.undo)
    before = read(made.host, row.edited)
    target = made.next_target()
    printed = assert_moved(made, target)
    after = read(made.host, row.edited)
    if row.made:
        assert before == ""
        assert after.startswith("# Written by relocator")
        assert target in after
    else:
        assert_only_root(before, after, row.source, target)
    for words in row.says:
        assert words in printed
    told(row.number, row.name, suite, "moved")


@pytest.mark.parametrize(("suite", "row"), cases(REFUSED))
def test_what_cannot_be_changed_is_refused_and_says_what_to_do(
    request: pytest.FixtureRequest, suite: str, row: Refused
) -> None:
    made: Bench = request.getfixturevalue(suite)
    made.configure(row.script, SOURCE, undo=row.undo)
    made.host.run(row.later)
    assert_refused(made, row.finding, row.says)
    told(row.number, row.name, suite, f"refused: {row.finding}")

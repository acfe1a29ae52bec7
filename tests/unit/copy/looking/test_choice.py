"""What a table may cost, beside a walk."""

from dataclasses import dataclass

import pytest

from entrypoint.copy.looking.choice import is_cheaper


@dataclass(frozen=True)
class Table:
    count: int
    times: int

    def changed(self, since: float, most: int) -> set[int]:
        raise AssertionError("nobody asks")


@pytest.mark.parametrize(("count", "entries", "is_it"), [(500, 100, True), (501, 100, False), (10, 0, False)])
def test_a_table_is_of_all_that_a_file_system_holds(count: int, entries: int, is_it: bool) -> None:
    assert is_cheaper(Table(count, times=5), entries) is is_it

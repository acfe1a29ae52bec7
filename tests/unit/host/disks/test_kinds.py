"""The table of file systems."""

from entrypoint.host.disks import kinds
from entrypoint.host.disks.kinds import BY_KIND, FILE_SYSTEMS


def test_each_kind_is_there_once() -> None:
    assert len(FILE_SYSTEMS) == len(BY_KIND) > 40


def test_a_kind_that_is_not_in_the_table_is_tried_and_nothing_is_expected_of_it() -> None:
    row = kinds.of("bcachefs")
    assert (row.unfit, row.is_checked, row.counts_projects, row.has_subvolumes) == ("", False, False, False)


def test_what_is_unfit_is_expected_to_do_nothing_else() -> None:
    assert [row for row in FILE_SYSTEMS if row.unfit and (row.is_checked or row.counts_projects)] == []

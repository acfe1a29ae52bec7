"""The phases of a run as its records tell them, and drawn in whatever width there is."""

import pytest

from entrypoint.commands.status.timeline import AWAY, DOWN, THERE, Span, downtime, picture, spans
from entrypoint.console.events import Phase
from entrypoint.journal.record import Event, Outcome, Record


def record(at: float, event: Event, step: str = "") -> Record:
    return {"at": at, "event": event, **({"step": step} if step else {})}


def committed() -> list[Record]:
    """40 s of copying, 2 s of handing over, then a second for each step."""
    records = [record(100, Event.BEGUN), record(140, Event.HANDED_OVER), record(141, Event.TOOK_OVER)]
    for number, step in enumerate(DOWN):
        records += [record(142 + number, Event.INTENT, step), record(143 + number, Event.DONE, step)]
    return [*records, record(148, Event.OUTCOME) | {"outcome": Outcome.COMMITTED}]


def test_a_move_has_its_phases_in_order_and_the_engine_is_away_from_the_freeze() -> None:
    found = spans(committed())
    assert [(span.phase, span.seconds, span.away) for span in found] == [
        ("pre-copy", 40, False),
        ("hand-over", 2, False),
        *((step, 1, True) for step in DOWN),
    ]


def test_a_phase_that_has_not_ended_is_not_there() -> None:
    assert [span.phase for span in spans(committed()[:4])] == ["pre-copy", "hand-over"]
    assert spans([]) == ()
    assert spans([record(1, Event.BEGUN)]) == ()


def test_a_step_that_a_second_worker_has_repeated_lasts_from_its_first_begin() -> None:
    again = [record(150, Event.INTENT, Phase.VERIFY), record(155, Event.DONE, Phase.VERIFY)]
    assert spans([*committed(), *again])[-1] == Span("verify", 147, 8, True)


def test_the_way_back_is_a_phase_without_an_engine() -> None:
    records = [record(1, Event.INTENT, Phase.FREEZE), record(2, Event.ROLLBACK), record(5, Event.UNDONE, Phase.FREEZE)]
    assert spans(records) == (Span("freeze", 1, 1, True), Span("rollback", 2, 3, True))


def test_a_way_back_that_failed_is_undone_and_has_no_copy_to_remove() -> None:
    records = [
        record(0, Event.BEGUN) | {"direction": "back"},
        record(0.5, Event.HANDED_OVER),
        record(1, Event.INTENT, Phase.FREEZE),
        record(2, Event.ROLLBACK),
        record(5, Event.UNDONE, Phase.FREEZE),
        record(9, Event.OUTCOME),
    ]
    expected = (Span("hand-over", 0, 1, False), Span("freeze", 1, 1, True), Span("undo", 2, 3, True))
    assert spans(records) == expected


def sick() -> list[Record]:
    """A move that was proven after 6 s, and taken back two minutes later for a health check, in 9 s."""
    records = [one for one in committed() if one["event"] != Event.OUTCOME]
    assert records.pop()["event"] == Event.DONE
    return [*records, record(148, Event.PROVEN, Phase.VERIFY), record(268, Event.ROLLBACK),
            record(277, Event.UNDONE, Phase.FREEZE), record(280, Event.OUTCOME)]  # fmt: skip


def test_health_checks_are_waited_for_with_the_engine_there() -> None:
    found = spans(sick())
    assert [(span.phase, span.seconds, span.away) for span in found[-4:]] == [
        ("verify", 1, True),
        ("health checks", 120, False),
        ("rollback", 9, True),
        ("remove the copy", 3, False),
    ]
    assert downtime(sick()) == sum(span.seconds for span in found if span.away) == 15


def test_health_checks_of_a_good_move_are_no_downtime() -> None:
    records = [*committed()[:-2], record(148, Event.PROVEN, Phase.VERIFY), record(160, Event.DONE, Phase.VERIFY)]
    assert spans(records)[-1] == Span("health checks", 148, 12, False)
    assert downtime(records) == 6


def test_a_run_that_turned_back_has_every_second_in_a_bar() -> None:
    """The step that failed, too."""
    for ended in range(3, 3 + 2 * len(DOWN)):
        records = [*committed()[: ended + 1], record(200, Event.ROLLBACK), record(204, Event.UNDONE, Phase.FREEZE),
                   record(204, Event.OUTCOME)]  # fmt: skip
        found = spans(records)
        if records[ended]["event"] == Event.INTENT:
            assert sum(span.seconds for span in found) == 104, [str(span) for span in found]
            assert downtime(records) == sum(span.seconds for span in found if span.away)


def test_a_copy_that_failed_has_its_bar() -> None:
    begun, settled = record(1, Event.BEGUN), record(8, Event.OUTCOME)
    assert spans([begun, settled | {"failed_in": Phase.PRE_COPY}]) == (Span("pre-copy", 1, 7, False),)
    assert spans([begun, settled]) == ()  # one that was killed, and settled by a command much later


def test_a_clock_that_was_set_back_makes_no_negative_length() -> None:
    assert spans([record(9, Event.BEGUN), record(5, Event.HANDED_OVER)])[0].seconds == 0


@pytest.mark.parametrize("columns", [1, 20, 36, 37, 40, 80, 200])
def test_the_picture_fits_any_terminal(columns: int) -> None:
    lines = picture(spans(committed()), columns)
    bars = [line for line in lines if AWAY in line or THERE in line]
    assert bool(bars) is (columns >= 37)
    assert all(len(line) <= max(columns, 37) for line in lines)
    assert all(span.phase in line for span, line in zip(spans(committed()), lines, strict=False))


def test_each_bar_stands_where_its_phase_was() -> None:
    lines = picture(spans(committed()), 27 + 48)  # one column a second
    assert lines[0] == "pre-copy            40.0 s " + THERE * 40
    assert lines[2] == "freeze               1.0 s " + " " * 42 + AWAY
    assert lines[-1] == f"{AWAY} the engine was away, {THERE} it was there"


def test_a_run_without_a_length_is_drawn_too() -> None:
    assert len(picture([Span("freeze", 1, 0, True)], 80)) == 2
    assert picture([], 80) == ()

"""A run that is held touches nothing of the engine before the operator's word, whoever dies meanwhile."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console.errors import CopyError, ExitCode, JournalError, PreflightError
from entrypoint.copy.pace import timer
from entrypoint.copy.pace.throttle import Pace
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal.record import Event, Outcome
from entrypoint.journal.said import NAME, Said, said, say
from entrypoint.journal.unfinished import KEPT
from entrypoint.move import recovery
from entrypoint.move.context import pace_of
from entrypoint.move.worker import departure, hold
from entrypoint.plan.outlook import Estimate
from entrypoint.plan.when import LATE
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootKind
from tests.unit.move.dying.test_crash_points import Deadly, Killed, require_whole
from tests.unit.support.fakes import GONE
from tests.unit.support.good_facts import SOURCE
from tests.unit.support.world import TARGET, World, make_held_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_held_world(tmp_path, monkeypatch)


def saying(world: World, **words: bool) -> Callable[[], object]:
    return lambda: say(world.move.run, **words)


def events(world: World) -> list[str]:
    return [record["event"] for record in world.move.run.records()]


def before_the_freeze(world: World) -> list[str]:
    """What was asked of the fakes while it was held."""
    calls = [call[0] for call in world.calls.made]
    return calls[: calls.index("reload")]


def on_pass(world: World, number: int, act: Callable[[], object]) -> None:
    """Somebody acts just before this pass."""
    if number == 1:
        world.calls.moments["onward"] = act
    else:
        world.calls.moments["onward"] = lambda: on_pass(world, number - 1, act)


def test_it_passes_until_it_is_told_to_go_and_stops_nothing_before(world: World) -> None:
    on_pass(world, 3, saying(world, goes=True))
    assert world.work() is ExitCode.DONE
    require_whole(world, ExitCode.DONE)
    assert before_the_freeze(world) == ["onward", "onward", "onward"]
    assert [one for one in events(world) if one in (Event.HELD, Event.GOING)] == [Event.HELD, Event.GOING]
    assert events(world).index("going") < events(world).index("intent")
    stands = hold.held(world.move.run)
    assert stands is not None
    assert stands.passes == 3


def test_what_the_last_pass_has_found_is_where_the_last_look_begins(world: World) -> None:
    on_pass(world, 2, saying(world, goes=True))
    move = hold.hold(world.move, world.journal, GONE, again=False)
    assert [copied.since > 0 for _, copied in move.copies()] == [True]
    assert [copied.since for copied in world.move.copied] == [0.0]


def test_one_that_is_not_to_be_held_goes_by_itself(world: World) -> None:
    world.move.run.file.unlink()
    world.move.run.append(Event.HANDED_OVER, clock_set=False)
    assert world.work() is ExitCode.DONE
    assert Event.HELD not in events(world)


@pytest.mark.parametrize("keeps", [False, True])
def test_one_that_is_given_up_ends_as_by_an_interrupt(world: World, keeps: bool) -> None:
    record = Path(world.path(TARGET), ".relocator-unfinished")
    record.write_text(record.read_text().replace('"shards": []', '"shards": ["one"]'))
    on_pass(world, 2, saying(world, aborts=True, keeps=keeps))
    assert world.work() is ExitCode.INTERRUPTED
    assert world.outcome["outcome"] == Outcome.INTERRUPTED
    assert world.outcome["left"] == (KEPT if keeps else "")
    assert world.path(TARGET).exists() is keeps
    assert {call[0] for call in world.calls.made} == {"onward"}
    assert not (world.move.run.place / "back").exists()
    if not keeps:
        world.require_untouched()


@pytest.mark.parametrize("step", ["final_sync", "stop"])
def test_one_that_is_ended_after_the_freeze_is_led_back(world: World, step: str) -> None:
    say(world.move.run, goes=True)
    world.calls.moments[step] = saying(world, aborts=True)
    assert world.work() is ExitCode.ROLLED_BACK
    require_whole(world, ExitCode.ROLLED_BACK)
    assert "relocator abort" in world.outcome["reason"]


def test_after_the_switch_nothing_is_ended_any_more(world: World) -> None:
    say(world.serving_nobody().move.run, goes=True)
    world.calls.moments["start"] = saying(world, aborts=True)
    assert world.work() is ExitCode.DONE


def test_a_pass_that_fails_ends_it_and_nothing_was_stopped(world: World) -> None:
    def fail() -> None:
        raise CopyError("The disk is gone.")

    on_pass(world, 2, fail)
    assert world.work() is ExitCode.ROLLED_BACK
    assert {call[0] for call in world.calls.made} == {"onward"}


def test_a_target_that_is_not_there_any_more_is_not_written_to(world: World) -> None:
    """Its disk was unmounted, and a directory is where it was mounted."""

    def unmount() -> None:
        world.path(TARGET).rename(world.path("/srv/disk"))
        world.path(TARGET).mkdir()
        on_pass(world, 1, saying(world, aborts=True))

    on_pass(world, 1, unmount)
    assert world.work() is ExitCode.ROLLED_BACK
    assert "not the directory that was copied to" in world.outcome["reason"]
    assert [call[0] for call in world.calls.made] == ["onward"]
    assert not world.path(TARGET).exists()
    assert world.path("/srv/disk/early").exists()


def test_a_clock_that_is_set_while_it_holds_has_all_looked_at_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go() -> None:
        monkeypatch.setattr(timer.Watch, "count", lambda _: 1)
        say(world.move.run, goes=True)

    on_pass(world, 2, go)
    move = hold.hold(world.move, world.journal, GONE, again=False)
    monkeypatch.setattr(timer.Watch, "count", lambda _: 2)
    assert all(copied.clock_was_set for _, copied in move.copies())


def test_a_worker_that_dies_while_it_holds_is_followed_by_one_that_holds_on(tmp_path: Path) -> None:
    """At each instant; the second looks at everything once, for nobody has listened to the clock in between."""
    for point in ("hold.held", "hold.going", "freeze.intent"):
        with pytest.MonkeyPatch.context() as patch:
            world = make_held_world(tmp_path / point, patch)
            on_pass(world, 2, saying(world, goes=True))
            deadly = Deadly(point=point)
            with pytest.MonkeyPatch.context() as inner, suppress(Killed):
                deadly.install(inner, world)
                world.work()
            assert deadly.passed[-1] == point
            assert world.daemon.up
            before = len(world.calls.made)
            world.calls.moments.clear()
            say(world.move.run, goes=True)
            fresh = replace(world, move=replace(world.move, run=world.journal.run(world.move.run.number)))
            assert fresh.work() is ExitCode.DONE, point
            require_whole(fresh, ExitCode.DONE)
            assert world.calls.made[before] == ("again",)


def test_one_that_was_cut_off_while_it_was_held_has_changed_nothing(world: World) -> None:
    world.move.run.append(Event.TOOK_OVER, pid=1)
    world.move.run.append(Event.HELD)
    (world.move.run.place / "back").mkdir()
    assert recovery.settle(world.context) is ExitCode.INTERRUPTED
    assert (world.outcome["outcome"], world.outcome["left"]) == (Outcome.INTERRUPTED, KEPT)
    assert not (world.move.run.place / "back").exists()
    assert world.calls.made == []


def test_one_that_was_cut_off_after_the_freeze_began_is_settled_as_any(world: World) -> None:
    world.move.run.append(Event.GOING)
    world.move.run.append(Event.INTENT, step="freeze")
    assert recovery.settle(world.context) is ExitCode.ROLLED_BACK


def test_who_waits_for_the_outcome_stays_while_it_is_held(world: World) -> None:
    world.move.run.append(Event.TOOK_OVER, pid=1)
    for event in (Event.TOOK_OVER, Event.HELD):
        world.move.run.append(event)
        assert not departure.is_engine_going(world.journal)
    world.move.run.append(Event.ROLLBACK, failed_in="hand-over", reason="")
    assert not departure.is_engine_going(world.journal)
    world.move.run.append(Event.GOING)
    assert departure.is_engine_going(world.journal)


def test_the_terms_are_kept_as_they_are(world: World) -> None:
    terms = hold.Terms(Request(SOURCE.path, holds=True), {RootKind.DATA_ROOT: SOURCE}, (1.0, 2.5))
    assert from_json(hold.Terms, to_json(terms)) == terms
    assert hold.downtime(terms, hold.Held(0.0, 1, 5, 1, 2.0)) == (3.0, 6.5)
    assert hold.downtime(terms, None) == (1.0, 2.5)


def test_a_word_stays_said_and_of_two_who_speak_at_a_time_both_are_heard(world: World) -> None:
    run = world.move.run
    assert said(run) == Said()
    speakers = [threading.Thread(target=say, args=(run,), kwargs={word: True}) for word in ("goes", "aborts", "keeps")]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join()
    assert said(run) == Said(goes=True, aborts=True, keeps=True)
    before, now = say(run, keeps=False)
    assert (before.keeps, now) == (True, Said(goes=True, aborts=True))


def test_words_that_nobody_can_read_are_no_words(world: World) -> None:
    (world.move.run.place / NAME).write_text("{")
    with pytest.raises(JournalError, match="cannot be read"):
        said(world.move.run)


def test_while_it_is_paused_no_pass_is_made_and_go_does_not_wait(world: World) -> None:
    def pause() -> None:
        say(world.move.run, pauses=True)
        threading.Timer(0.3, saying(world, goes=True)).start()

    on_pass(world, 2, pause)
    assert world.work() is ExitCode.DONE
    assert before_the_freeze(world) == ["onward", "onward"]


@pytest.mark.parametrize(
    ("words", "pace"),
    [
        ({}, Pace(rate=1024.0)),
        ({"limit": "2k"}, Pace(rate=2048.0)),
        ({"limit": ""}, Pace()),
        ({"pauses": True}, Pace(rate=1024.0, paused=True)),
        ({"pauses": True, "goes": True}, Pace(rate=1024.0)),
        ({"pauses": True, "aborts": True}, Pace(rate=1024.0)),
    ],
)
def test_the_pace_is_what_was_said_last(world: World, words: dict[str, Any], pace: Pace) -> None:
    say(world.move.run, **words)
    assert pace_of(world.move.run, replace(world.move.plan, bwlimit="1k")) == pace


def asking(world: World, monkeypatch: pytest.MonkeyPatch, *, at: float | None, longest: float | None = None) -> None:
    """It goes by itself; the host is as it was, and the engine would be away for 2 to 4 seconds."""
    stored = world.move.run.plan()
    terms = replace(hold.terms_of(world.move.run), at=at, longest=longest)
    world.move.run.save_plan({**stored, "hold": to_json(terms)})
    monkeypatch.setattr(hold, "look_again", lambda *given: (given[3], Estimate(2.0, 4.0, "")))


def against(world: World) -> str:
    stands = hold.held(world.move.run)
    assert stands is not None
    return stands.against


def test_it_goes_by_itself_when_it_is_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = time.time() + 0.3
    asking(world, monkeypatch, at=at)
    assert world.work() is ExitCode.DONE
    assert next(one["at"] for one in world.move.run.records() if one["event"] == Event.GOING) >= at


@pytest.mark.parametrize(
    ("at", "longest", "word"),
    [
        (-2 * LATE, None, "has passed by more than ten minutes"),
        (0.0, 3.9, "2 s to 4 s now"),
        (None, 3.9, "--max-downtime"),
    ],
)
def test_what_is_against_it_is_told_and_it_is_held_on(
    world: World, monkeypatch: pytest.MonkeyPatch, at: float | None, longest: float | None, word: str
) -> None:
    """Also where it is to go at once (None): nothing is stopped before somebody says so."""
    asking(world, monkeypatch, at=hold.AT_ONCE if at is None else time.time() + at, longest=longest)
    told: list[str] = []

    def go() -> None:
        told.append(against(world))
        say(world.move.run, goes=True)

    on_pass(world, 3, go)
    assert world.work() is ExitCode.DONE
    assert word in told[0]
    assert before_the_freeze(world) == ["onward"] * 3


def test_what_speaks_against_a_stop_by_then_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PreflightError("Something was changed.")

    asking(world, monkeypatch, at=hold.AT_ONCE)
    monkeypatch.setattr(hold, "look_again", refuse)
    on_pass(world, 2, saying(world, aborts=True))
    assert world.work() is ExitCode.INTERRUPTED
    assert against(world) == "Something was changed."


def test_a_container_that_has_gone_is_not_looked_for_when_it_is_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that has none of ours would be taken for another one than that which has started us."""
    asking(world, monkeypatch, at=hold.AT_ONCE)
    seen: list[object] = []

    def look(*given: Any) -> tuple[Any, Estimate]:
        seen.append(given[4])
        return given[3], Estimate(2.0, 4.0, "")

    monkeypatch.setattr(hold, "look_again", look)
    world.move = replace(world.move, ours=frozenset({"always", "gone"}))
    hold.hold(world.move, world.journal, GONE, again=False)
    assert seen == [frozenset({"always"})]


def test_the_longest_counts_for_who_says_go_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asking(world, monkeypatch, at=None, longest=3.9)
    with pytest.raises(PreflightError, match="longer than agreed to"):
        hold.release(world.context, world.move.run, frozenset())
    assert not said(world.move.run).goes
    asking(world, monkeypatch, at=None, longest=4.0)
    hold.release(world.context, world.move.run, frozenset())
    assert said(world.move.run).goes
    assert hold.terms_of(world.move.run).downtime == (2.0, 4.0)

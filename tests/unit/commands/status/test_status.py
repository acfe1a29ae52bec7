"""The status says what the journal and systemd say, in words and in an exit code."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoint.commands.status import status, text
from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import Status
from entrypoint.console.errors import ExitCode
from entrypoint.console.events import Phase
from entrypoint.host.disks.stored import to_json
from entrypoint.host.machine import locality
from entrypoint.host.services.units import UnitState
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.journal.unfinished import KEPT, LOST
from entrypoint.move.worker import handover
from entrypoint.plan.plan import Direction, Plan
from tests.unit.support.fakes import Calls, FakeSystemd, make_host
from tests.unit.support.world import make_plan, with_first

# Three hours ahead of UTC, as tzfile(5) has it.
ZONE = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 3 * 3600, 0, 0) + b"MSK\0"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(make_host(tmp_path))


@pytest.fixture
def systemd(journal: Journal, tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(make_host(tmp_path / "other"), Calls())


def begun(journal: Journal) -> Run:
    journal.prepare()
    run = journal.begin()
    run.append(Event.BEGUN, source="/old", target="/new")
    return run


def step(run: Run, event: Event, *names: Phase) -> None:
    for name in names:
        run.append(event, step=name)


def ended(run: Run, outcome: Outcome, **facts: Any) -> None:
    run.append(Event.OUTCOME, outcome=outcome, **facts)


def pre_copying(run: Run) -> None:
    pass


def committed(run: Run) -> None:
    step(run, Event.INTENT, Phase.FREEZE)
    step(run, Event.DONE, Phase.VERIFY)
    ended(run, Outcome.COMMITTED)


def proven(run: Run) -> None:
    """As a disk leaves it that had no room for the last record."""
    run.append(Event.TOOK_OVER, pid=1)
    step(run, Event.INTENT, Phase.FREEZE, Phase.VERIFY)
    step(run, Event.DONE, Phase.VERIFY)


def rolled_back(run: Run) -> None:
    step(run, Event.INTENT, Phase.FREEZE, Phase.SWITCH)
    ended(run, Outcome.ROLLED_BACK, failed_in=Phase.SWITCH, reason="The disk is full.", problems=[])


def broken(run: Run) -> None:
    step(run, Event.INTENT, Phase.FREEZE, Phase.START)
    ended(run, Outcome.BROKEN, failed_in=Phase.START, reason="It did not start.", problems=["freeze: no", "start: no"])


def interrupted(run: Run) -> None:
    ended(run, Outcome.INTERRUPTED, failed_in=Phase.PRE_COPY, reason="interrupted")


def abandoned(run: Run) -> None:
    """As a container that was killed while it copied leaves it."""


def handed_over(run: Run) -> None:
    run.append(Event.HANDED_OVER, unit=handover.UNIT)


def left_behind(run: Run) -> None:
    ended(run, Outcome.ROLLED_BACK, failed_in=Phase.START, reason="It did not start.", left="Device is busy.")


def kept(run: Run) -> None:
    ended(run, Outcome.ROLLED_BACK, failed_in=Phase.FREEZE, reason="It was cut off.", left=KEPT)


def lost(run: Run) -> None:
    ended(run, Outcome.ROLLED_BACK, failed_in=Phase.FINAL_SYNC, reason="It is another directory.", left=LOST)


def getting_ready(run: Run) -> None:
    run.append(Event.BEGUN, source="/old", target="/new", hold=True)
    handed_over(run)
    run.append(Event.TOOK_OVER, pid=1)


def held(run: Run) -> None:
    getting_ready(run)
    run.append(Event.HELD)


def going(run: Run) -> None:
    held(run)
    run.append(Event.GOING)


def cut_off(run: Run) -> None:
    run.append(Event.TOOK_OVER, pid=1)
    step(run, Event.INTENT, Phase.FREEZE, Phase.FINAL_SYNC)


Case = tuple[Callable[[Run], None], UnitState, State, int, tuple[str, ...]]
CASES: tuple[Case, ...] = (
    (pre_copying, UnitState.ACTIVE, State.WORKING, 10, ("at work: /old → /new", "pre-copy", "is up", "status --wait")),
    (getting_ready, UnitState.ACTIVE, State.WORKING, 10, ("/new, hold.", "The engine is up.", "status --wait")),
    (held, UnitState.ACTIVE, State.HELD, 10, ("is held: /old → /new", "The engine runs", "relocator go", "abort")),
    (held, UnitState.FAILED, State.CUT_OFF, 5, ("hold",)),
    (going, UnitState.ACTIVE, State.WORKING, 10, ("hand-over", "journalctl -fu relocator.service")),
    (cut_off, UnitState.ACTIVATING, State.WORKING, 10, ("final sync", "journalctl -fu relocator.service")),
    (committed, UnitState.DEACTIVATING, State.WORKING, 10, ("is at work",)),
    (committed, UnitState.INACTIVE, State.COMMITTED, 0, ("from /old to /new", "The old root is still in /old")),
    (proven, UnitState.INACTIVE, State.COMMITTED, 0, ("from /old to /new", "The old root is still in /old")),
    (proven, UnitState.ACTIVE, State.WORKING, 10, ("is at work",)),
    (rolled_back, UnitState.FAILED, State.ROLLED_BACK, 4,
     ("The move (run 000001) failed in the phase `switch`", "Why: The disk is full.", "runs on /old, as before",
      "The copy in /new was removed.", "run the same command")),
    (broken, UnitState.FAILED, State.BROKEN, 5,
     ("failed in the phase `start`", "Why: It did not start.", "  freeze: no\n  start: no",
      "/old (complete, as it was)", "sh /var/lib/relocator/runs/000001/back/back.sh now")),
    (left_behind, UnitState.FAILED, State.ROLLED_BACK, 4,
     ("runs on /old, as before", "The copy in /new is still there: Device is busy.",
      "Mend the cause, look at /new and empty it, then run the same command again.")),
    (kept, UnitState.FAILED, State.ROLLED_BACK, 4,
     (f"The copy in /new is still there: {KEPT}", "Mend the cause and run the same command again.")),
    (lost, UnitState.FAILED, State.ROLLED_BACK, 4,
     (f"The copy in /new: {LOST}", "Mend the cause and run the same command again.")),
    (interrupted, UnitState.INACTIVE, State.INTERRUPTED, 130, ("interrupted", "Nothing was changed.")),
    (cut_off, UnitState.FAILED, State.CUT_OFF, 5,
     ("cut off in the phase `final sync`", "started again by the host", "docker info", "the same command again")),
    (handed_over, UnitState.FAILED, State.CUT_OFF, 5, ("cut off in the phase `hand-over`", "docker info")),
    (abandoned, UnitState.INACTIVE, State.ABANDONED, 130,
     ("before the engine was stopped", "not touched", "An unfinished copy is in /new")),
)  # fmt: skip


@pytest.mark.parametrize(("write", "unit", "state", "code", "words"), CASES)
def test_a_run_is_told_by_its_records_and_the_worker(
    journal: Journal,
    systemd: FakeSystemd,
    write: Callable[[Run], None],
    unit: UnitState,
    state: State,
    code: int,
    words: tuple[str, ...],
) -> None:
    write(begun(journal))
    systemd.states[handover.UNIT] = unit
    found = status.read(journal, systemd)
    assert (found.state, int(found.exit_code)) == (state, code)
    assert (found.run, found.source, found.target) == ("000001", "/old", "/new")
    for word in words:
        assert word in text.text(found)
    assert found.to_json() | {"version": 1, "state": state, "exit_code": code, "run": "000001"} == found.to_json()


@pytest.mark.parametrize(("write", "words"), [
    (rolled_back, "The way back (run 000001) failed in the phase `switch`, and was undone."),
    (broken, "The way back (run 000001) failed in the phase `start`, and could not be undone completely."),
])  # fmt: skip
def test_a_failed_way_back_is_not_called_a_move(journal: Journal, write: Callable[[Run], None], words: str) -> None:
    journal.prepare()
    run = journal.begin()
    run.append(Event.BEGUN, source="/new", target="/old", direction=Direction.BACK)
    write(run)
    told = text.text(status.of_run(run, busy=False))
    assert words in told
    assert "rolled back" not in told


def test_a_host_without_a_run_has_no_status(journal: Journal, systemd: FakeSystemd) -> None:
    found = status.read(journal, systemd)
    assert found == Status(State.NONE)
    assert (found.exit_code, text.text(found)) == (ExitCode.DONE, "No move was ever begun on this host.")
    assert not journal.exists()


def test_the_last_run_counts(journal: Journal, systemd: FakeSystemd) -> None:
    rolled_back(begun(journal))
    committed(begun(journal))
    assert (status.read(journal, systemd).run, status.read(journal, systemd).state) == ("000002", State.COMMITTED)


def test_a_run_that_came_to_nothing_does_not_hide_what_an_earlier_one_has_left(
    journal: Journal, systemd: FakeSystemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = SimpleNamespace(path="/old")
    monkeypatch.setattr(status, "old_roots", lambda _host, _journal: (old,))
    host = make_host(tmp_path / "zone")
    committed(begun(journal))
    assert "earlier" not in text.text(status.told_by(host, status.read(journal, systemd), journal))
    ended(begun(journal), Outcome.INTERRUPTED)
    found = status.told_by(host, status.read(journal, systemd), journal)
    assert (found.state, found.waiting) == (State.INTERRUPTED, ("/old",))
    assert "An earlier move has left /old, which can be removed: relocator cleanup" in text.text(found)
    with journal.locked():
        assert status.told_by(host, status.read(journal, systemd), journal).waiting == ()


def test_an_adoption_that_was_taken_back_leaves_nothing_to_remove(journal: Journal, systemd: FakeSystemd) -> None:
    journal.prepare()
    for direction, source, target in ((Direction.ADOPT, "/fresh", "/data"), (Direction.BACK, "/data", "/fresh")):
        run = journal.begin()
        run.append(Event.BEGUN, source=source, target=target, direction=direction)
        ended(run, Outcome.COMMITTED)
    found = status.read(journal, systemd)
    assert found.old_root == "adopted"
    assert "/data stays as it is" in text.text(found)
    assert "cleanup" not in text.text(found)


def test_whoever_holds_the_lock_is_at_work(journal: Journal, systemd: FakeSystemd) -> None:
    begun(journal)
    with journal.locked():
        assert status.read(journal, systemd).state is State.WORKING
    assert status.read(journal, systemd).state is State.ABANDONED


def test_a_copy_that_was_removed_is_not_spoken_of(journal: Journal) -> None:
    run = begun(journal)
    rolled_back(run)
    found = status.of_run(run, busy=False)
    assert found.left == ""
    assert "still there" not in text.text(found)


@pytest.mark.parametrize("outcome", [*State])
def test_every_state_has_words_and_a_code(outcome: State) -> None:
    assert text.text(Status(outcome))
    assert Status(outcome).exit_code in set(ExitCode)


def times(run: Run, *records: tuple[Event, Phase, float]) -> None:
    lines = (f'{{"at": {at}, "event": "{event}", "step": "{name}"}}\n' for event, name, at in records)
    with (run.place / "journal.jsonl").open("a") as file:
        file.writelines(lines)


@pytest.mark.parametrize(
    ("records", "downtime"),
    [
        ((), None),
        (((Event.INTENT, Phase.FREEZE, 100.0),), None),
        (((Event.INTENT, Phase.FREEZE, 100.0), (Event.DONE, Phase.START, 103.0)), None),
        (((Event.INTENT, Phase.FREEZE, 100.0), (Event.PROVEN, Phase.VERIFY, 104.25)), 4.25),
        (((Event.INTENT, Phase.FREEZE, 100.0), (Event.UNDONE, Phase.FREEZE, 107.1234)), 7.123),
        (((Event.INTENT, Phase.SWITCH, 100.0), (Event.UNDONE, Phase.SWITCH, 107.0)), None),
    ],
)
def test_the_downtime_is_from_the_freeze_until_the_engine_was_proven(
    journal: Journal, records: tuple[tuple[Event, Phase, float], ...], downtime: float | None
) -> None:
    run = begun(journal)
    times(run, *records)
    assert status.of_run(run, busy=False).downtime == downtime


def test_the_downtime_is_told(journal: Journal) -> None:
    run = begun(journal)
    times(run, (Event.INTENT, Phase.FREEZE, 100.0), (Event.PROVEN, Phase.VERIFY, 102.345))
    ended(run, Outcome.COMMITTED)
    assert "The engine was away for 2.3 s." in text.text(status.of_run(run, busy=False)).splitlines()


def test_when_and_where_a_run_was_is_told_in_the_hosts_time(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(journal)
    monkeypatch.setattr(locality, "name", lambda _: "web1")
    lines = run.place.joinpath("journal.jsonl").read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"at": 1772355600.4})
    lines.append(json.dumps({"at": 1772355660.0, "event": "outcome", "outcome": "committed"}))
    run.place.joinpath("journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    here = make_host(tmp_path / "here")
    assert status.told_by(here, status.of_run(run, busy=False), journal).began == "2026-03-01T09:00:00+00:00"
    here.path("/etc/localtime").symlink_to("../zone")
    here.path("/zone").write_bytes(ZONE)
    found = status.told_by(here, status.of_run(run, busy=False), journal)
    assert (found.host, found.began, found.ended) == ("web1", "2026-03-01T12:00:00+03:00", "2026-03-01T12:01:00+03:00")
    assert "Begun on web1 2026-03-01 12:00:00+03:00, ended 2026-03-01 12:01:00+03:00." in text.text(found).splitlines()


def test_what_was_verified_and_what_comes_back_are_told(journal: Journal) -> None:
    run = begun(journal)
    run.save_plan({"plan": to_json(with_first(make_plan(), size=5 << 30))})
    lasting = {"auto_remove": False, "service": ""}
    passing = [{**lasting, "auto_remove": True}, {**lasting, "service": "web"}]
    held = {
        "containers": [lasting, lasting, *passing],
        "images": {"a": 1},
        "volumes": {},
        "networks": {},
        "plugins": {},
    }
    run.save_inventory(held)
    times(run, (Event.INTENT, Phase.FREEZE, 100.0), (Event.DONE, Phase.FREEZE, 101.0))
    times(run, (Event.INTENT, Phase.VERIFY, 101.0), (Event.DONE, Phase.VERIFY, 102.0))
    assert status.of_run(run, busy=True).verified == {}
    ended(run, Outcome.COMMITTED)
    found = status.of_run(run, busy=False)
    assert found.verified == {"containers": 2, "images": 1, "volumes": 0, "networks": 0, "plugins": 0}
    assert found.frees == 5 << 30
    assert "2 containers, 1 image, 0 volumes, 0 networks, 0 plugins, all as before." in text.text(found)
    assert "(5.0 GiB come back)" in text.text(found)
    assert text.report(found, 80).startswith(text.text(found))
    assert "freeze" in text.report(found, 80).removeprefix(text.text(found))


@pytest.mark.parametrize("plan", [with_first(make_plan(), links=True), replace(make_plan(), direction=Direction.BACK)])
def test_what_comes_back_is_not_guessed(journal: Journal, plan: Plan) -> None:
    run = begun(journal)
    assert status.of_run(run, busy=False).frees is None
    run.save_plan({"plan": to_json(plan)})
    assert status.of_run(run, busy=False).frees is None


@pytest.mark.parametrize("up", [True, False])
def test_why_an_engine_does_not_start_is_told_where_it_does_not(
    journal: Journal, systemd: FakeSystemd, up: bool
) -> None:
    """And by its unit's own name."""
    run = begun(journal)
    run.save_plan({"plan": to_json(make_plan()) | {"service": "moby.service"}})
    ended(run, Outcome.BROKEN, reason="x", problems=["y"], failed_in="start")
    systemd.states["moby.service"] = UnitState.ACTIVE if up else UnitState.FAILED
    found = status.read(journal, systemd)
    said = text.text(found)
    assert (found.engine_up, "does not start" in said) == (up, not up)
    assert "moby.service" in said
    assert "docker.service" not in said


def test_waiting_ends_at_once_when_nobody_is_at_work(journal: Journal, systemd: FakeSystemd) -> None:
    committed(begun(journal))
    assert status.wait(journal, systemd).state is State.COMMITTED

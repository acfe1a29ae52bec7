"""A data root that is in the target becomes a copy of ours, if that is wanted, and what is removed is told before."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands.line import cli
from entrypoint.console.errors import UsageError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.host.host import Host
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Outcome
from entrypoint.journal.unfinished import Unfinished
from entrypoint.move.recovery import save
from entrypoint.move.roots import finishing, old_roots
from entrypoint.move.roots.claim import has_strangers
from entrypoint.move.roots.finishing import FINISH
from entrypoint.preflight import preflight
from entrypoint.preflight.adoption import ADOPT, Adoptable
from entrypoint.preflight.checks import target as target_checks
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Left, Rest, RootKind
from tests.unit.preflight.test_adoption import FOUND
from tests.unit.support.data_root import write
from tests.unit.support.fakes import DEFAULT_ROOT, make_host
from tests.unit.support.good_facts import GOOD, with_target, working_on
from tests.unit.support.world import TARGET, make_plan


def facts_of(root: Path) -> tuple[Host, HostFacts]:
    host = make_host(root)
    for place in (DEFAULT_ROOT, TARGET):
        write(host.path(place) / "volumes/data/_data/file")
    write(host.path(TARGET) / "volumes/data/_data/extra")
    wanted = PurePosixPath(TARGET)
    facts = with_target(GOOD, path=wanted, resolved=wanted, content=("volumes",))
    return host, working_on(facts, PurePosixPath(DEFAULT_ROOT))


def test_what_the_root_in_use_has_not_is_counted_and_the_rest_becomes_a_copy_of_ours(tmp_path: Path) -> None:
    host, facts = facts_of(tmp_path)
    held = replace(FOUND, record=None)
    wanted = finishing.look(host, facts, held, (FINISH,))
    assert wanted.first.target.rest == Rest(entries=5, extra=1)
    (found,) = target_checks.occupied(wanted, wanted.first)
    assert (found.id, found.severity) == ("target-taken-over", "warning")
    assert "5 files and directories. 1 of them" in found.detail
    plan = make_plan()
    finishing.take_over(host, plan, ())
    assert has_strangers(host, plan.first, plan.engine_id)
    finishing.take_over(host, plan, (FINISH,))
    assert not has_strangers(host, plan.first, plan.engine_id)
    record = Unfinished.read(host.path(TARGET))
    assert record and (record.layers, record.shards) == ((), ())
    assert record.found and record.found.mode == 0o755


@pytest.mark.parametrize(
    ("held", "left", "is_asked"),
    [(None, None, True), (FOUND, None, True), (replace(FOUND, record=None), None, False),
     (replace(FOUND, record=None), Left.WAY_BACK, True)],
)  # fmt: skip
def test_nothing_else_is_taken_over(tmp_path: Path, held: Adoptable | None, left: Left | None, is_asked: bool) -> None:
    """No directory that is not known for a root, none with a record, none that a move has left, and none unasked."""
    host, facts = facts_of(tmp_path)
    facts = replace(facts, left={RootKind.DATA_ROOT: left} if left else {})
    wanted = finishing.look(host, facts, held, (FINISH,) if is_asked else ())
    found = list(target_checks.occupied(wanted, wanted.first))
    assert preflight.refuses(found), found


def test_the_copy_of_a_failed_move_may_be_finished(tmp_path: Path) -> None:
    host, facts = facts_of(tmp_path)
    wanted = finishing.look(host, replace(facts, left={RootKind.DATA_ROOT: Left.FAILED}), None, (FINISH,))
    assert [one.id for one in target_checks.occupied(wanted, wanted.first)] == ["target-taken-over"]


def test_it_is_either_finished_or_adopted() -> None:
    for option, what in (("--finish-copy", FINISH), ("--adopt", ADOPT)):
        asked = cli.parse(["/new", option])
        assert asked is not None
        assert asked.request is not None
        assert asked.request.accepted == {what}
    with pytest.raises(UsageError, match="Either"):
        cli.parse(["/new", "--adopt", "--finish-copy"])


@pytest.mark.parametrize(
    ("outcome", "started", "again", "is_failed"),
    [
        (Outcome.ROLLED_BACK, True, False, True),
        (Outcome.BROKEN, True, False, True),
        (Outcome.ROLLED_BACK, False, False, False),
        (Outcome.COMMITTED, True, False, False),
        (Outcome.ROLLED_BACK, True, True, False),
    ],
)
def test_the_journal_knows_the_copy_of_a_failed_move(
    tmp_path: Path, outcome: Outcome, started: bool, again: bool, is_failed: bool
) -> None:
    host, _ = facts_of(tmp_path)
    journal = Journal(host)
    journal.prepare()
    run = journal.begin()
    run.begun(boot="")
    save(run, make_plan(), [Copied(frozenset(), 0.0, 0.0, identity(host.path(TARGET)))])
    if started:
        run.append(Event.INTENT, step="start")
    run.append(Event.OUTCOME, outcome=outcome)
    if again:  # made anew, and given the same number
        run.append(Event.CLEANED)
        host.path(TARGET).rename(host.path(f"{TARGET}-away"))
        host.path(TARGET).mkdir()
    assert old_roots.is_failed_copy(host, journal, TARGET) is is_failed
    assert (old_roots.how_left(host, journal, TARGET) is Left.FAILED) is is_failed
    assert not old_roots.is_failed_copy(host, journal, "/elsewhere")

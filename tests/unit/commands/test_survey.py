"""What is shown of a plan: by `run` what one needs to know, and all of it by `plan`."""

import pytest

from entrypoint.commands import survey
from entrypoint.console.events import log
from entrypoint.preflight.request import Request
from tests.unit.support.good_facts import GOOD
from tests.unit.support.world import TARGET


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_says_what_one_needs_to_know_and_plan_says_all(monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "info", lambda event, what="", **_facts: said.append(what or event))
    survey.make_plan(survey.Survey(GOOD, ()), Request.of(TARGET), whole=whole)
    assert {"source", "target", "time to copy", "downtime", "units"} <= set(said)
    assert [one in said for one in ("plan.step", "plan.edit", "way back", "all of it")] == [*[whole] * 3, not whole]

"""The benchmark on tiny content: that it measures everything, writes it down, and goes on where it was stopped."""

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.methods import TITLES

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(900)]


def test_a_quick_bench_measures_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--out", str(tmp_path)]) == 0
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["complete"]
    table = (tmp_path / "table.md").read_text()
    assert all(title in table for title in TITLES.values())
    runs = {(run["part"], run["key"]): run for run in stored["runs"]}
    assert 0 < runs["downtime", "a 1x"]["seconds"] < 60
    assert runs["downtime", "d 1x"]["seconds"] < runs["downtime", "d 1x"]["total"]
    assert runs["many", "memory"]["peak"] < 200e6
    assert table in capsys.readouterr().out
    assert main(["--report", "--out", str(tmp_path), "--quick"]) == 0
    assert (tmp_path / "table.md").read_text() == table

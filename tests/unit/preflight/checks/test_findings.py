"""Every finding that the code can make is shown by a test and explained in docs/findings.md, and no other is."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from entrypoint.console.findings import Finding, Severity, insisted
from tests import docs

ROOT = Path(__file__).parents[4]
ROW = re.compile(r"^\| `([a-z-]+)` \| ([a-z, ]+) \| ([^|]+) \| \S.* \| \S.* \|$", re.MULTILINE)


def module_of(place: Path) -> str:
    return ".".join(place.relative_to(ROOT).with_suffix("").parts)


def made() -> Iterator[tuple[str, str]]:
    """Id and level of each finding in the code; an id that is put together is a pattern."""
    for place in sorted((ROOT / "entrypoint").rglob("*.py")):
        for node in ast.walk(ast.parse(place.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="error" | "warning" as level), args=[ast.Constant(value=str(id)), *_]):
                    yield id, level
                case ast.Call(func=ast.Name(id="error" | "warning" as level), args=[ast.JoinedStr(values=parts), *_]):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts), level
                case ast.Call(func=ast.Name(id="error" | "warning" as level), args=[ast.Name(id=name), *_]):
                    yield getattr(importlib.import_module(module_of(place)), name), level
                case _:
                    pass


ROWS = ROW.findall((ROOT / "docs/findings.md").read_text())
ASKED = {id: [command.strip("`") for command in asked.split(", ")] for id, _levels, asked in ROWS}
EXPLAINED = [(id, level) for id, levels, _asked in ROWS for level in levels.split(", ")]
SHOWN = "\n".join(place.read_text() for place in (ROOT / "tests/unit").rglob("test_*.py") if place != Path(__file__))


def test_there_are_findings_and_each_is_explained_once() -> None:
    assert len(ROWS) == len(ASKED) > 40


def test_every_finding_is_explained_with_its_level() -> None:
    missing = [one for one in made() if not any(fnmatchcase(id, one[0]) and level == one[1] for id, level in EXPLAINED)]
    assert missing == []


@pytest.mark.parametrize(("id", "level"), EXPLAINED)
def test_what_is_explained_can_be_found_and_is_shown_by_a_test(id: str, level: str) -> None:
    assert any(fnmatchcase(id, pattern) for pattern, made_level in made() if made_level == level)
    assert re.search(rf"[\"\[ ]{id}[\"\] ]", SHOWN)


def test_the_page_is_what_the_code_and_the_words_give() -> None:
    """Else: make docs."""
    assert (ROOT / "docs/findings.md").read_text() == docs.written()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"The target": {"target-ro": ["a", "b"]}}, "adopted-lacks"),
        (tomllib.loads(docs.WORDS.read_text()) | {"More": {"no-such-thing": ["a", "b"]}}, "alone: no-such-thing"),
    ],
    ids=["a finding without words", "words without a finding"],
)
def test_words_and_findings_belong_together(words: dict[str, dict[str, object]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        docs.page({"text": ""} | words)


@pytest.mark.parametrize(
    ("id", "commands"),
    [
        ("target-space", ["run", "--only containerd"]),
        ("store-pending", ["run", "--adopt", "--only containerd", "rollback"]),
        ("source-incomplete", ["run", "--only containerd", "cleanup"]),
        ("root-unknown", ["--adopt"]),
        ("containerd-no-root", ["--only containerd"]),
        ("old-root-gone", ["rollback"]),
        ("old-root-bound", ["cleanup"]),
        ("other-product", ["all"]),
    ],
)
def test_which_commands_ask_is_read_from_the_table_and_the_checks(id: str, commands: list[str]) -> None:
    """One of each kind, by hand."""
    assert ASKED[id] == commands


def test_what_was_agreed_to_will_be() -> None:
    found = insisted(Finding("an-id", Severity.ERROR, "They would be removed", "How.", "Do."))
    assert (found.severity, found.title, found.remedy) == (Severity.WARNING, "They will be removed", "")


def test_a_finding_says_what_how_and_what_to_do() -> None:
    assert Finding("an-id", Severity.ERROR, "What", "How.", "Do.").text() == "What [an-id]\nHow.\n    Do."

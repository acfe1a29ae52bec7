"""The house: few entries in each folder, each says what it is for, and no module is too long to be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_ENTRIES, MOST_LINES = 12, 320
PASSED_OVER = ("__pycache__",)


def folders(top: Path) -> Iterator[Path]:
    yield top
    for place in sorted(top.iterdir()):
        if place.is_dir() and place.name not in PASSED_OVER:
            yield from folders(place)


def named(place: Path) -> str:
    return str(place.relative_to(ROOT))


@pytest.mark.parametrize("folder", [*folders(ROOT / "entrypoint")], ids=named)
def test_a_folder_has_few_entries_and_says_what_it_is_for(folder: Path) -> None:
    assert len([place for place in folder.iterdir() if place.name not in PASSED_OVER]) <= MOST_ENTRIES
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    long = {named(place): lines for place in (ROOT / "entrypoint").rglob("*.py")
            if (lines := len(place.read_text().splitlines())) > MOST_LINES}  # fmt: skip
    assert long == {}

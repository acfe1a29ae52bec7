"""The house: few entries in each folder, each says what it is for, and no module is too long to be read at once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_ENTRIES, MOST_LINES = 12, 320
PASSED_OVER = ("__pycache__",)
NAMED = re.compile(r"`(\w+)`")
CONSTANT = re.compile(r"_?[A-Z]|__\w+__$|log$")


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


def faces() -> Iterator[tuple[str, frozenset[str] | None]]:
    """Each folder of the package, by its dotted name, and what may be imported: what its docstring names, and the
    folders in it, which have faces of their own; nothing where that is each module."""
    for folder in folders(ROOT / "entrypoint"):
        if folder.name != "entrypoint":
            told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
            named = {
                *NAMED.findall(told.partition("Face:")[2]),
                *(one.name for one in folder.iterdir() if one.is_dir()),
            }
            yield dotted(folder), None if "Face: each module" in told else frozenset(named)


def dotted(place: Path) -> str:
    return ".".join(place.relative_to(ROOT).with_suffix("").parts)


def imports() -> Iterator[tuple[str, str]]:
    """Who imports what, module by module."""
    places = {dotted(place): place for place in (ROOT / "entrypoint").rglob("*.py")}
    modules = {name.removesuffix(".__init__") for name in places}
    for name, place in places.items():
        for node in ast.walk(ast.parse(place.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield name, whole if whole in modules else node.module


def test_nothing_is_imported_past_a_face() -> None:
    """What a folder's docstring names may be imported from outside, and nothing else."""
    found = [*imports()]
    past = [f"{importer}: {folder}.{module}" for folder, face in faces() for importer, imported in found
            if face is not None and imported.startswith(f"{folder}.") and not importer.startswith(f"{folder}.")
            and (module := imported.removeprefix(f"{folder}.").partition(".")[0]) not in face]  # fmt: skip
    assert past == []


@pytest.mark.parametrize("place", sorted((ROOT / "entrypoint").rglob("*.py")), ids=named)
def test_no_module_keeps_state_in_a_global(place: Path) -> None:
    """What is named there is constant: in capitals, or the name of a type; `log` is structlog's, which has one a
    process."""
    tree = ast.parse(place.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    targets = [target for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
               for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]  # fmt: skip
    names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    assert [name for name in names if not CONSTANT.match(name)] == []

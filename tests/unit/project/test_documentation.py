"""What the documentation names is there: pages, commands, exit codes, states, capabilities, modules of the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.commands.line import cli, options
from entrypoint.commands.status.state import EXIT_CODES
from entrypoint.console.errors import ExitCode
from entrypoint.host.machine import programs
from entrypoint.host.machine.standing import CAPABILITIES

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
COMMAND = re.compile(
    r"(?:^|`|\$run |docker run [^`\n]* |\bsh )relocat(?:or|e) +([^`\n]*?)\s*(?:`|#|$|;|\))", re.MULTILINE
)
MADE = ("docs/bench",)  # by `make bench`
PLACEHOLDERS = {"NUMBER": "1", "TARGET": "/new", ">page.html": ""}


def commands() -> Iterator[tuple[str, str]]:
    for page in (*PAGES, *sorted((ROOT / "examples").glob("*/*"))):
        text = page.read_text().replace("\\\n", " ")
        for words in COMMAND.findall(text):
            if words.startswith(("/", "-")) or words.split(" ")[0] in options.VERBS:
                yield page.name, words


@pytest.mark.parametrize(("page", "words"), sorted(set(commands())))
def test_a_command_in_the_documentation_is_one(page: str, words: str) -> None:
    for placeholder, word in PLACEHOLDERS.items():
        words = words.replace(placeholder, word)
    words = re.split(r" +(?:>|#|\|)", words.strip(" \"'"))[0]
    cli.parse(shlex.split(words))  # raises what is wrong


def test_the_commands_are_found() -> None:
    found = {words for _, words in commands()}
    assert {"status --wait", "cleanup", "rollback", "plan /mnt/data/docker --json"} <= found
    assert {words for page, words in commands() if page == "README.md"} >= {"check /mnt/data/docker", "rollback"}


@pytest.mark.parametrize(
    "page",
    [*PAGES, *sorted((ROOT / "examples").glob("*/*")), ROOT / "entrypoint/commands/printed/script.sh"],
    ids=lambda page: page.name,
)
def test_the_script_is_never_piped_into_a_shell(page: Path) -> None:
    """One that could not be printed would be an empty one there, and no error."""
    assert not re.search(r"relocator script *\|", page.read_text())
    assert "@ script |" not in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_page(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("https://") or link in MADE or (page.parent / link).exists(), link


def rows(page: str) -> list[list[str]]:
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / page).read_text().splitlines()
        if line.startswith("|")
    ]


def test_every_exit_code_is_explained() -> None:
    assert [int(row[0]) for row in rows("exit-codes.md") if row[0].isdigit()] == [int(code) for code in ExitCode]


def test_every_state_is_explained_with_its_code() -> None:
    told = {row[0]: row[1] for row in rows("recovery.md") if row[1].isdigit()}
    assert told == {str(state): str(int(code)) for state, code in EXIT_CODES.items()}


def test_every_option_and_command_is_on_its_page() -> None:
    known = {name for _text, words in options.VERBS.values() for name, _how in words if name.startswith("-")}
    table = re.findall(r"^\| `.*?\| `(--[a-z-]+)", (ROOT / "docs/options.md").read_text(), re.MULTILINE)
    assert set(table) == known
    assert len(table) == len(set(table))
    named = {word.split(" ")[0] for row in rows("options.md") for word in re.findall(r"[a-z]+ ?[A-Z]*$", row[0])}
    assert named >= {*options.VERBS} - {"run"}


def test_every_capability_has_its_reason() -> None:
    named = {word for row in rows("security.md") for word in re.findall(r"[A-Z]+_[A-Z_]+|MKNOD", row[-1])}
    assert named == set(CAPABILITIES)


def test_every_program_that_a_host_must_have_is_named() -> None:
    named = {word for row in rows("boots.md") for word in re.findall(r"[a-z-]+", row[0])}
    assert {*programs.NEEDED, "docker", "sleep"} <= named


def links(page: Path) -> set[Path]:
    found = re.findall(r"\]\(([^):#]+\.md)", page.read_text())
    return {(page.parent / link).resolve() for link in found}


def test_every_page_is_reached_from_the_readme() -> None:
    """In two steps at most."""
    near = links(ROOT / "README.md")
    far = {page for one in near for page in links(one)}
    assert [page.name for page in PAGES[2:] if page not in near | far] == []


def test_the_readme_is_short_and_its_sentences_too() -> None:
    """One who reads it is tired, and English may not be their language."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    prose = " ".join(line for line in lines if not line.startswith(("|", "#", "docker", "sh ")))
    sentences = re.split(r"(?<=[.:?!;])\s|\*\*|```| \* ", prose)
    assert [sentence for sentence in sentences if len(sentence.split()) >= 30] == []

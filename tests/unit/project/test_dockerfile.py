"""The Dockerfile keeps the rules that matter, read as the builder reads it; shellcheck reads what it runs."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
SHELL_FILES = re.compile(r"^SHELL_FILES := (.*)$", re.MULTILINE)
SHEBANG = re.compile(rb"#!(/usr)?/bin/(env )?(ba|da)?sh\b")


def instructions() -> Iterator[tuple[str, str]]:
    """Each with its arguments on one line."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, " ".join(rest.split())


ALL = list(instructions())


def of(word: str) -> list[str]:
    return [rest for name, rest in ALL if name == word]


def test_only_what_is_understood_here_is_used() -> None:
    assert {name for name, _ in ALL} <= {"FROM", "RUN", "COPY", "ARG", "ENV", "LABEL", "ENTRYPOINT"}


def test_the_base_is_named_by_a_release_that_stays() -> None:
    """And what is started from nothing is made of it alone."""
    bases = [rest.split()[0] for rest in of("FROM")]
    assert set(bases) == {"debian:trixie-slim", "scratch"}
    stages = {rest.split()[2] for rest in of("FROM") if " AS " in rest}
    assert {rest.split()[0].removeprefix("--from=") for rest in of("COPY") if rest.startswith("--from")} <= stages
    assert 'image.base.name="docker.io/library/debian:trixie-slim"' in TEXT


@pytest.mark.parametrize("command", [rest for rest in of("RUN") if "apt-get" in rest])
def test_packages_are_installed_in_one_go_and_nothing_is_left_of_it(command: str) -> None:
    parts = [part.strip() for part in command.split("&&")]
    updated = parts.index("apt-get update")
    assert parts[updated + 1].startswith("apt-get install -y --no-install-recommends ")
    removed = {word for part in parts if part.startswith("rm -rf ") for word in part.split()}
    assert removed & {"/var/lib/apt/lists/*", "/var/lib/apt"}


def test_python_packages_are_wheels_whose_hashes_are_known() -> None:
    (command,) = [rest for rest in of("RUN") if "pip install" in rest]
    assert {"--only-binary=:all:", "--require-hashes", "--no-cache-dir"} <= set(command.split())


def test_what_is_copied_is_in_the_context_and_nothing_else_is() -> None:
    sources = {rest.split()[0] for rest in of("COPY") if not rest.startswith("--from")}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == sources


def test_it_is_started_without_a_shell_and_by_its_full_name() -> None:
    (entrypoint,) = of("ENTRYPOINT")
    words = json.loads(entrypoint)
    assert words[:2] == ["/usr/bin/env", "/usr/bin/python3"]  # the first is deaf to its environment under SELinux


def test_no_file_lends_rights() -> None:
    assert "-perm /6000 -exec chmod a-s {} +" in of("RUN")[-1]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("command", of("RUN"))
def test_nothing_is_said_against_what_it_runs(command: str) -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", "-"], input=f"{command}\n", capture_output=True, text=True)
    assert done.stdout == ""


def test_every_shell_file_is_checked_by_lint() -> None:
    listed = SHELL_FILES.search((ROOT / "Makefile").read_text())
    assert listed is not None
    tracked = subprocess.run(["git", "-c", "safe.directory=*", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("no checkout")
    found = [name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()]
    assert {name for name in found if SHEBANG.match((ROOT / name).read_bytes()[:40])} == set(listed[1].split())

"""What is printed for other programs does in them what it is for."""

import re
import subprocess
from pathlib import Path

import pytest

from entrypoint.commands.line import options
from entrypoint.commands.printed import completion, manual
from entrypoint.console.errors import ExitCode

ASK = """
source {file}
COMP_WORDS=({words}) COMP_CWORD={at}
_relocator
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words; an empty one is a word that is not begun."""
    file = tmp_path / "completion"
    file.write_text(completion.bash())
    quoted = " ".join(f"'{word}'" for word in words)
    script = ASK.format(file=file, words=quoted, at=len(words) - 1)
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs_are_offered_first(tmp_path: Path) -> None:
    assert completed(tmp_path, "relocate", "") == [*options.VERBS]
    assert completed(tmp_path, "relocate", "roll") == ["rollback"]
    assert completed(tmp_path, "relocate", "rollback", "") == []


@pytest.mark.parametrize("verb", options.VERBS)
def test_of_each_verb_its_options_are_offered(tmp_path: Path, verb: str) -> None:
    names = [name for name, _how in options.VERBS[verb][1] if name.startswith("--")]
    assert completed(tmp_path, "relocate", verb, "--") == [*names, "--help"]


def test_after_a_target_the_options_of_a_move_are_offered(tmp_path: Path) -> None:
    assert completed(tmp_path, "relocate", "/mnt/data", "--bw") == ["--bwlimit"]
    assert completed(tmp_path, "relocate", "--ver") == ["--version"]


def test_a_target_is_a_directory_and_some_options_have_values(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "document").touch()
    assert completed(tmp_path, "relocate", "check", f"{tmp_path}/doc") == [f"{tmp_path}/docker"]
    assert completed(tmp_path, "relocate", "/new", "--only", "") == ["data-root", "containerd"]
    assert f"{tmp_path}/document" in completed(tmp_path, "relocate", "status", "--html", f"{tmp_path}/doc")


def test_bash_calls_it_for_the_names_that_a_script_has(tmp_path: Path) -> None:
    file = tmp_path / "completion"
    file.write_text(completion.bash())
    asked = ["bash", "--norc", "-c", f"source {file}; complete -p relocate relocator"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.count("-F _relocator") == 2


def test_the_manual_page_is_read_by_roff_without_a_warning_and_has_everything() -> None:
    shown = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-o", "-P-u"], input=manual.page(),
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert shown.stderr == ""
    words = " ".join(shown.stdout.split())
    for verb, (text, given) in options.VERBS.items():
        assert f"relocator {verb}" in words
        assert text.split("; ")[0].replace("- ", "-") in words
        assert all(name in words for name, _how in given)
    assert all(variable in words for variable in options.VARIABLES)
    codes = shown.stdout.partition("EXIT STATUS")[2].partition("FILES")[0]
    assert re.findall(r"^ +(\d+) +\S", codes, re.MULTILINE) == [str(int(code)) for code in ExitCode]

"""The command line: a target alone means `run`, and what is wrong is said once, with exit code 2."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from entrypoint import __main__ as composition
from entrypoint import __version__, cli
from entrypoint.errors import ExitCode, PreflightError, RelocatorError, UsageError


@dataclass
class FakeVerbs:
    """Remembers what was asked of it, and ends as it is told."""

    code: ExitCode = ExitCode.DONE
    error: RelocatorError | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def _end(self, *asked: str) -> ExitCode:
        self.asked.append(asked)
        if self.error:
            raise self.error
        return self.code

    def run(self, target: str, bwlimit: str) -> ExitCode:
        return self._end("run", target, bwlimit)

    def plan(self, target: str) -> ExitCode:
        return self._end("plan", target)

    def check(self, target: str) -> ExitCode:
        return self._end("check", target)

    def status(self, wait: bool, as_json: bool) -> ExitCode:
        return self._end("status", *(["wait"] if wait else []), *(["json"] if as_json else []))

    def worker(self, run: str) -> ExitCode:
        return self._end("worker", run)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("/new", ("run", "/new", "")),
        ("run /new", ("run", "/new", "")),
        ("--bwlimit 50m /new", ("run", "/new", "50m")),
        ("--bwlimit=50m /new", ("run", "/new", "50m")),
        ("/new --bwlimit 50m", ("run", "/new", "50m")),
        ("run run", ("run", "run", "")),
        ("-- /new", ("run", "/new", "")),
        ("plan /new", ("plan", "/new")),
        ("check /new", ("check", "/new")),
        ("status", ("status",)),
        ("status --wait", ("status", "wait")),
        ("status --json --wait", ("status", "wait", "json")),
        ("worker 000001", ("worker", "000001")),
    ],
)
def test_words_become_a_verb(words: str, asked: tuple[str, ...]) -> None:
    verbs = FakeVerbs()
    assert cli.call(cli.build(verbs), words.split()) == 0
    assert verbs.asked == [asked]


@pytest.mark.parametrize("code", [*ExitCode])
def test_the_code_of_a_verb_is_the_exit_code(code: ExitCode) -> None:
    assert cli.call(cli.build(FakeVerbs(code)), ["/new"]) == int(code)


def test_an_error_of_a_verb_is_passed_on() -> None:
    with pytest.raises(PreflightError, match="refused"):
        cli.call(cli.build(FakeVerbs(error=PreflightError("refused"))), ["/new"])


WRONG: dict[str, str] = {
    "--unknown": "No such option: --unknown",
    "/new --unknown": "No such option: --unknown",
    "status --unknown": "No such option: --unknown",
    "-x /new": "No such option: -x",
    "run": "Missing argument 'TARGET'.",
    "plan": "Missing argument 'TARGET'.",
    "/new /other": "Got unexpected extra argument(s) (/other)",
    "status /new": "Got unexpected extra argument(s) (/new)",
    "/new --bwlimit": "Option '--bwlimit' requires an argument.",
    "": "Where to?",
}


@pytest.mark.parametrize(("words", "message"), WRONG.items())
def test_what_is_wrong_is_said_in_one_sentence(words: str, message: str) -> None:
    verbs = FakeVerbs()
    with pytest.raises(UsageError) as wrong:
        cli.call(cli.build(verbs), words.split())
    assert wrong.value.brief == message
    assert wrong.value.resolution
    assert verbs.asked == []


# --- the whole program, as far as it goes without a host ----------------------------------------------------------


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`main` takes the signals; they are given back."""
    taken = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in taken]
    yield
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["--version"]) == 0
    assert capsys.readouterr().out == f"relocator {__version__}\n"


def test_the_help_names_the_verbs_and_not_the_worker(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("run", "plan", "check", "status"))
    assert "worker" not in shown


def test_a_verb_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["status", "--help"]) == 0
    assert "--wait" in capsys.readouterr().out


def test_no_words_are_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main([]) == 2
    shown = capsys.readouterr()
    assert shown.err == "\nWhere to?\nUsage: relocator /new/path   (more with --help)\n"
    assert shown.out == ""


@pytest.mark.parametrize("error", [UsageError("What.", "Why.", "Do."), PreflightError("What.", "Why.", "Do.")])
def test_the_last_word_is_on_standard_error(error: RelocatorError, capsys: pytest.CaptureFixture[str]) -> None:
    composition.explain(error)
    assert capsys.readouterr().err == "\nWhat.\nWhy.\nDo.\n"

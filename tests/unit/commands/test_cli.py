"""The command line: a target alone means `run`, and what is wrong is said once, with exit code 2."""

import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from entrypoint import __main__ as composition
from entrypoint import __version__
from entrypoint.commands import verbs
from entrypoint.commands.line import cli, options
from entrypoint.commands.line.cli import Asked
from entrypoint.console import events as logging
from entrypoint.console.errors import ExitCode, PreflightError, RelocatorError, UsageError
from entrypoint.host.machine.standing import Standing
from entrypoint.journal.journal import Journal
from entrypoint.move.context import Context
from entrypoint.preflight.request import Request
from tests.unit.support.fakes import Calls, FakeSystemd, make_host


def told(words: Sequence[str]) -> tuple[str, ...]:
    """What is understood of some words, as a row."""
    asked = cli.parse(words)
    assert asked is not None
    row = [asked.verb, *(requested(asked.request) if asked.request else ())]
    row += ["keep"] * asked.keeps + ["wait"] * asked.wait + ["json"] * asked.as_json + ["yes"] * asked.agreed
    return (*row, *([] if asked.page is None else [asked.page]), *filter(None, (asked.run, asked.rate)))


def requested(request: Request) -> Iterator[str]:
    yield from (str(one) for one in (request.target, request.containerd, request.only, request.bwlimit) if one)
    yield from ["checksum"] * request.checksum + ["hold"] * request.holds
    yield from filter(None, (request.at, request.longest))
    yield from sorted(request.accepted)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("/new", ("run", "/new")),
        ("run /new", ("run", "/new")),
        ("--bwlimit 50m /new", ("run", "/new", "50m")),
        ("--bwlimit=50m /new", ("run", "/new", "50m")),
        ("/new --bwlimit 50m", ("run", "/new", "50m")),
        ("/new --checksum", ("run", "/new", "checksum")),
        ("/new --adopt", ("run", "/new", "adopt")),
        ("/new --remove-ephemeral", ("run", "/new", "ephemeral-containers")),
        ("plan /new --remove-ephemeral", ("plan", "/new", "ephemeral-containers")),
        ("check --remove-ephemeral /new", ("check", "/new", "ephemeral-containers")),
        ("run /run", ("run", "/run")),
        ("/new --containerd-root /other", ("run", "/new", "/other")),
        ("plan /new --only data-root", ("plan", "/new", "data-root")),
        ("/new --stop-containerd-users", ("run", "/new", "containerd-users")),
        ("check /new --same-disk", ("check", "/new", "same-file-system")),
        ("/new --same-disk --only=containerd", ("run", "/new", "containerd", "same-file-system")),
        ("check --containerd-root=/other /new", ("check", "/new", "/other")),
        ("/new --ignore engine-old --ignore=swarm", ("run", "/new", "engine-old", "swarm")),
        ("check /new --same-disk --ignore target-space", ("check", "/new", "same-file-system", "target-space")),
        ("/new --hold", ("run", "/new", "hold")),
        ("plan /new --hold --at=03:00", ("plan", "/new", "hold", "03:00")),
        ("/new --at 2027-01-31T03:00Z --max-downtime 1m30s", ("run", "/new", "2027-01-31T03:00Z", "1m30s")),
        ("go", ("go",)),
        ("abort --keep", ("abort", "keep")),
        ("limit 50m", ("limit", "50m")),
        ("limit none", ("limit",)),
        ("-- /new", ("run", "/new")),
        ("plan /new", ("plan", "/new")),
        ("plan /new --json", ("plan", "/new", "json")),
        ("/new --dry-run --checksum", ("plan", "/new", "checksum")),
        ("run --dry-run /new", ("plan", "/new")),
        ("plan --bwlimit=9m --checksum /new", ("plan", "/new", "9m", "checksum")),
        ("check /new", ("check", "/new")),
        ("plan /new --adopt", ("plan", "/new", "adopt")),
        ("check --adopt /new", ("check", "/new", "adopt")),
        ("status", ("status",)),
        ("status --wait", ("status", "wait")),
        ("status --json --wait", ("status", "wait", "json")),
        ("status --html /root/page.html", ("status", "/root/page.html")),
        ("status --html -", ("status", "-")),
        ("rollback", ("rollback",)),
        ("rollback --yes", ("rollback", "yes")),
        ("cleanup", ("cleanup",)),
        ("cleanup --yes", ("cleanup", "yes")),
        ("script", ("script",)),
        ("worker 000001", ("worker", "000001")),
    ],
)
def test_words_become_a_verb(words: str, asked: tuple[str, ...]) -> None:
    assert told(words.split()) == asked


BY_ENVIRONMENT: tuple[tuple[dict[str, str], str, tuple[str, ...]], ...] = (
    ({"RELOCATOR_BWLIMIT": "50m"}, "/new", ("run", "/new", "50m")),
    ({"RELOCATOR_BWLIMIT": "50m"}, "/new --bwlimit 9m", ("run", "/new", "9m")),
    ({"RELOCATOR_BWLIMIT": "50m"}, "/new --bwlimit=9m", ("run", "/new", "9m")),
    ({"RELOCATOR_BWLIMIT": "50m", "RELOCATOR_ADOPT": "0"}, "check /new", ("check", "/new")),
    ({"RELOCATOR_CONTAINERD_ROOT": "/other disk"}, "/new", ("run", "/new", "/other disk")),
    ({"RELOCATOR_SAME_DISK": "Yes", "RELOCATOR_DRY_RUN": "1"}, "/new", ("plan", "/new", "same-file-system")),
    ({"RELOCATOR_SAME_DISK": "true"}, "/new --same-disk", ("run", "/new", "same-file-system")),
    ({"RELOCATOR_YES": "1", "RELOCATOR_CHECKSUM": "1"}, "rollback", ("rollback", "yes")),
    ({"RELOCATOR_YES": "", "RELOCATOR_IMAGE": "x", "RELOCATOR_CALLED": "y"}, "cleanup", ("cleanup",)),
    ({"RELOCATOR_WAIT": "on"}, "status", ("status", "wait")),
    ({"RELOCATOR_BWLIMIT": "50m"}, "worker 000001", ("worker", "000001")),
)


@pytest.mark.parametrize(("given", "words", "asked"), BY_ENVIRONMENT)
def test_an_option_can_be_given_by_the_environment(
    given: dict[str, str], words: str, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert told(words.split()) == asked


@pytest.mark.parametrize(("name", "value", "said"), [
    ("RELOCATOR_ADOPT", "perhaps", "RELOCATOR_ADOPT is neither yes nor no"),
    ("RELOCATOR_BWLIMIT", "50", "50"),
    ("RELOCATOR_ONLY", "everything", "invalid choice"),
])  # fmt: skip
def test_what_is_wrong_in_the_environment_is_wrong(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        cli.parse(["/new"])


@pytest.mark.parametrize(
    "words",
    [
        "/new",
        "'/my disk' --adopt --remove-ephemeral --stop-containerd-users --bwlimit=50m --checksum",
        "/new --containerd-root=/other",
        "/new --only=containerd",
        "/new --same-disk --ignore engine-old --ignore target-space",
        "/new --hold --at='03:00 Europe/Berlin' --max-downtime=30s",
    ],
)
def test_what_a_plan_says_to_type_does_what_was_planned(words: str) -> None:
    planned = cli.parse(["plan", *shlex.split(words)])
    assert planned is not None
    assert planned.request is not None
    assert told(shlex.split(cli.typed(planned.request))) == told(shlex.split(words))


def test_the_help_has_every_code_and_examples_that_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.parse(["--help"])
    said = capsys.readouterr().out
    assert re.findall(r"^  (\d+) +\S", said, re.MULTILINE) == [str(int(code)) for code in ExitCode]
    for words in options.EXAMPLES:
        assert f"relocator {words}\n" in said
        assert cli.parse(words.split())


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_told(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.parse([word]) is None
    assert capsys.readouterr().out == f"relocator {__version__}\n"


def test_every_verb_that_can_be_typed_can_be_done() -> None:
    assert set(verbs.VERBS) == {*options.VERBS, *options.HIDDEN}


@pytest.mark.parametrize("code", [*ExitCode])
def test_the_code_of_a_verb_is_the_exit_code(code: ExitCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(verbs.VERBS, "script", lambda _host, _asked: code)
    assert composition.main(["script"]) == int(code)


def test_an_error_of_a_verb_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(_host: object, _asked: object) -> ExitCode:
        raise PreflightError("refused")

    monkeypatch.setitem(verbs.VERBS, "script", refused)
    assert composition.main(["script"]) == int(ExitCode.REFUSED)
    assert "refused" in capsys.readouterr().err


WRONG: dict[str, str] = {
    "--unknown": "No such option: --unknown",
    "/new --unknown": "No such option: --unknown",
    "status --unknown": "No such option: --unknown",
    "/new --ignore adopt": "Argument --ignore: `adopt` is no id of a finding; they are in brackets, as [engine-old].",
    "/new --ignore finish-copy": "Argument --ignore: `finish-copy` is no id of a finding; they are in brackets, as "
    "[engine-old].",
    "/new --ignore Docker": "Argument --ignore: `Docker` is no id of a finding; they are in brackets, as [engine-old].",
    "-x /new": "No such option: -x",
    "run": "Missing argument: TARGET",
    "plan": "Missing argument: TARGET",
    "/new /other": "Got an unexpected extra argument: /other",
    "status /new": "Got an unexpected extra argument: /new",
    "status --json --html -": "Either --json or --html.",
    "status --html": "Argument --html: expected one argument.",
    "/new --bwlimit": "Argument --bwlimit: expected one argument.",
    "/new --bwlimit=": "'' is no limit.",
    "/new --bwlimit=fast": "'fast' is no limit.",
    "plan /new --bwlimit=0": "'0' is no limit.",
    "plan /new --bwlimit=50": "'50' is no limit.",
    "plan /new --dry-run": "No such option: --dry-run",
    "/new --bwlimit=1m --bwlimit=2m": "--bwlimit was given more than once.",
    "/new --hold --adopt": "Either --adopt or --hold: nothing is copied to a root that is adopted.",
    "/new --at=03:00 --at=04:00": "--at was given more than once.",
    "/new --at=soon": "'soon' is no time.",
    "/new --max-downtime=30": "'30' is no length of time.",
    "check /new --hold": "No such option: --hold",
    "limit": "Missing argument: RATE",
    "limit fast": "'fast' is no limit.",
    "go /new": "Got an unexpected extra argument: /new",
    "plans /new": "There is no `plans`.",
    "version": "There is no `version`.",
    "STATUS": "There is no `STATUS`.",
    "worke /new": "There is no `worke`.",
    "new": "There is no `new`.",
    "docker": "There is no `docker`.",
    "": "Where to?",
}


@pytest.mark.parametrize(("words", "message"), WRONG.items())
def test_what_is_wrong_is_said_in_one_sentence(words: str, message: str) -> None:
    with pytest.raises(UsageError) as wrong:
        cli.parse(words.split())
    assert wrong.value.brief == message
    assert wrong.value.resolution


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("stauts", "status"), ("roll-back", "rollback"), ("version", "--version"), ("clean", "cleanup")),
        *(("relocate", "run"), ("move", "run"), ("MOVE", "run"), ("undo", "rollback"), ("revert", "rollback")),
        *(("switch", "go"), ("cancel", "abort"), ("unpause", "resume"), ("throttle", "limit")),
    ],
)
def test_a_misspelt_verb_is_not_taken_for_a_target(word: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"There is no `{word}`") as wrong:
        cli.parse([word])
    assert wrong.value.resolution == f"Did you mean `{meant}`?"


@pytest.mark.parametrize("target", ["/run", "/script", "/plan"])
def test_a_path_is_no_misspelt_verb(target: str) -> None:
    assert told([target]) == ("run", target)


def test_what_was_typed_has_no_power_over_the_terminal() -> None:
    for words in (["--\x1b[2J"], ["\x1b]0;status"], ["status", "\x1b[31m\n"]):
        with pytest.raises(UsageError) as wrong:
            cli.parse(words)
        assert wrong.value.brief.isprintable()


# --- the whole program, as far as it goes without a host ----------------------------------------------------------


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`main` takes the signals; they are given back."""
    taken = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in taken]
    yield
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


def test_a_worker_is_not_started_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would take a good move back; and a number that is none would name any directory of the host."""
    host = make_host(tmp_path)
    book = Journal(host)
    book.prepare()
    run = book.begin()
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with pytest.raises(UsageError, match="by systemd"):
        verbs.work(Context(host, FakeSystemd(host, Calls()), book), Asked(options.WORKER, run=run.number))
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    for number in ("000002", "../../../../etc", "", "1"):
        with pytest.raises(UsageError, match="by systemd"):
            verbs.work(Context(host, FakeSystemd(host, Calls()), book), Asked(options.WORKER, run=number))
    assert not run.log.exists()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["--version"]) == 0
    assert capsys.readouterr().out == f"relocator {__version__}\n"


def test_the_help_names_the_verbs_and_not_the_worker(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("run", "plan", "check", "status"))
    assert "worker" not in shown


def test_help_is_for_one_who_types_it_without_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["help"]) == composition.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]
    assert composition.main(["help", "status"]) == 0
    assert "--wait" in capsys.readouterr().out


def test_the_help_names_the_program_and_is_told_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], *([verb] for verb in options.VERBS)):
        assert composition.main([*words, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"Usage: {' '.join(['relocator', *words])} ")
        assert "..." not in shown
        assert "==SUPPRESS==" not in shown


def test_a_verb_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["status", "--help"]) == 0
    assert "--wait" in capsys.readouterr().out


def test_no_words_are_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main([]) == 2
    shown = capsys.readouterr()
    line = "docker run --rm --privileged --pid=host relocator /new/path"
    assert shown.err == f"\nWhere to?\nUsage: {line}   (more with --help)\n"
    assert shown.out == ""


def test_a_word_that_is_like_none_is_told_what_there_is() -> None:
    with pytest.raises(UsageError) as wrong:
        cli.parse(["newdisk"])
    assert all(verb in wrong.value.resolution for verb in options.VERBS)
    assert "worker" not in wrong.value.resolution
    assert "absolute path" in wrong.value.resolution


@pytest.mark.parametrize("standing", [*Standing])
@pytest.mark.parametrize(
    ("words", "code"),
    [("-h", 0), ("--help", 0), ("help", 0), ("status -h", 0), ("run --help", 0), ("--version", 0), ("relocate", 2),
     ("new/path", 2), ("/new --fast", 2), ("/new --bwlimit=fast", 2), ("", 2)],
)  # fmt: skip
def test_words_are_answered_whatever_the_container_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], standing: Standing, words: str, code: int
) -> None:
    monkeypatch.setattr("entrypoint.host.machine.standing.find_standing", lambda: standing)
    monkeypatch.setattr("entrypoint.commands.sibling.run_sibling", lambda _: 99)
    assert composition.main(words.split()) == code
    shown = capsys.readouterr()
    assert "--privileged --pid=host -v" not in shown.err
    assert bool(shown.out) is (code == 0)


def test_both_letters_of_help_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert composition.main(["-h"]) == composition.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_an_interrupt_is_told_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_host: object, _words: object) -> int:
        logging.configure(sys.stdout, human=True)
        logging.draft("progress", percent=1, size="1", of="2", files=3, rate="4", left="")
        raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(composition, "dispatch", interrupted)
    assert composition.main(["/new"]) == 130
    shown = capsys.readouterr()
    assert shown.out.endswith("\n")
    assert shown.err == "\nInterrupted. Nothing was changed.\n"
    logging.configure()


@pytest.mark.parametrize("error", [UsageError("What.", "Why.", "Do."), PreflightError("What.", "Why.", "Do.")])
def test_the_last_word_is_on_standard_error(error: RelocatorError, capsys: pytest.CaptureFixture[str]) -> None:
    composition.explain(error)
    assert capsys.readouterr().err == "\nWhat.\nWhy.\nDo.\n"

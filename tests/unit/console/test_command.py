"""What is told names commands as they can be typed, and paths as the host has them."""

import io
import json
import re
from pathlib import Path

import pytest
import structlog

from entrypoint.commands import sibling
from entrypoint.commands.line.options import VERBS
from entrypoint.console import command, names, wording
from entrypoint.console import events as logging
from entrypoint.engine.inventory import Container, Inventory, Status, names_in
from entrypoint.host.disks.stored import to_json
from entrypoint.host.machine import standing
from entrypoint.journal.record import Event, Outcome, Run
from entrypoint.move.worker import handover

CONTAINER = "docker run --rm --privileged --pid=host relocator"


@pytest.fixture(autouse=True)
def _container(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (command.CALLED, command.IMAGE):
        monkeypatch.delenv(name, raising=False)


def know_nothing() -> None:
    """As a process that has just begun."""
    structlog.reset_defaults()
    logging.configure(io.StringIO())


@pytest.mark.parametrize("called", ["docker relocate", "sh relocate", "/usr/local/bin/relocate"])
@pytest.mark.parametrize(
    "text",
    ["To remove it: {} cleanup", "Usage: {} /new/path   (more with --help)", "`{} status --wait`.", "{} '/my disk'",
     "Move it alone: {} --only containerd /new", "until …; do sleep 1; done; {} status --wait", "{} TARGET"],
)  # fmt: skip
def test_a_command_is_named_as_one_types_it(monkeypatch: pytest.MonkeyPatch, called: str, text: str) -> None:
    assert command.told(text.format("relocator")) == text.format(CONTAINER)
    monkeypatch.setenv(command.CALLED, called)
    assert command.told(text.format("relocator")) == text.format(called)


@pytest.mark.parametrize(
    "text",
    [
        "Another relocator is at work on this host.",
        "relocator 0.1.0",
        "Run this instead:\n\n    docker run --rm -it --privileged --pid=host -v /:/host:rslave relocator /new\n",
        "docker compose run --rm --build relocator /new",
        "/etc/systemd/system/relocator.service /var/lib/relocator /x",
    ],
)
def test_what_is_no_command_stays(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(command.CALLED, "sh relocate")
    assert command.told(text) == text


def test_every_verb_is_known() -> None:
    for verb in VERBS:
        assert command.told(f"relocator {verb}") == f"{CONTAINER} {verb}"


def test_a_name_of_the_image_is_quoted_and_no_control_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(command.IMAGE, "; rm -rf /")
    assert command.told("relocator status").endswith(" '; rm -rf /' status")
    monkeypatch.setenv(command.CALLED, "sh x\x1b[2J\n")
    assert command.told("relocator status").isprintable()


def test_what_others_have_named_has_no_power_over_a_terminal_and_can_be_written() -> None:
    told = command.told("held by \x1b]0;evil\x07\n\tand \u202egpj.exe\udcff ä\x9b")
    assert told == "held by \\x1b]0;evil\\x07\n\tand \\u202egpj.exe\\udcff ä\\x9b"
    told.encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[Errno 28] No space left on device: '/proc/1/root/mnt/big/x'", "No space left on device: '/mnt/big/x'"),
        ("No such file: b'/proc/1/root/mnt/a' -> b'/proc/1/root/mnt/b'", "No such file: '/mnt/a' -> '/mnt/b'"),
        ("cp: cannot stat '/proc/1/root': x", "cp: cannot stat '/': x"),
        ("/proc/1/rooted and /proc/10/root/x", "/proc/1/rooted and /proc/10/root/x"),
        ("grab'f'", "grab'f'"),
    ],
)
def test_a_path_is_the_hosts(text: str, told: str) -> None:
    assert command.told(text).endswith(told)


def test_what_has_a_name_is_not_told_by_its_number() -> None:
    know_nothing()
    one, other, image, volume = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
    text = f"Cannot restart container {one}: {other}, sha256:{image}, volume {volume}"
    assert command.told(text) == text
    container = Container(one, "db", f"sha256:{image}", Status.EXITED, "no", False, "")
    held = Inventory("ID", "overlay2", "graphdriver", (container,), {f"sha256:{image}": "app:1 app:latest"},
                     {volume: "local"}, {other: "backend bridge"}, {})  # fmt: skip
    names.learn(names_in(to_json(held)))
    assert command.told(text) == f"Cannot restart container db: backend, app:1, volume {volume}"
    assert command.told_all({"reason": one, "diff": one}) == {"reason": "db", "diff": one}


def test_events_are_told_so_in_a_pipe_and_on_a_terminal_but_for_what_files_hold() -> None:
    for human in (False, True):
        logging.configure(stream := io.StringIO(), human=human)
        logging.log.info("cleanup.asked", agree="relocator cleanup --yes")
        logging.log.error("ended", facts={"details": ["/proc/1/root/x"]})
        logging.log.info("plan.edit", path="/x", diff="+# relocator rollback: /proc/1/root/x\n")
        said = stream.getvalue()
        assert f"{CONTAINER} cleanup --yes" in said
        assert said.count("/proc/1/root") == 1
        assert said.count("# relocator rollback") == 1
        if not human:
            assert all(json.loads(line) for line in said.splitlines())
    logging.configure()


def test_whoever_speaks_for_us_is_told_how_we_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(command.CALLED, "sh relocate")
    monkeypatch.setenv(standing.CALLED_ON, "boot")
    monkeypatch.setenv("RELOCATOR_BWLIMIT", "50m")
    monkeypatch.setenv("RELOCATOR_OF_NOBODY", "1")
    assert "RELOCATOR_CALLED=sh relocate" in handover.environment()
    given = sibling.privileges("me")["environment"]
    assert given == {"RELOCATOR_PARENT": "me", "RELOCATOR_CALLED": "sh relocate", "RELOCATOR_BOOT": "boot",
                     "RELOCATOR_BWLIMIT": "50m"}  # fmt: skip


def test_no_text_names_a_verb_that_there_is_not() -> None:
    """One that is none would be told as it is."""
    known = re.compile(rf"relocator (?:{'|'.join(VERBS)}|TARGET|\[OPTIONS|--|/|'|{{)")
    for place in Path(wording.__file__).parents[1].rglob("*.py"):
        for found in re.finditer(r"(?:[:(;`]|also|with) relocator [^\s.,]+", place.read_text()):
            assert known.search(found[0]), f"{place.name}: {found[0]}"


def test_the_journal_has_it_so_too_for_the_script_reads_it_where_no_engine_is(tmp_path: Path) -> None:
    know_nothing()
    names.learn({"1" * 64: "db"})
    run = Run(tmp_path)
    reason = f"Cannot restart container {'1' * 64}: '/proc/1/root/mnt/x'. See: relocator status"
    run.append(Event.OUTCOME, outcome=Outcome.ROLLED_BACK, reason=reason, problems=[reason], root="/proc/1/root")
    (record,) = run.records()
    assert (
        record["reason"] == record["problems"][0] == f"Cannot restart container db: '/mnt/x'. See: {CONTAINER} status"
    )
    assert record["root"] == "/proc/1/root"  # what is a path and no text stays what it is


def test_a_name_is_known_wherever_events_go_afterwards() -> None:
    """A command that answers in JSON sends them to standard error, and a worker to its log."""
    know_nothing()
    names.learn({"1" * 64: "db"})
    logging.configure(stream := io.StringIO())
    logging.log.info("amiss", what="1" * 64)
    assert json.loads(stream.getvalue())["what"] == "db"

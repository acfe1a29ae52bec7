"""What a terminal shows, and that what it tells to paste does what it says."""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint.commands import run
from entrypoint.console import command, wording
from entrypoint.console import events as logging
from entrypoint.console.errors import CopyError
from entrypoint.journal.journal import Journal
from entrypoint.move.worker.handover import UNIT, outcome_line
from tests.unit.support.fakes import make_host
from tests.unit.support.world import make_plan


@pytest.fixture(autouse=True)
def _streams() -> Iterator[None]:
    yield
    logging.configure()


SYSTEMCTL = """#!/bin/sh
[ "$*" = "is-active relocator.service" ] || exit 64
state=$(sed -n 1p states) && sed -i 1d states
echo "$state"
[ "$state" = active ]
"""
DOCKER = """#!/bin/sh
[ -s states ] && exit 125
echo "$@"
exit 4
"""


def program(directory: Path, name: str, text: str) -> None:
    place = directory / name
    place.write_text(text)
    place.chmod(0o755)


def test_the_line_after_the_hand_over_waits_and_ends_with_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(command.IMAGE, "relocator:1")
    logging.configure(stream := io.StringIO(), human=True)
    logging.log.info("handed_over", unit=UNIT, wait=outcome_line())
    said = stream.getvalue()
    [line] = [line for line in said.splitlines() if "status --wait" in line]
    program(tmp_path, "systemctl", SYSTEMCTL)
    program(tmp_path, "docker", DOCKER)
    program(tmp_path, "sleep", "#!/bin/sh\n")
    (tmp_path / "states").write_text("active\nactivating\ndeactivating\ninactive\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (
        4,
        "run --rm --privileged --pid=host relocator:1 status --wait\n",
    ), done


def told_on_a_terminal(severity: str, remedy: str = "Do it.") -> str:
    stream = io.StringIO()
    logging.configure(stream, human=True)
    facts = {"id": "an-id", "severity": severity, "title": "What", "detail": "How.", "remedy": remedy}
    logging.log.warning("finding", **facts)
    return stream.getvalue()


def test_a_warning_is_told_with_its_id_and_its_remedy() -> None:
    assert told_on_a_terminal("warning") == "  [warning] What [an-id]: How.\n      Do it.\n"
    assert told_on_a_terminal("warning", remedy="") == "  [warning] What [an-id]: How.\n"


def test_one_of_a_thing_is_named_as_one() -> None:
    def told(shards: int) -> str:
        return wording.sentence({"event": "shards.copied", "shards": shards, "size": "1 files"})

    assert told(1) == "  everything else copied, in 1 part (1 files)"
    assert told(2) == "  everything else copied, in 2 parts (1 files)"


def test_what_refuses_is_told_once_in_the_last_word() -> None:
    assert told_on_a_terminal("error") == ""


def test_a_program_is_told_of_every_finding() -> None:
    stream = io.StringIO()
    logging.configure(stream)
    logging.log.warning("finding", id="an-id", severity="error")
    assert '"id": "an-id"' in stream.getvalue()


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), CopyError("injected")])  # nothing is copied yet
def test_giving_up_is_told_in_words(failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    logging.configure(stream, human=True)
    monkeypatch.setattr(run, "discard", lambda *_: "")
    host = make_host(tmp_path)
    journal = Journal(host)
    journal.prepare()
    run.give_up(host, journal.begin(), make_plan(), failure)
    assert stream.getvalue().endswith(": what was copied is removed again; the engine was not stopped\n")

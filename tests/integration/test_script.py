"""The host script, under the shells that hosts have, with programs in the place of docker and systemctl."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoint import __version__, script

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh"), "bash": ("bash", "--posix")}
# Answers by what it is asked, and notes it; `run` ends with the next of the codes.
DOCKER = """#!/bin/sh
echo "$*" >>"{here}/asked"
case $1 in
    run) for word; do last=$word; done; read -r code rest <"{here}/codes"; sed -i '1d' "{here}/codes"
         echo "said by $last"; exit "$code" ;;
    inspect) cat "{here}/running" 2>/dev/null || exit 1 ;;
    wait) rm -f "{here}/running"; cat "{here}/waited" ;;
    image) [ -e "{here}/image" ] ;;
esac
"""
# At work as often as there are lines of the worker's to come; it writes one each time it is asked.
SYSTEMCTL = """#!/bin/sh
read -r line <"{here}/to-come" || {{ echo inactive; exit 3; }}
sed -i '1d' "{here}/to-come"
printf '%s\\n' "$line" >>"{here}/runs/000002/log.jsonl"
echo active
"""
PHASES = ("freeze", "switch", "verify")


class Desk:
    """A place with the fakes, and the journal of a run that hands over."""

    def __init__(self, place: Path, shell: Sequence[str]) -> None:
        self.place, self.shell = place, shell
        for folder in ("bin", "runs/000001", "runs/000002", "runs/000003.aside"):
            (place / folder).mkdir(parents=True)
        for name, text in (("docker", DOCKER), ("systemctl", SYSTEMCTL)):
            (place / "bin" / name).write_text(text.format(here=place))
            (place / "bin" / name).chmod(0o755)
        self.put("to-come", "")
        self.put("asked", "")

    def put(self, name: str, text: str) -> None:
        (self.place / name).write_text(text)

    def hand_over(self, *outcome: str) -> None:
        self.put("to-come", "".join(json.dumps({"event": "phase.started", "phase": one}) + "\n" for one in PHASES))
        self.put("runs/000002/log.jsonl", "")
        records = [{"event": "begun"}, *({"event": "outcome", "outcome": one} for one in outcome)]
        self.put("runs/000002/journal.jsonl", "".join(json.dumps(one) + "\n" for one in records))

    def run(self, *arguments: str, codes: str, variables: dict[str, str] | None = None) -> tuple[int, str]:
        """As `… script | sh -s -- ARGUMENTS`."""
        self.put("codes", codes.replace(" ", "\n") + "\n")
        text = script.text().replace("/var/lib/relocator/runs", f"{self.place}/runs")
        environment = {"PATH": f"{self.place}/bin:{os.environ['PATH']}", **(variables or {})}
        argv = [*self.shell, "-s", "--", *arguments]
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def asked(self, verb: str) -> list[str]:
        return [line for line in (self.place / "asked").read_text().splitlines() if line.split()[0] == verb]


@pytest.fixture(params=SHELLS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]}")
    return Desk(tmp_path, shell)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_nothing_is_said_against_it() -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", script.SOURCE], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_image_and_its_version_stand_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELOCATOR_IMAGE", "example/relocator:1")
    assert "IMAGE=${RELOCATOR_IMAGE:-example/relocator:1}" in script.text()
    assert "@" not in script.text().replace('"$@"', "")


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 130])
def test_what_ends_with_the_engine_up_is_passed_on(desk: Desk, code: int) -> None:
    assert desk.run("/new path", "--checksum", codes=str(code)) == (code, "said by --checksum\n")
    (asked,) = desk.asked("run")
    assert asked.endswith("--privileged --pid=host --network=none relocator /new path --checksum")
    assert desk.asked("image") == []


@pytest.mark.parametrize("code", [0, 4, 5])
def test_a_move_is_followed_to_its_outcome(desk: Desk, code: int) -> None:
    desk.hand_over()
    desk.put("image", "")
    told = desk.run("/new", codes=f"10 {code}")
    lines = [f'{{"event": "phase.started", "phase": "{name}"}}' for name in PHASES]
    assert told == (code, "\n".join(["said by /new", *lines, "said by --wait"]) + "\n")
    assert desk.asked("run")[1].endswith("relocator status --wait")


@pytest.mark.parametrize(
    ("outcome", "code"), [("committed", 0), ("rolled-back", 4), ("rollback-failed", 5), ("interrupted", 130)]
)
def test_without_the_image_on_the_new_root_the_journal_tells(desk: Desk, outcome: str, code: int) -> None:
    desk.hand_over(outcome)
    told = desk.run("/new", codes="10")
    assert told[0] == code
    assert outcome in told[1]


def test_an_engine_that_does_not_answer_in_the_end_is_no_success(desk: Desk) -> None:
    desk.hand_over("rollback-failed")
    desk.put("image", "")
    assert desk.run("/new", codes="10 125")[0] == 5


def test_a_client_that_lost_its_container_waits_for_it(desk: Desk) -> None:
    desk.put("running", "true\n")
    desk.put("waited", "3\n")
    assert desk.run("/new", codes="1")[0] == 3


def test_a_client_that_lost_its_engine_follows_all_the_same(desk: Desk) -> None:
    desk.hand_over("committed")
    assert desk.run("/new", codes="125")[0] == 0


def test_a_client_that_could_not_start_anything_is_passed_on(desk: Desk) -> None:
    assert desk.run("/new", codes="125")[0] == 125


def test_an_engine_of_another_host_is_refused(desk: Desk) -> None:
    code, said = desk.run("/new", codes="0", variables={"DOCKER_HOST": "ssh://there"})
    assert (code, desk.asked("run")) == (2, [])
    assert "ssh://there" in said


def test_docker_takes_it_for_a_plugin(desk: Desk) -> None:
    code, said = desk.run("docker-cli-plugin-metadata", codes="0")
    assert code == 0
    told = json.loads(said)
    assert (told["SchemaVersion"], told["Version"]) == ("0.1.0", __version__)
    assert told["Vendor"]

"""The examples of docs/fleets.md as they stand there, on three hosts: in a shell, and by Ansible."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.support.fleet import DATA, Fleet, fleet

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(900)]

PAGE = (Path(__file__).parents[3] / "docs/fleets.md").read_text()
LOOK, MOVE = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(PLAYBOOK,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES = ("one", "two", "three")
TARGET = f"{DATA}/docker"
# The stand-in is no ssh and these hosts have no sudo.
VARIABLES = (
    "ansible_become=false",
    "ansible_ssh_executable={ssh}",
    "ansible_ssh_args=",
    "ansible_ssh_transfer_method=piped",
)


@dataclass
class Desk:
    """Where somebody sits who has three hosts."""

    place: Path
    fleet: Fleet

    def run(self, argv: list[str]) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": f"{self.place}:{os.environ['PATH']}", "HOME": str(self.place), "LANG": "C.UTF-8"}
        return subprocess.run(argv, cwd=self.place, env=environment, capture_output=True, text=True, check=False)

    def play(self, *options: str) -> "subprocess.CompletedProcess[str]":
        given = [word for one in VARIABLES for word in ("--extra-vars", one.format(ssh=self.place / "ssh"))]
        return self.run(["ansible-playbook", "-i", "inventory", *given, *options, "playbook.yml"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    place = tmp_path_factory.mktemp("desk")
    (place / "hosts").write_text("\n".join(NAMES) + "\n")
    (place / "inventory").write_text("[docker]\n" + "\n".join(NAMES) + "\n")
    (place / "playbook.yml").write_text(PLAYBOOK)
    with fleet(place, *NAMES) as hosts:
        hosts.answer("two", f"mkdir {TARGET}; echo theirs >{TARGET}/file")
        yield Desk(place, hosts)


def test_every_host_is_looked_at(desk: Desk) -> None:
    done = desk.run(["sh", "-c", LOOK])
    assert done.stdout.splitlines() == ["one 0", "two 3", "three 0"], done.stderr
    told = {name: json.loads((desk.place / f"plan-{name}.json").read_text()) for name in NAMES}
    assert {name: one["outcome"] for name, one in told.items()} == {
        "one": "planned",
        "two": "refused",
        "three": "planned",
    }
    assert desk.fleet.root_of("one") == "/var/lib/docker"


def test_a_loop_ends_with_the_first_that_is_refused(desk: Desk) -> None:
    desk.fleet.asked.clear()
    done = desk.run(["sh", "-ec", MOVE])
    assert done.stdout.splitlines()[-1] == "two: 3", done.stdout + done.stderr
    assert list(dict.fromkeys(desk.fleet.asked)) == ["one", "two"]
    assert [desk.fleet.root_of(name) for name in NAMES] == [TARGET, "/var/lib/docker", "/var/lib/docker"]


def test_a_play_takes_the_others_one_after_the_other(desk: Desk) -> None:
    if shutil.which("ansible-playbook") is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("no ansible-playbook: make test-fleets")
    assert desk.play("--syntax-check").returncode == 0
    refused = desk.play()
    assert refused.returncode != 0
    assert desk.fleet.root_of("three") == "/var/lib/docker", refused.stdout
    desk.fleet.answer("two", f"rm {TARGET}/file")
    desk.fleet.asked.clear()
    played = desk.play()
    assert played.returncode == 0, played.stdout + played.stderr
    assert list(dict.fromkeys(desk.fleet.asked)) == list(NAMES)
    changed = dict(re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", played.stdout, re.MULTILINE))
    assert changed == {"one": "0", "two": "1", "three": "1"}
    assert [desk.fleet.root_of(name) for name in NAMES] == [TARGET] * 3


def test_a_loop_over_hosts_that_are_there_already_changes_nothing(desk: Desk) -> None:
    done = desk.run(["sh", "-ec", MOVE])
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()].count("already_there") == 3

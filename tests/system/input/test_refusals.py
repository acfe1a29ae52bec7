"""Bad input and hosts that are not fit: one clear message, the right code, and nothing changed at all."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.command import run
from tests.hosts.content import FEWER, Inventory, inventory, populate
from tests.hosts.disk import is_known
from tests.hosts.survey import Survey
from tests.hosts.terminal import Terminal
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    arm,
    assert_unchanged,
    await_pause,
    configuration,
    disarm,
    relocator,
    resume,
)
from tests.system.support.refusals import CASES, FEW, FIXED, FULL, GOOD, PREPARED, PROGRAM, RARE, SMALL, SOCKET, Case

pytestmark = pytest.mark.system

LOOKED = "plan.made"  # between the look and the first act
WATCHED = ("/etc", "/run/systemd/system", "/run/relocator", "/var/lib/relocator", DISK)
BOUND = f"{DISK}/bound"  # the engine's own root, where containers write


@dataclass(frozen=True)
class Still:
    """A populated host that must stay as it is."""

    host: Host
    was: Survey
    held: Inventory


@pytest.fixture(scope="module")
def still() -> Iterator[Still]:
    with (
        Disk("4G", "ext4") as big,
        Disk("64M", "ext4") as small,
        Disk("4G", "ext4", ("-N", "600")) as few,
        boot(name="still", disks={DISK: big, SMALL: small, FEW: few}) as host,
    ):
        populate(host, roles=FEWER)
        host.run(PREPARED)
        run(["chattr", "+i", host.path(FIXED)])
        yield Still(host, configuration(host), inventory(host))


@dataclass(frozen=True)
class Answer:
    code: int
    output: str
    errors: str

    @property
    def told(self) -> str:
        return self.output + self.errors


def ask(host: Host, case: Case) -> Answer:
    """Run relocator as the case says."""
    if case.first:
        host.run(case.first)
    try:
        if case.wide:
            return on_terminal(host, case)
        if case.meanwhile:
            return in_between(host, case)
        done = host.run(command(case), check=False)
        return Answer(done.returncode, done.stdout, done.stderr)
    finally:
        if case.last:
            host.run(case.last)


def command(case: Case) -> list[str]:
    if not case.streams:
        return ["docker", "run", *case.given, IMAGE, *case.words]
    script = f"{PROGRAM} {shlex.join(case.words)} {case.streams}; exit ${{PIPESTATUS[0]}}"
    return ["docker", "run", "--entrypoint=bash", *case.given, IMAGE, "-c", script]


def on_terminal(host: Host, case: Case) -> Answer:
    with Terminal(host.entering(command(case)), columns=case.wide) as terminal:
        code = terminal.wait()
    return Answer(code, "", terminal.output.replace("\r\n", "\n"))


def in_between(host: Host, case: Case) -> Answer:
    """With something done on the host after the plan was made and before anything is written."""
    arm(host, f"{LOOKED} pause")
    process = host.popen(command(case), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        await_pause(host, LOOKED)
        host.run(case.meanwhile)
    finally:
        resume(host, LOOKED)
        output, errors = process.communicate(timeout=120)
        disarm(host, LOOKED)
    return Answer(process.returncode, output.decode(), errors.decode())


def entries(host: Host) -> dict[str, tuple[int, ...]]:
    """What lies where bad input could do harm; what it holds is compared once, at the end of all."""
    found: dict[str, tuple[int, ...]] = {}
    for place in WATCHED:
        for folder, folders, files in os.walk(host.path(place)):
            if folder == str(host.path(BOUND)):
                folders.clear()
                continue
            for name in (".", *folders, *files):
                info = os.lstat(os.path.join(folder, name))
                known = (info.st_ino, info.st_mode, info.st_uid, info.st_size, info.st_mtime_ns)
                found[os.path.join(folder, name)] = known
    return found


def test_there_are_many_kinds_of_bad_input() -> None:
    """The same input with another verb is the same kind."""
    assert len({replace(case, words=case.words[-1:]) for case in CASES.values()}) >= 80


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=pytest.mark.matrix if name in RARE else ()) for name, case in CASES.items()],
)
def test_bad_input_is_told_once_with_its_code_and_changes_nothing(still: Still, case: Case) -> None:
    before = entries(still.host)
    answer = ask(still.host, case)
    assert answer.code == case.code, answer.told
    assert case.said in answer.told
    assert "Traceback" not in answer.told
    if case.code and case.said and not case.wide:
        assert_one_message(answer, case)
    assert entries(still.host) == before


def assert_one_message(answer: Answer, case: Case) -> None:
    """In words on standard error, without what could act on a terminal; in a pipe as one event besides."""
    assert answer.errors.count(case.said) == 1
    assert ("Nothing was changed" in answer.errors) is (case.code == 3)
    assert [char for char in answer.errors if not char.isprintable() and char != "\n"] == []
    events = [json.loads(line) for line in answer.output.splitlines()]
    ends = [event for event in events if event["event"] == "ended"]
    assert [event["exit_code"] for event in ends] == ([case.code] if case.code != 2 and answer.output else [])


ALREADY_THERE = {
    "itself": "/var/lib/docker",
    "with slashes": "//var//lib/docker/",
    "by a link": f"{DISK}/link-to-root",
    "by a bind mount": f"{DISK}/bound",
}


@pytest.mark.parametrize("target", ALREADY_THERE.values(), ids=ALREADY_THERE)
def test_the_root_itself_by_any_name_is_already_there(still: Still, target: str) -> None:
    answer = relocator(still.host, target)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "already_there" in answer.stdout


def test_plan_and_check_of_a_good_target_say_all_and_end_with_0(still: Still) -> None:
    for verb in ("plan", "check"):
        answer = relocator(still.host, verb, GOOD)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.mark.parametrize(
    ("target", "given", "outcome", "code"),
    [
        (GOOD, ATTACHED, "planned", 0),
        (GOOD, SOCKET, "planned", 0),
        (FULL, ATTACHED, "refused", 3),
        ("/var/lib/docker", ATTACHED, "already-there", 0),
    ],
)
def test_a_plan_for_programs_is_one_document_and_nothing_else(
    still: Still, target: str, given: tuple[str, ...], outcome: str, code: int
) -> None:
    answer = relocator(still.host, "plan", target, "--json", given=given)
    assert answer.returncode == code, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    assert (told["version"], told["outcome"]) == (1, outcome)
    if outcome == "planned":
        assert {one["name"] for one in told["containers"]} == set(still.held.containers)
        assert told["source"]["bytes"] > 0
        assert 0 < told["target"]["free_bytes_after"] < told["target"]["free_bytes"]


def test_vfat_is_refused(still: Still) -> None:
    if not is_known("vfat"):
        pytest.skip("this kernel has no vfat; the unit test of the finding stands for it")
    with Disk("128M", "vfat") as disk:
        still.host.attach(disk, "/mnt/vfat")
        answer = relocator(still.host, "/mnt/vfat/new")
        still.host.detach("/mnt/vfat")
    assert answer.returncode == 3
    assert "[target-file-system]" in answer.stderr


def test_after_all_that_nothing_was_changed(still: Still) -> None:
    """The survey was taken before the first test of this file; those that follow change the host themselves."""
    assert_unchanged(still.host, still.was, still.held)
    assert not still.host.path("/var/lib/relocator").exists()

"""Containers that do not end on their signal are told before, and what the estimate of the downtime is worth."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from entrypoint.plan.outlook import WITHIN
from tests.hosts import Disk, Host, boot
from tests.system.support.moving import DISK, TARGET, UNIT, outcome, relocator

pytestmark = pytest.mark.system

ASLEEP = "while :; do sleep 1; done"
HEARS, IGNORES = f"trap 'exit 0' TERM; {ASLEEP}", f"trap '' TERM; {ASLEEP}"
# What each is started with, what runs in it, and what is said of it, if it is deaf.
KINDS = {
    "plain": (("--stop-timeout=4",), ASLEEP, "SIGTERM, 4 s"),
    "handling": ((), HEARS, ""),
    "with-init": (("--init",), ASLEEP, ""),
    "init-in-vain": (("--init", "--stop-timeout=2"), IGNORES, "SIGTERM, 2 s"),
    "other-signal": (("--stop-signal=SIGQUIT", "--stop-timeout=1"), HEARS, "SIGQUIT, 1 s"),
    "heard-signal": (("--stop-signal=SIGQUIT",), f"trap 'exit 0' QUIT; {ASLEEP}", ""),
    "of-the-host": (("--pid=host",), ASLEEP, ""),
    "deaf-of-the-host": (("--pid=host", "--stop-timeout=3"), IGNORES, "SIGTERM, 3 s"),
    "killed": (("--stop-signal=KILL",), ASLEEP, ""),
}  # fmt: skip


@dataclass
class Waiting:
    """A host with all of these; how long restarts of its engine took until all ran again, in seconds."""

    host: Host
    restarts: list[float] = field(default_factory=list)

    def restart(self) -> None:
        self.host.run("systemctl reset-failed docker.service docker.socket; true")
        began = time.monotonic()
        self.host.run("systemctl restart docker.service")
        while self.host.docker("ps", "--quiet").count("\n") + 1 < len(KINDS):
            assert time.monotonic() < began + 120
            time.sleep(0.05)
        self.restarts.append(time.monotonic() - began)

    def asked(self, *words: str) -> dict[str, Any]:
        told = relocator(self.host, *words, "--json", TARGET)
        assert told.returncode == 0, told.stdout + told.stderr
        answer: dict[str, Any] = json.loads(told.stdout)
        return answer


@pytest.fixture(scope="module")
def waiting() -> Iterator[Waiting]:
    with Disk("4G") as disk, boot(name="downtime", disks={DISK: disk}) as host:
        for name, (options, script, _said) in KINDS.items():
            host.docker("run", "-d", "--name", name, "--restart=always", *options, "busybox", "sh", "-c", script)
        yield Waiting(host)


def test_who_does_not_end_on_its_signal_is_named_with_its_time(waiting: Waiting) -> None:
    (found,) = (one for one in waiting.asked("plan")["findings"] if one["id"] == "deaf-containers")
    named = {name: f"{name} ({said})" in found["detail"] for name, (_, _, said) in KINDS.items()}
    assert named == {name: bool(said) for name, (_, _, said) in KINDS.items()}, found["detail"]


def test_who_is_named_is_who_has_to_be_killed(waiting: Waiting) -> None:
    """By the engine itself: 137 is the code of what was killed."""
    waiting.host.docker("stop", *KINDS)
    codes = {name: waiting.host.docker("inspect", "--format", "{{.State.ExitCode}}", name) for name in KINDS}
    assert {name for name, code in codes.items() if code == "137"} == (
        {name for name, (_, _, said) in KINDS.items() if said} | {"killed"}
    ), codes
    waiting.host.docker("start", *KINDS)


def test_the_downtime_is_as_estimated(waiting: Waiting) -> None:
    """Within the factor that `plan` names, on a quiet machine.

    A busy one is told by bare restarts of the engine, before and after: by as much as the slowest of them takes longer
    than the whole estimate, the downtime may be longer, and by as much as they differ it may be shorter, for the
    estimate is from one of them. The time until the deaf are killed is the same on any machine.
    """
    waiting.restart()
    waiting.restart()
    planned = waiting.asked("plan")["downtime"]
    moved = relocator(waiting.host, TARGET)
    assert moved.returncode == 10, moved.stdout + moved.stderr
    told = outcome(waiting.host)
    said = f"{told}\n{waiting.host.journal(UNIT)}"
    assert (told["state"], told["exit_code"]) == ("committed", 0), said
    waiting.restart()
    killing, (expected, most) = 4.0, planned["seconds"]
    assert most == pytest.approx(WITHIN * expected, abs=0.1)
    bare = [one - killing for one in waiting.restarts]
    slower, unsteady = max(1.0, max(bare) / (expected - killing)), max(bare) / min(bare)
    came = told["downtime"]
    print(f"\ndowntime {came:.2f} s, estimated {expected:.2f} s; restarts {waiting.restarts}; {planned['basis']}")
    least = killing + (expected - killing) / WITHIN / unsteady
    assert least <= came <= WITHIN * (killing + (expected - killing) * slower), f"{planned}\n{said}"

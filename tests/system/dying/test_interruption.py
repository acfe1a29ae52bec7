"""Before the hand-over: interrupted, nothing has changed; a second one at the same time is refused."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, inventory, populate
from tests.hosts.survey import Survey, compare, survey
from tests.system.support.moving import (
    DISK,
    EQUIPPED,
    IMAGE,
    OUTCOME,
    TARGET,
    arm,
    before,
    configuration,
    disarm,
    fill,
    outcome,
    relocator,
    slow_copy,
)

pytestmark = pytest.mark.system

JOURNAL = b"var/lib/relocator"
CLEAR = "\r\x1b[K"  # of the line that is drawn anew


@pytest.fixture(scope="module")
def slow() -> Iterator[Host]:
    """A host with so much in a volume that its copy, held back, takes a minute."""
    with Disk("6G", "ext4") as disk, boot(name="slow", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        host.docker("volume", "create", "large")
        fill(host.path("/var/lib/docker/volumes/large/_data/random"), 240)
        host.run(f"mkdir -p {DISK}/lost+found")
        yield host


def without_journal(survey: Survey) -> Survey:
    """A run that was begun is recorded, also one that was interrupted; `var/lib` itself got an entry."""
    kept = {
        path: entry for path, entry in survey.entries.items() if not path.startswith(JOURNAL) and path != b"var/lib"
    }
    return Survey(survey.root, kept)


def engine_pid(host: Host) -> str:
    return host.run(["systemctl", "show", "--property=MainPID", "docker.service"]).stdout


@pytest.mark.parametrize("way", ["ctrl-c", "SIGINT", "SIGTERM"])
def test_an_interrupt_before_the_hand_over_changes_nothing(slow: Host, way: str) -> None:
    was, held, pid = configuration(slow), inventory(slow), engine_pid(slow)
    if way == "ctrl-c":
        command = ["docker", "run", "-it", "--rm", *EQUIPPED, IMAGE, "--bwlimit=4m", TARGET]
        with slow.terminal(command) as terminal:
            terminal.expect(" %  ")  # the line that is drawn anew, and that nothing may come to stand on
            terminal.send("\x03")
            code = terminal.wait()
        said = terminal.output
        seen = [line.rpartition(CLEAR)[2].rstrip() for line in said.split("\n")]
        assert "Interrupted. Nothing was changed." in seen, said
        assert "! Interrupted: what was copied is removed again; the engine was not stopped" in seen, said
    else:
        with slow_copy(slow) as process:
            slow.run(["docker", "kill", f"--signal={way}", "slow"])
            output, _ = process.communicate(timeout=60)
            code, said = process.returncode, output.decode()
    assert code == 130, said
    assert "Nothing was changed" in said
    assert engine_pid(slow) == pid
    assert not slow.path(TARGET).exists()
    found = without_journal(configuration(slow))
    for path, entry in found.entries.items():
        # the directory a target was made in and removed from keeps the time of that
        assert path == DISK.strip("/").encode() or entry == was.entries[path], path
    assert relocator(slow, "status").returncode == 130
    assert inventory(slow) == held


def test_a_copy_that_goes_on_begins_where_it_is_and_ends_with_all_of_it(slow: Host) -> None:
    """Twice it fails when all is copied, so that the engine is never stopped; in between something comes."""
    late = slow.path("/var/lib/docker/volumes/late/_data")
    arm(slow, "pre-copy.passed fail")
    first = relocator(slow, TARGET)
    disarm(slow, "pre-copy.passed")
    assert first.returncode == 4, first.stdout + first.stderr
    slow.docker("volume", "create", "late")
    fill(late / "random", 120)  # some seconds: it is shown once a second
    arm(slow, "pre-copy.passed fail")
    with slow.terminal(["docker", "run", "-it", "--rm", *EQUIPPED, IMAGE, "--bwlimit=40m", TARGET]) as terminal:
        code = terminal.wait(OUTCOME)
    disarm(slow, "pre-copy.passed")
    shown = [int(found) for found in re.findall(r"(\d+) %  ", terminal.output)]
    assert code == 4, terminal.output
    assert len(shown) > 1, terminal.output
    assert (shown[0] > 65, shown == sorted(shown), shown[-1]) == (True, True, 100), shown
    slow.docker("volume", "rm", "late")
    slow.run(["rm", "-rf", TARGET])


def test_a_second_one_at_the_same_time_is_refused(slow: Host) -> None:
    with slow_copy(slow) as first:
        second = relocator(slow, f"{DISK}/elsewhere")
        assert second.returncode == 3, second.stdout + second.stderr
        assert "Another relocator is at work" in second.stderr
        assert not slow.path(f"{DISK}/elsewhere").exists()
        status = relocator(slow, "status")
        assert (status.returncode, "is at work" in status.stdout) == (10, True)
        slow.run(["docker", "kill", "--signal=SIGINT", "slow"])
        assert first.wait(60) == 130


def test_one_in_the_hand_over_refuses_a_second(slow: Host) -> None:
    """Between the container's end and the worker's lock nobody holds the lock, but the unit is there."""
    handed_over = relocator(slow, TARGET)
    assert handed_over.returncode == 10
    second = subprocess.run(
        slow.entering(["docker", "run", "--rm", *EQUIPPED, IMAGE, f"{DISK}/elsewhere"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert second.returncode != 0  # refused, or the engine went down before the container could start
    assert not slow.path(f"{DISK}/elsewhere").exists()
    assert outcome(slow)["state"] == "committed"


def test_what_is_written_during_the_pre_copy_is_there_afterwards(slow: Host) -> None:
    """Files made, changed, renamed, linked and removed while the copy runs, many of them within one clock tick."""
    old = before(slow).inventory.engine.root
    slow.docker("run", "--detach", "--name", "busy", "--volume", "large:/data", "busybox", "sh", "-c", BUSY)
    target = f"{DISK}/second"
    handed_over = relocator(slow, target, "--same-disk")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    assert outcome(slow)["state"] == "committed"
    data = "volumes/large/_data"
    found = compare(survey(slow.path(f"{old}/{data}")), survey(slow.path(f"{target}/{data}")))
    assert not found, str(found)
    assert int(slow.path(f"{target}/{data}/log").read_text().split()[-1]) > 100


# Started a second time, after the move, it changes nothing, so that what it left can be compared.
BUSY = """
trap 'exit 0' TERM
[ ! -e /data/ran ] || while :; do sleep 0.1; done
touch /data/ran
n=0
while :; do
    n=$((n + 1))
    echo $n >>/data/log
    echo $n >/data/same-size-$((n % 10))
    mv /data/same-size-$(((n + 3) % 10)) /data/renamed-$((n % 7)) 2>/dev/null
    ln -f /data/log /data/link-$((n % 3))
    rm -f /data/link-$(((n + 1) % 3))
    usleep 2000
done
"""

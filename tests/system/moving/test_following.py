"""The host script on a booted host: it waits for the outcome, also without its session, and is a plugin of docker."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import (
    DISK,
    OUTCOME,
    TARGET,
    arm,
    assert_nothing_left,
    await_pause,
    diagnosis,
    disarm,
    outcome,
    resume,
)

pytestmark = pytest.mark.system

PHASES = ["preflight", "plan", "hand-over", "freeze", "switch", "start", "verify"]
PLUGIN = "/root/.docker/cli-plugins/docker-relocate"


@pytest.fixture(scope="module")
def scripted() -> Iterator[Host]:
    with Disk("4G", "ext4") as disk, boot(name="scripted", disks={DISK: disk}) as host:
        host.docker("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "100000")
        host.run("docker create --name bare busybox && docker cp bare:/bin/busybox /usr/local/bin && docker rm bare")
        host.write(PLUGIN, host.docker("run", "--rm", "relocator", "script"), mode=0o755)
        yield host


def root_of(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def test_docker_knows_it_as_a_command(scripted: Host) -> None:
    assert "relocate*" in scripted.docker("help")
    done = scripted.run(["docker", "relocate", "check", TARGET], check=False)
    assert (done.returncode, "check.passed" in done.stdout) == (0, True), done.stdout + done.stderr
    refused = scripted.run(["docker", "relocate", "/proc/docker"], check=False)
    assert (refused.returncode, "[target-file-system]" in refused.stdout + refused.stderr) == (3, True)


def test_a_session_that_is_cut_does_not_take_the_move_along(scripted: Host) -> None:
    """Its terminal goes while the copy is being made: the container's client is attached to it then."""
    arm(scripted, "pre-copy.begun pause")
    with scripted.terminal([PLUGIN, TARGET]) as session:
        await_pause(scripted, "pre-copy.begun")
        session.expect("• pre-copy")
    resume(scripted, "pre-copy.begun")
    await_end(scripted)
    told = outcome(scripted)
    disarm(scripted, "pre-copy.begun")
    assert (told["state"], told["direction"]) == ("committed", "forth"), told
    assert root_of(scripted) == TARGET
    assert_nothing_left(scripted)


def await_end(host: Host) -> None:
    """Until the script itself has come to its end, without anybody who reads it."""
    deadline = time.monotonic() + OUTCOME
    while host.run(["pgrep", "-f", "docker-relocate"], check=False).returncode == 0:
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.2)


def test_it_is_shown_to_its_end_and_its_code_passed_on(scripted: Host) -> None:
    """The way back, in busybox's shell."""
    command = "cd /root && docker run --rm relocator script >relocate && busybox sh relocate rollback --yes"
    done = scripted.run(command, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    finished = [event["phase"] for event in events if event["event"] == "phase.finished"]
    assert finished == PHASES
    assert "was taken back to /var/lib/docker" in done.stdout
    assert root_of(scripted) == "/var/lib/docker"
    assert scripted.docker("ps", "--all", "--format", "{{.Names}}") == "web"
    assert_nothing_left(scripted)

"""Every way of starting it: attached or not, with a terminal or not, with --rm or not, with more or fewer rights."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, populate
from tests.hosts.context import CHECKOUT
from tests.system.support.moving import (
    DISK,
    EQUIPPED,
    IMAGE,
    OUTCOME,
    Before,
    assert_committed,
    before,
    move,
    outcome,
    relocator,
)

pytestmark = pytest.mark.system

SOCKET = ("-v", "/var/run/docker.sock:/var/run/docker.sock")
HOST_ROOT = ("-v", "/:/host:rslave")
COMPOSE = "/root/compose.yaml"


@dataclass
class Nomad:
    """A populated host whose engine is moved again and again; each move starts where the last one ended."""

    host: Host
    moves: int = 0
    was: Before = field(init=False)

    def next_target(self) -> str:
        self.moves += 1
        self.was = before(self.host)
        return f"{DISK}/root-{self.moves}"


@pytest.fixture(scope="module")
def nomad() -> Iterator[Nomad]:
    with Disk("8G", "ext4") as disk, boot(name="nomad", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        yield Nomad(host)


@pytest.mark.parametrize(
    "given",
    [
        ("--rm", *EQUIPPED),
        EQUIPPED,
        pytest.param(("--rm", *EQUIPPED, *HOST_ROOT, *SOCKET), marks=pytest.mark.matrix),
        ("--rm", *EQUIPPED, *HOST_ROOT, "--network=none", "--read-only"),
        ("--rm", *SOCKET),
        pytest.param(SOCKET, marks=pytest.mark.matrix),
    ],
    ids=["rm", "kept", "everything", "read-only", "socket-only-rm", "socket-only-kept"],
)
def test_a_container_without_a_terminal_ends_with_code_10_and_the_move_is_done(
    nomad: Nomad, given: tuple[str, ...]
) -> None:
    target = nomad.next_target()
    told = move(nomad.host, target, "--same-disk", given=("--name=mover", *given))
    nomad.host.run(["docker", "rm", "mover"], check=False)
    nomad.host.run("docker ps --all --quiet --filter ancestor=relocator | xargs --no-run-if-empty docker rm")
    assert_committed(nomad.host, told, nomad.was, target)


@pytest.mark.parametrize("given", [("-it", "--rm", *EQUIPPED), ("-it", "--rm", *SOCKET)], ids=["equipped", "socket"])
def test_a_terminal_sees_sentences_and_gets_code_10(nomad: Nomad, given: tuple[str, ...]) -> None:
    target = nomad.next_target()
    with nomad.host.terminal(["docker", "run", *given, IMAGE, target, "--same-disk"]) as terminal:
        assert terminal.wait() == 10, terminal.output
        assert "status --wait" in terminal.output
        assert '{"' not in terminal.output
    assert_committed(nomad.host, outcome(nomad.host), nomad.was, target)


def test_a_detached_container_moves_too(nomad: Nomad) -> None:
    target = nomad.next_target()
    started = nomad.host.run(["docker", "run", "--detach", "--name=mover", *EQUIPPED, IMAGE, target, "--same-disk"])
    assert started.returncode == 0
    code = nomad.host.run(["docker", "wait", "mover"], check=False).stdout.strip()
    told = outcome(nomad.host)
    nomad.host.run(["docker", "rm", "mover"])
    assert code in ("10", "")  # the engine may have gone while it was asked
    assert_committed(nomad.host, told, nomad.was, target)


def test_every_line_in_a_pipe_is_json(nomad: Nomad) -> None:
    planned = relocator(nomad.host, "plan", f"{DISK}/elsewhere", "--same-disk")
    assert planned.returncode == 0
    events = [json.loads(line)["event"] for line in planned.stdout.splitlines()]
    assert {"phase.started", "phase.finished", "plan.step", "plan.edit", "plan.container"} <= set(events)


def test_without_a_view_of_the_host_it_prints_the_line_that_works(nomad: Nomad) -> None:
    target = nomad.next_target()
    bare = relocator(nomad.host, target, "--same-disk", given=("--rm", "--privileged"))
    assert bare.returncode == 2
    lines = [line.strip() for line in bare.stderr.splitlines() if line.strip().startswith("docker run")]
    assert len(lines) == 1, bare.stderr
    pasted = nomad.host.run(lines[0], check=False)
    assert pasted.returncode == 10, pasted.stdout + pasted.stderr
    assert_committed(nomad.host, outcome(nomad.host), nomad.was, target)


def test_compose_starts_it_with_the_target_as_argument(nomad: Nomad) -> None:
    target = nomad.next_target()
    nomad.host.write(COMPOSE, (CHECKOUT / "compose.yaml").read_text())
    ran = nomad.host.run(
        ["docker", "compose", "--file", COMPOSE, "run", "--rm", IMAGE, target, "--same-disk"], check=False
    )
    assert ran.returncode == 10, ran.stdout + ran.stderr
    assert_committed(nomad.host, outcome(nomad.host), nomad.was, target)


def test_status_without_a_move_says_so() -> None:
    with boot(name="fresh") as host:
        told = relocator(host, "status", "--json")
        assert told.returncode == 0
        assert json.loads(told.stdout)["state"] == "none"
        assert not host.path("/var/lib/relocator").exists()


def test_the_loop_over_many_hosts_moves_one_and_passes_over_one_that_is_there(nomad: Nomad) -> None:
    """As the page has it, with a `ssh` that stays here, and the same host named twice."""
    target = nomad.next_target()
    loop = re.findall(r"```sh\n(.*?)```", (CHECKOUT / "docs/fleets.md").read_text(), re.DOTALL)[1]
    loop = loop.replace("/mnt/data/docker", f"{target} --same-disk")
    nomad.host.write("/root/hosts", "here\nagain\n")
    ran = nomad.host.run(f'cd /root\nssh() {{ shift; sh -c "$*"; }}\n{loop}', check=False, timeout=OUTCOME)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "already_there" in ran.stdout
    assert_committed(nomad.host, outcome(nomad.host), nomad.was, target)


def test_status_waits_for_the_end_of_the_hand_over(nomad: Nomad) -> None:
    """Asked while the engine goes down it ends with 10, or finds no engine; asked again it tells the end."""
    target = nomad.next_target()
    assert relocator(nomad.host, target, "--same-disk").returncode == 10
    deadline = time.monotonic() + 120
    while (told := _ask(nomad.host)) is None:
        assert time.monotonic() < deadline
    assert json.loads(told)["state"] == "committed"


def _ask(host: Host) -> str | None:
    try:
        asking = ["docker", "run", "--rm", *EQUIPPED, IMAGE, "status", "--wait", "--json"]
        said = host.run(asking, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return None
    return said.stdout if said.returncode == 0 else None

"""What must be true of a host after something died in the middle of a move, whatever it was."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, Content, Inventory, differences, inventory, populate
from tests.hosts.survey import Survey, compare
from tests.system.support.moving import (
    DISK,
    EMPTIED,
    MOVED,
    SOURCE,
    Before,
    assert_committed,
    await_worker,
    diagnosis,
    outcome,
    relocator,
    started,
    written_at_start,
)

WITHOUT_HELP = 60.0  # seconds
STARTED_ON = "the engine was started on it; what was written then is only there"
NOT_RUN = "the engine was to start on it, and its program did not come to run there"
ENDED = ("committed", "moved", "rolled-back", "interrupted", "none")
STANDING = "containers.*"
ALWAYS = ("always:0", "unless-stopped:0")
ALIVE = ("running", "paused", "restarting")


def await_engine(host: Host) -> None:
    """The engine answers again without anybody's help."""
    began = time.monotonic()
    await_worker(host)
    host.wait_docker(WITHOUT_HELP)
    assert time.monotonic() - began < WITHOUT_HELP, diagnosis(host)


def assert_up_by_itself(host: Host, was: Before, roots: tuple[str, ...], policies: Collection[str] = ALWAYS) -> str:
    """On one of the roots, with everything in it and with what is always to run; which root it is.

    Containers without one of these policies are not asked for: a restart of the host or of the engine leaves them down.
    """
    host.wait_docker(WITHOUT_HELP)
    now = inventory(host)
    assert now.engine.root in roots, diagnosis(host)
    assert differences(was.inventory, now, ignore=(*MOVED, STANDING)) == []
    lost = was.inventory.containers.keys() - now.containers.keys()
    assert lost == set()
    held = was.inventory.containers
    due = [name for name, one in held.items() if one.policy in policies and one.status in ALIVE]
    assert [name for name in due if now.containers[name].status not in ALIVE] == [], diagnosis(host)
    return now.engine.root


def settled(host: Host) -> dict[str, Any]:
    """The outcome, once a relocator has finished or undone what it found; if that needs the engine down, a worker."""
    told = outcome(host)
    told = outcome(host) if told["state"] == "working" else told
    assert told["state"] in ENDED, f"{told}\n{diagnosis(host)}"
    return told


def stand_again(host: Host, was: Inventory) -> None:
    """Put each container by hand as it stood; only where no move is to do so."""
    now = inventory(host).containers
    for name, one in was.containers.items():
        status = now[name].status
        if one.status in ALIVE and status not in ALIVE:
            host.docker("start", name)
        if one.status == "paused" and status != "paused":
            host.docker("pause", name)
        if one.status not in ALIVE and status in ALIVE:
            host.docker("stop", name)


def assert_stands(host: Host, was: Before) -> None:
    """Every container stands as it stood, with its health, which takes a moment to be known."""
    deadline = time.monotonic() + 30
    while found := differences(was.inventory, inventory(host), ignore=MOVED):
        assert time.monotonic() < deadline, f"{found}\n{diagnosis(host)}"


def assert_the_same_command_completes(host: Host, was: Before, target: str, told: Mapping[str, Any]) -> None:
    """As the outcome says: run it again, and first empty a target that an engine was started on."""
    there = host.docker("info", "--format", "{{.DockerRootDir}}") == target
    assert (told["state"] == "committed") is there, told
    if told["left"] in (STARTED_ON, NOT_RUN):
        host.run(["rm", "-rf", target])
    again = relocator(host, target, "--same-disk")
    assert again.returncode == (0 if there else 10), again.stdout + again.stderr + diagnosis(host)
    assert_committed(host, outcome(host), was, target)


@dataclass
class Plant:
    """A host with everything on disks that lose what was not flushed; its engine moves from one to another."""

    host: Host
    content: Content
    moves: int = 0
    root: str = SOURCE
    kept: Survey = field(init=False)

    def __post_init__(self) -> None:
        self.keep()

    def next_target(self) -> str:
        self.moves += 1
        return f"{DISK if self.moves % 2 else '/var/roots'}/root-{self.moves}"

    def keep(self) -> None:
        """Remember what the root holds now, as what must never be missing."""
        self.kept = started(self.host, self.root)

    def beats(self, root: str) -> dict[str, bytes]:
        """What each container has written, by its volume."""
        logs = self.host.path(root).glob("volumes/beats-*/_data/log")
        return {log.parents[1].name: log.read_bytes() for log in logs}

    def assert_holds(self, root: str, beats: Mapping[str, bytes]) -> None:
        """Every byte that was flushed before the move is there."""
        found = compare(self.kept, started(self.host, root), ignore=is_no_loss)
        assert not found, str(found)
        now = self.beats(root)
        assert [name for name, written in beats.items() if not now[name].startswith(written)] == []


def is_no_loss(path: bytes, aspect: str) -> bool:
    return aspect == "extra" or EMPTIED.fullmatch(path) is not None or written_at_start(path, aspect)


@contextmanager
def plant(name: str, filesystem: str = "ext4") -> Iterator[Plant]:
    with ExitStack() as stack:
        kinds = {"/etc": ("256M", "ext4"), "/var": ("16G", "ext4"), DISK: ("16G", filesystem)}
        disks = {place: stack.enter_context(Disk(*kind)) for place, kind in kinds.items()}
        host = stack.enter_context(boot(name=name, disks=disks))
        yield Plant(host, populate(host, roles=FEWER))

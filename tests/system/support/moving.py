"""Running relocator on a booted host as its users do, and what must be true afterwards."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts import Host
from tests.hosts.content import Content, Inventory, differences, inventory
from tests.hosts.shell import Shell
from tests.hosts.survey import Survey, compare, host_survey, survey

EQUIPPED = ("--privileged", "--pid=host")
ATTACHED = ("--rm", *EQUIPPED)
IMAGE = "relocator"
SOURCE = "/var/lib/docker"
DISK = "/mnt/big"
TARGET = f"{DISK}/docker"
UNIT = "relocator.service"
ORDER = "/etc/systemd/system/{}.d/50-relocator.conf"
TRACE, REACHED = "/run/relocator-trace", "/run/relocator-trace-reached"
# Seconds until a move of the reference content has ended. It takes about five, but a container that does not become
# healthy again is waited for (restart.RECOVERING), and what is said then is worth more than a deadline.
OUTCOME = 240.0

# What no copy carries, because the engine or the kernel makes it anew at each start.
MADE_ANEW = re.compile(
    rb"(tmp|runtimes|lost\+found)(/.*)?|(volumes|overlay2|vfs)/backingFsBlockDev|(overlay2|fuse-overlayfs)/[^/]+/merged"
    rb"|\.relocator-root"  # a move's own word that it was committed
    rb"|rootfs/[^/]+/.*"  # where containerd's snapshots are mounted; an engine that stops may leave the empty places
)
# What an engine writes at any start, on whatever root; everything else must be equal in every way.
WRITTEN = re.compile(
    rb"containers/[^/]+/([^/]+\.json|[^/]+\.log|hosts|hostname|resolv\.conf(\.hash)?)"
    rb"|volumes/beats-[^/]+/_data/log|volumes/metadata\.db|(network/files|buildkit)/.*\.db"
    rb"|image/identity-cache\.db"  # since 29, where containerd keeps the images
)
HOLDS_WRITTEN = re.compile(
    rb"\.|containers/[^/]+|containers|volumes|rootfs(/.*)?|overlay2|overlay2/[^/]+(/work|/committed)?|network/files|buildkit"
    rb"|image/overlay2/layerdb/mounts|plugins/storage"
)
# The engine starts this one at each of its starts and whoever restores what was stops it again: asked before its shell
# has set its trap, it ends only when it is killed.
MOVED = ("engine.root", "engine.driver_status.*", "containers.stopped-always.exit_code")
EMPTIED = re.compile(rb"overlay2/[^/]+/work[/].*")  # by the kernel, when it mounts the layer


@dataclass(frozen=True)
class Before:
    """A host before a move."""

    inventory: Inventory
    daemon_json: str


def before(host: Host) -> Before:
    return Before(inventory(host), read(host, "/etc/docker/daemon.json"))


def arm(host: Host, *points: str) -> None:
    """Arm trace points of the product: `POINT ACTION`, see entrypoint/journal/trace.py."""
    host.run(["rm", "-rf", REACHED])
    host.write(TRACE, "".join(f"{point}\n" for point in points), mode=0o600)


def disarm(host: Host, *points: str) -> None:
    """Nothing is armed any more; every one of `points` was reached."""
    reached = {place.name for place in host.path(REACHED).iterdir()} if host.path(REACHED).exists() else set()
    host.run(["rm", "-rf", TRACE, REACHED])
    assert reached >= set(points), f"reached: {reached}"


def await_pause(host: Host, point: str) -> None:
    """Until the product waits at a point that was armed with `pause`."""
    deadline = time.monotonic() + OUTCOME
    while not host.path(f"{REACHED}/{point}").exists():
        assert time.monotonic() < deadline, f"{point} was not reached\n{diagnosis(host)}"
        time.sleep(0.01)


def resume(host: Host, point: str) -> None:
    """Let the product go on from a pause."""
    host.path(f"{REACHED}/{point}.go").touch()


def read(host: Host, path: str) -> str:
    place = host.path(path)
    return place.read_text() if place.exists() else ""


def relocator(host: Shell, *arguments: str, given: Sequence[str] = ATTACHED) -> "subprocess.CompletedProcess[str]":
    """`docker run … relocator …`, as a user types it, without a terminal."""
    try:
        return host.run(["docker", "run", *given, IMAGE, *arguments], check=False, timeout=OUTCOME)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{late}\n{diagnosis(host)}") from late


def diagnosis(host: Shell) -> str:
    """What a person would look at first on a host where something hangs."""
    looking = (
        "ps axo pid,ppid,stat,etimes,wchan:24,args; docker ps --all; journalctl --no-pager --lines=40;"
        " docker inspect --format '{{.Name}} {{json .State}}' $(docker ps --all --quiet);"
        " for place in /var/lib/relocator/runs/*/journal.jsonl; do echo $place; tail -n 3 $place; done"
    )
    return host.run(f"exec 2>&1; set +e; {looking}", check=False, timeout=30).stdout


def move(host: Shell, target: str = TARGET, *options: str, given: Sequence[str] = ATTACHED) -> dict[str, Any]:
    """A whole move: the hand-over, exit code 10, then the outcome."""
    handed_over = relocator(host, *options, target, given=given)
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr + host.journal(UNIT)
    return outcome(host)


def outcome(host: Shell) -> dict[str, Any]:
    """The outcome as `status --wait --json` tells it, once the engine answers again."""
    await_worker(host)
    told = relocator(host, "status", "--wait", "--json")
    answer: dict[str, Any] = json.loads(told.stdout)
    assert answer["exit_code"] == told.returncode
    return answer


def await_worker(host: Shell) -> None:
    """Until the unit has ended: asking the socket before would be one of the clients that must not matter."""
    deadline = time.monotonic() + OUTCOME * host.slow
    while host.run(["systemctl", "is-active", UNIT], check=False).stdout.strip() not in ("inactive", "failed"):
        assert time.monotonic() < deadline, diagnosis(host) + host.journal(UNIT)
        time.sleep(0.1)


def assert_committed(host: Host, told: dict[str, Any], was: Before, target: str = TARGET) -> None:
    """Everything that a good move promises, asked of the engine and the host."""
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{host.journal(UNIT)}"
    now = inventory(host)
    assert now.engine.root == target
    assert differences(was.inventory, now, ignore=MOVED) == []
    assert_configured(host, was, target)
    assert_nothing_left(host)


def assert_configured(host: Host, was: Before, target: str) -> None:
    """The other keys of daemon.json, their order, their spaces, and the file's mode are as they were."""
    text = read(host, "/etc/docker/daemon.json")
    assert json.loads(text) == {**json.loads(was.daemon_json or "{}"), "data-root": target}
    without = re.sub(r'(,\s*)?"data-root"\s*:\s*"[^"]*"', "", text)
    assert without == re.sub(r'(,\s*)?"data-root"\s*:\s*"[^"]*"', "", was.daemon_json) or not was.daemon_json
    for unit in ("docker.service", "docker.socket"):
        assert f'RequiresMountsFor="{target}"' in read(host, ORDER.format(unit))


def assert_nothing_left(host: Shell) -> None:
    """No hold, no unit, no container of ours, no mount on the host."""
    assert host.run("find /run/systemd/system /run/relocator -name '*relocator*'", check=False).stdout == ""
    assert host.run(["systemctl", "is-active", "docker.service", "docker.socket"]).stdout == "active\nactive\n"


def assert_rolled_back(host: Host, told: dict[str, Any], was: Before, reason: str, root: str = SOURCE) -> None:
    """Engine on the old root with everything that ran, configuration byte for byte, and the reason said."""
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), f"{told}\n{host.journal(UNIT)}"
    assert reason in told["reason"]
    now = inventory(host)
    assert now.engine.root == root
    assert differences(was.inventory, now, ignore=MOVED[2:]) == []
    assert read(host, "/etc/docker/daemon.json") == was.daemon_json
    for unit in ("docker.service", "docker.socket"):
        drop_in = read(host, ORDER.format(unit))
        assert drop_in == "" if root == SOURCE else f'RequiresMountsFor="{root}"' in drop_in
    assert_nothing_left(host)


def assert_equal_roots(host: Host, old: str, new: str) -> None:
    """Every file of the old root is in the new one with everything it has; both engines are down while this looks."""
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    try:
        found = compare(started(host, old), started(host, new), ignore=written_at_start)
    finally:
        host.run(["systemctl", "start", "docker.socket", "docker.service"])
    assert not found, str(found)


def started(host: Host, root: str) -> Survey:
    return survey(host.path(root), skip=lambda path: EMPTIED.fullmatch(path) is not None)


def assert_exact_copy(host: Host, old: str, new: str) -> None:
    """Before the engine has started on it, the new root is the old one, with no exception but what no copy carries."""
    found = compare(
        survey(host.path(old)),
        survey(host.path(new)),
        ignore=lambda path, aspect: MADE_ANEW.fullmatch(path) is not None,
    )
    assert not found, str(found)


def written_at_start(path: bytes, aspect: str) -> bool:
    if MADE_ANEW.fullmatch(path):
        return True
    if WRITTEN.fullmatch(path):
        return aspect != "missing"
    return aspect == "mtime" and HOLDS_WRITTEN.fullmatch(path) is not None


def assert_untouched_since(host: Host, root: str, instant: float) -> None:
    """No entry of a root has changed in any way after an instant (seconds since 1970): ctime cannot be set back."""
    place = host.path(root)
    late = []
    for folder, folders, files in os.walk(os.fsencode(place)):
        for name in (b".", *folders, *files):
            entry = os.path.join(folder, name)
            if os.lstat(entry).st_ctime > instant:
                late.append(entry)
    assert late == []


def frozen_at(host: Host) -> float:
    """When the freeze of the last run was done: from then on nothing may write to the old root."""
    last = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1]
    records = [json.loads(line) for line in (last / "journal.jsonl").read_text().splitlines()]
    return next(float(one["at"]) for one in records if (one["event"], one.get("step")) == ("done", "freeze"))


def assert_writes_survived(host: Host, old: str, new: str, content: Content) -> None:
    """What each container wrote until the freeze is the beginning of what it has written since."""
    for name in content.beating:
        log = f"volumes/beats-{name}/_data/log"
        written, now = host.path(f"{old}/{log}").read_bytes(), host.path(f"{new}/{log}").read_bytes()
        assert written
        assert now.startswith(written), name
        assert len(now) > len(written), name


def configuration(host: Host, target: str | None = DISK) -> Survey:
    """The host's configuration and state, and what is in the target, for a proof that nothing was changed."""
    return host_survey(host.path("/"), target=target)


def assert_unchanged(host: Host, was: Survey, held: Inventory, target: str | None = DISK) -> None:
    found = compare(was, configuration(host, target))
    assert not found, str(found)
    assert differences(held, inventory(host)) == []


@contextmanager
def slow_copy(host: Host, given: Sequence[str] = ATTACHED) -> Iterator["subprocess.Popen[bytes]"]:
    """A run whose pre-copy takes long enough to do something meanwhile; the caller ends it."""
    process = host.popen(
        ["docker", "run", *given, "--name", "slow", IMAGE, "--bwlimit=4m", TARGET],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await_pre_copy(host)
        yield process
    finally:
        host.run(["docker", "rm", "--force", "slow"], check=False)
        process.communicate()


def await_pre_copy(host: Host, target: str = TARGET) -> None:
    """Until the copy is under way: the directories it is made in are there before the first file."""
    deadline = time.monotonic() + 60
    while not host.path(f"{target}/volumes").exists():
        assert time.monotonic() < deadline, "no copy was begun"
        time.sleep(0.02)


def fill(path: Path, megabytes: int) -> None:
    """Content that no copy can make smaller."""
    path.write_bytes(os.urandom(megabytes << 20))

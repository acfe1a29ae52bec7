"""An engine that keeps its images in containerd has two roots; what a move of both promises."""

import json
import re
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.hosts import Host
from tests.hosts.content import Inventory, differences, inventory
from tests.hosts.survey import compare, survey
from tests.system.support.moving import (
    DISK,
    MOVED,
    SOURCE,
    TARGET,
    UNIT,
    assert_nothing_left,
    diagnosis,
    read,
)

STORE = "/var/lib/containerd"
STORE_TARGET = f"{DISK}/containerd"
CONFIG = "/etc/containerd/config.toml"
DAEMON_JSON = "/etc/docker/daemon.json"
ORDER = "/etc/systemd/system/{}.service.d/50-relocator.conf"
SERVICES = ("containerd.service", "docker.socket", "docker.service")
ROOT_LINE = re.compile(r'^root\s*=\s*"[^"]*"\n', re.MULTILINE)
SNAPSHOTS = rb"io\.containerd\.snapshotter\.v1\.[a-z]+"
# What a start of containerd and of the engine's containers writes; all else must be equal in every way.
STORE_WRITTEN = re.compile(
    rb"io\.containerd\.metadata\.v1\.bolt/meta\.db|"
    + SNAPSHOTS
    + rb"/metadata\.db|io\.containerd\.runtime\.v2\.task/.*"
)
STORE_HOLDS_WRITTEN = re.compile(
    rb"\.|opt(/.*)?|tmpmounts|io\.containerd\.[^/]+|io\.containerd\.content\.v1\.content/(ingest|blobs/sha256)"
    rb"|io\.containerd\.runtime\.v2\.task.*|" + SNAPSHOTS + rb"/snapshots(/\d+(/work)?)?"
)
STORE_EMPTIED = re.compile(SNAPSHOTS + rb"/snapshots/\d+/[w]ork/.*")  # by the kernel, when it mounts the layer
MADE_ANEW = re.compile(rb"lost\+found|\.relocator-.*|rootfs(/.*)?")


@dataclass(frozen=True)
class Before:
    """A host before a move: what it holds, and both configurations."""

    inventory: Inventory
    daemon_json: str
    config_toml: str
    store: str


def before(host: Host) -> Before:
    assert host.docker("info", "--format", "{{.Driver}}") == "overlayfs"
    return Before(inventory(host), read(host, DAEMON_JSON), read(host, CONFIG), store(host))


def store(host: Host) -> str:
    """The root that containerd works on: of its own words and files only the open database cannot be stale."""
    pid = host.run(["systemctl", "show", "--value", "--property=MainPID", "containerd.service"]).stdout.strip()
    opened = host.run(f"for one in /proc/{pid}/fd/*; do readlink $one || :; done").stdout.splitlines()
    [database] = {one for one in opened if one.endswith("/io.containerd.metadata.v1.bolt/meta.db")}
    return database.removesuffix("/io.containerd.metadata.v1.bolt/meta.db")


def roots(host: Host) -> tuple[str, str]:
    return host.docker("info", "--format", "{{.DockerRootDir}}"), store(host)


def assert_committed(
    host: Host, told: dict[str, Any], was: Before, target: str = TARGET, store_target: str = STORE_TARGET
) -> None:
    """Everything that a good move of both roots promises, asked of the engine and the host."""
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{host.journal(UNIT)}"
    assert roots(host) == (target, store_target)
    assert_holds(host, was.inventory)
    assert_configured(host, was, target, store_target)
    assert_waits_for_disk(host, target, store_target)
    assert_nothing_left(host)


def assert_holds(host: Host, was: Inventory, ignore: Sequence[str] = MOVED) -> None:
    """Everything, each container as it stood with its health, which takes a moment to be known after a start."""
    deadline = time.monotonic() + 30
    while found := differences(was, inventory(host), ignore=ignore):
        assert time.monotonic() < deadline, f"{found}\n{diagnosis(host)}"
        time.sleep(0.2)


def assert_configured(host: Host, was: Before, target: str, store_target: str) -> None:
    """Both files say where their root is, and else what they said, in the same bytes."""
    daemon, config = read(host, DAEMON_JSON), read(host, CONFIG)
    # Only what stands in the old root may have to follow, such as the `opt` path in Debian's file.
    assert tomllib.loads(config)["root"] == store_target
    kept = ROOT_LINE.sub("", was.config_toml)
    followed = kept.replace(f"{was.store}/", f"{store_target}/")
    assert ROOT_LINE.sub("", config).strip("\n") in (kept.strip("\n"), followed.strip("\n"))
    assert json.loads(daemon) == {**json.loads(was.daemon_json or "{}"), "data-root": target}


def assert_waits_for_disk(host: Host, *places: str) -> None:
    """Neither service starts before what its root is on is mounted."""
    for unit, place in zip(("docker.service", "containerd.service"), places, strict=True):
        wanted = host.run(["systemctl", "show", "--value", "--property=RequiresMountsFor", unit]).stdout
        assert place in wanted.split(), f"{unit}: {wanted}"


def assert_rolled_back(
    host: Host, told: dict[str, Any], was: Before, reason: str, at: tuple[str, str] = (SOURCE, STORE)
) -> None:
    """Both roots are the old ones, with everything that ran, and both files byte for byte what they were."""
    assert (told["state"], told["exit_code"]) == ("rolled-back", 4), f"{told}\n{host.journal(UNIT)}"
    assert reason in told["reason"]
    assert_as_it_was(host, was, at)


def assert_as_it_was(host: Host, was: Before, at: tuple[str, str] = (SOURCE, STORE)) -> None:
    assert roots(host) == at
    assert_holds(host, was.inventory, MOVED[2:])
    assert (read(host, DAEMON_JSON), read(host, CONFIG)) == (was.daemon_json, was.config_toml)
    if at == (SOURCE, STORE):
        assert [read(host, ORDER.format(unit)) for unit in ("docker", "containerd")] == ["", ""]
    assert_nothing_left(host)


def stop(host: Host) -> None:
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    host.run(["systemctl", "stop", "containerd.service"])


def start(host: Host) -> None:
    host.run(["systemctl", "reset-failed", *SERVICES], check=False)
    host.run(["systemctl", "start", *SERVICES])
    host.wait_docker()


def assert_equal_stores(host: Host, old: str, new: str) -> None:
    """Every file of the old containerd root is in the new one with everything it has."""
    stop(host)
    try:
        skip = lambda path: STORE_EMPTIED.fullmatch(path) is not None
        found = compare(survey(host.path(old), skip=skip), survey(host.path(new), skip=skip), ignore=written_at_start)
    finally:
        start(host)
    assert not found, str(found)


def written_at_start(path: bytes, aspect: str) -> bool:
    if MADE_ANEW.fullmatch(path):
        return True
    if STORE_WRITTEN.fullmatch(path):
        return aspect != "missing" or b"runtime.v2.task" in path
    return aspect == "mtime" and STORE_HOLDS_WRITTEN.fullmatch(path) is not None

"""What was changed and not restarted into: no command puts it into force by the way, and all say so beforehand."""

import json
from collections.abc import Iterator
from subprocess import PIPE, STDOUT

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    SOURCE,
    TARGET,
    arm,
    await_pause,
    disarm,
    move,
    outcome,
    read,
    relocator,
    resume,
)

pytestmark = pytest.mark.system

DAEMON_JSON, DROP_IN = "/etc/docker/daemon.json", "/etc/systemd/system/docker.service.d/30-later.conf"
COPIED = "pre-copy.passed"
FILE = {
    "remapped users": ({"userns-remap": "default"}, "start-would-change"),
    "another place to run in": ({"exec-root": "/run/elsewhere"}, "start-would-change"),
    "another feature": ({"features": {"containerd-migration": True}}, "start-would-change"),
    "open to all": ({"hosts": ["tcp://127.0.0.1:2375"]}, "start-would-change"),
    "a runtime that is gone": (
        {"default-runtime": "gone", "runtimes": {"gone": {"path": "/usr/bin/gone"}}},
        "program-missing",
    ),
}
UNIT = {
    "a flag": ("ExecStart=\nExecStart={program} -H fd:// --userns-remap=default", "start-would-change"),
    "a variable": ("Environment=DOCKER_TMPDIR=/srv/elsewhere", "start-would-change"),
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Disk("4G") as disk, boot(name="later", disks={DISK: disk}) as made:
        made.docker("run", "--detach", "--name=app", "--restart=always", "busybox", "sleep", "100000")
        yield made


def write(host: Host, name: str) -> str:
    """Change a file as somebody does who does not restart the engine; returns the finding that is to be told."""
    if name in FILE:
        change, finding = FILE[name]
        host.write(DAEMON_JSON, json.dumps(json.loads(read(host, DAEMON_JSON) or "{}") | change))
    else:
        lines, finding = UNIT[name]
        command = host.run(["systemctl", "show", "--property=ExecStart", "docker.service"]).stdout
        program = command.partition("path=")[2].partition(" ")[0]
        host.write(DROP_IN, f"[Service]\n{lines.format(program=program)}\n")
        host.run(["systemctl", "daemon-reload"])
    return finding


class Changed:
    """In the block the file is changed; after it as it was, and older than the engine's start once more."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name, self.was = host, name, read(host, DAEMON_JSON)

    def __enter__(self) -> str:
        return write(self.host, self.name)

    def __exit__(self, *_: object) -> None:
        if self.was:
            self.host.write(DAEMON_JSON, self.was)
        self.host.run(f"rm -f {DROP_IN} {'' if self.was else DAEMON_JSON}; systemctl daemon-reload")


def engine(host: Host) -> str:
    return host.run(["systemctl", "show", "--value", "--property=MainPID", "docker.service"]).stdout


def assert_refused(host: Host, finding: str, *words: str) -> None:
    was = engine(host)
    told = relocator(host, *words)
    assert told.returncode == 3, told.stdout + told.stderr
    assert f"[{finding}]" in told.stderr
    assert engine(host) == was


@pytest.mark.parametrize("name", [*FILE, *UNIT])
def test_no_move_puts_it_into_force(host: Host, name: str) -> None:
    with Changed(host, name) as finding:
        assert_refused(host, finding, "check", TARGET)
        assert_refused(host, finding, TARGET)


def test_what_is_harmless_is_told_and_the_move_goes_on(host: Host) -> None:
    host.write(DAEMON_JSON, json.dumps(json.loads(read(host, DAEMON_JSON) or "{}") | {"dns": ["192.0.2.1"]}))
    told = relocator(host, "check", TARGET)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "start-would-differ" in told.stdout + told.stderr


def test_what_is_changed_during_the_copy_ends_the_move_before_the_engine_is_stopped(host: Host) -> None:
    was = engine(host)
    arm(host, f"{COPIED} pause")
    front = host.popen(["docker", "run", "--rm", *ATTACHED, IMAGE, TARGET], stdout=PIPE, stderr=STDOUT)
    await_pause(host, COPIED)
    with Changed(host, "remapped users") as finding:
        resume(host, COPIED)
        told = front.communicate(timeout=120)[0].decode()
    disarm(host, COPIED)
    assert front.returncode == 3, told
    assert f"[{finding}]" in told
    assert "The engine was not stopped" in told
    assert engine(host) == was
    assert outcome(host)["state"] != "committed"


def test_no_way_back_and_no_adoption_puts_it_into_force(host: Host) -> None:
    assert move(host, TARGET)["state"] == "committed"
    for name in ("remapped users", "a flag"):
        with Changed(host, name) as finding:
            assert_refused(host, finding, "rollback", "--yes")
            assert_refused(host, finding, SOURCE, "--adopt")
    told = relocator(host, "rollback", "--yes")
    assert told.returncode == 10, told.stdout + told.stderr
    assert outcome(host)["state"] == "committed"

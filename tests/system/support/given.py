"""The rows of `make engine-given`: what was shown of the engine that was given, and of which version."""

import json

import pytest

from tests.hosts import Host, given
from tests.hosts.prepared import images
from tests.system.support.moving import DISK, read

NEEDED = pytest.mark.skipif(not given.is_given(), reason=given.LACKING)
DAEMON_JSON = "/etc/docker/daemon.json"
DROP_IN = "/etc/systemd/system/docker.service.d/10-given.conf"
WEB = ("run", "--detach", "--name=web", "--restart=always", "--stop-signal=KILL", "busybox", "sleep", "99999")


def row(layout: given.Layout, what: str, outcome: str) -> None:
    print(f"\n| {given.version()} | {layout:14} | {what} | {outcome} |")


def restart(host: Host) -> None:
    """With what its files say by now."""
    host.run("systemctl daemon-reload; systemctl reset-failed docker.service docker.socket; systemctl restart docker")
    host.wait_docker()


def configure(host: Host, **options: object) -> None:
    """The options of the file, and no others but the data root."""
    root = json.loads(read(host, DAEMON_JSON) or "{}").get("data-root")
    told = {**({"data-root": root} if root else {}), **options}
    host.write(DAEMON_JSON, json.dumps(told))


def set_up(host: Host, *, flags: str = "", variables: str = "", **options: object) -> None:
    """The engine with these flags, variables and options, running."""
    command = f"ExecStart=\nExecStart={dockerd(host)} -H fd:// --containerd=/run/containerd/containerd.sock {flags}\n"
    host.write(DROP_IN, f"[Service]\n{command if flags else ''}Environment={variables}\n")
    configure(host, **options)
    restart(host)


def dockerd(host: Host) -> str:
    return host.run("command -v dockerd").stdout.strip()


def load(host: Host) -> None:
    """The images that every host has, into an engine that has none."""
    with images(with_product=True) as wanted:
        for image in wanted:
            image.load(host)


def driver(host: Host) -> str:
    return host.docker("info", "--format", "{{.Driver}}")


def started(host: Host) -> str:
    """Which start of the engine this is."""
    return host.run(["systemctl", "show", "--value", "--property=MainPID", "docker.service"]).stdout.strip()


def elsewhere(number: int) -> str:
    return f"{DISK}/{number}/docker"

"""An engine that is given by path: one that no package index has. Hosts with the newest Debian get its programs, beside
Debian's units or in the layout of Docker's own packages.

`RELOCATOR_DOCKERD` and `RELOCATOR_CONTAINERD` name the programs; docker-proxy, containerd-shim-runc-v2 and ctr are
taken from beside them, if they are there. While an engine is given, every host that would have one of Debian's newest
two has that engine (`instead`): trixie in Debian's layout, forky in that of the packages.
"""

import functools
import os
import shutil
from enum import StrEnum
from pathlib import Path

from tests.hosts.command import HostError, run

DOCKERD, CONTAINERD = "RELOCATOR_DOCKERD", "RELOCATOR_CONTAINERD"
BESIDE = {DOCKERD: ("docker-proxy",), CONTAINERD: ("containerd-shim-runc-v2", "ctr")}
LACKING = "no engine was given: make engine-given DOCKERD=/path/to/dockerd [CONTAINERD=/path/to/containerd]"


class Layout(StrEnum):
    """How a host has its engine: the suites that stand for it have these names."""

    DEBIAN = "given"
    PACKAGES = "given-packages"


INSTEAD_OF = {"trixie": Layout.DEBIAN, "forky": Layout.PACKAGES}

# As docker-ce and containerd.io have them; what only orders the boot on other distributions is left out.
SERVICE = """[Unit]
Description=Docker Application Container Engine
After=network-online.target nss-lookup.target docker.socket firewalld.service containerd.service time-set.target
Wants=network-online.target containerd.service
Requires=docker.socket
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
RestartSec=2
Restart=always
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=1048576
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""
SOCKET = """[Unit]
Description=Docker Socket for the API

[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker

[Install]
WantedBy=sockets.target
"""
CONTAINERD_SERVICE = """[Unit]
Description=containerd container runtime
After=network.target dbus.service

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""
CONFIG = """disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#state = "/run/containerd"
#subreaper = true
#oom_score = 0

#[grpc]
#  address = "/run/containerd/containerd.sock"
#  uid = 0
#  gid = 0

#[debug]
#  level = "info"
"""
UNITS = "usr/lib/systemd/system"
FILES = {"docker.service": SERVICE, "docker.socket": SOCKET, "containerd.service": CONTAINERD_SERVICE}


def is_given() -> bool:
    return bool(os.environ.get(DOCKERD))


def instead(name: str) -> str:
    """The suite that a host has."""
    return INSTEAD_OF.get(name, name) if is_given() else name


@functools.cache
def programs() -> dict[str, Path]:
    """What was given, by the names of the programs."""
    found = {}
    for variable, beside in BESIDE.items():
        if not (given := os.environ.get(variable)):
            continue
        place = Path(given).resolve()
        if not os.access(place, os.X_OK):
            raise HostError(f"{variable} is no program: {given}")
        found[variable.rpartition("_")[2].lower()] = place
        found |= {name: place.with_name(name) for name in beside if place.with_name(name).is_file()}
    return found


@functools.cache
def parts() -> tuple[str | bytes, ...]:
    """All that decides what is installed."""
    return (*[part for name, path in sorted(programs().items()) for part in (name, path.read_bytes())],
            *FILES.values(), CONFIG)  # fmt: skip


@functools.cache
def version() -> str:
    """For people: what the programs say of themselves, without what they were built from."""
    said = [run([path, "--version"]).split() for name, path in programs().items() if name in ("dockerd", "containerd")]
    return ", ".join(f"{words[0]} {words[2].rstrip(',').removeprefix('v')}" for words in said)


def install(root: Path, layout: Layout) -> None:
    """Put the programs in the place of those of Debian's packages, and the units of the packages if that is wanted."""
    for name, path in programs().items():
        own = [place for place in (root / "usr/sbin" / name, root / "usr/bin" / name) if place.exists()]
        target = own[0] if layout is Layout.DEBIAN and own else root / "usr/bin" / name
        for place in own:
            place.unlink()
        shutil.copy(path, target)
    if layout is Layout.PACKAGES:
        for unit, text in FILES.items():
            (root / UNITS / unit).write_text(text)
        (root / "etc/containerd/config.toml").write_text(CONFIG)
        (root / "etc/default/docker").unlink(missing_ok=True)

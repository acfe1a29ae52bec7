"""The reference content of a host: one of everything that an engine can hold and that a move can lose.

`populate` makes it, `inventory` asks the engine for it, `differences` compares two answers, and `downtime` tells
from outside how long a container was away.
"""

import json
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from tests.hosts.host import Host
from tests.hosts.shell import Shell

IMAGE = "busybox:latest"
APP, APP_ALIAS, APP_SECOND_NAME = "app:1", "app:latest", "example/app:stable"
NETWORK = "backend"
ODD_VOLUME = "odd"
UNUSED_VOLUME = "unused"
DAEMON_JSON = "/etc/docker/daemon.json"
MIB = 1024 * 1024
GIB = 1024 * MIB
NANOSECOND_PAST = 86_400_000_000_001
NANOSECOND_FUTURE = 4_102_444_800_123_456_789
NANOSECOND_ODD = 1_700_000_000_987_654_321
ABSENT = "absent"
# A power cut can leave a torn line, or zeros.
BEAT = re.compile(rb"\d+\.\d+")


@dataclass(frozen=True)
class Size:
    """How much of it; the default suits tests, a benchmark wants more."""

    layers: int = 3
    files_per_layer: int = 40
    interval: float = 0.1  # seconds between two heartbeats


@dataclass(frozen=True)
class Role:
    """A container and the state that `populate` leaves it in."""

    name: str
    policy: str = "no"
    status: str = "running"
    options: tuple[str, ...] = ()
    # What it exits with when it is asked to stop; the engine starts `on-failure` again only if that is not 0.
    code: int = 0

    @property
    def volume(self) -> str:
        return f"beats-{self.name}"

    @property
    def beats(self) -> bool:
        return self.status == "running"

    @property
    def stopped_by_hand(self) -> bool:
        return self.status == "exited" and self.name != FINISHED


FINISHED = "finished"
HEALTHY = "healthy"
CHANGED = "changed"
ROLES = (
    Role("no"),
    Role("on-failure", "on-failure"),
    Role("on-failure-dirty", "on-failure:5", code=143),
    Role("always", "always", options=("--label", "com.example.tier=front", "--env", "GREETING=hello world")),
    Role("unless-stopped", "unless-stopped", options=("--hostname", "attic")),
    Role(FINISHED, status="exited"),
    Role("stopped-unless-stopped", "unless-stopped", status="exited"),
    Role("stopped-always", "always", status="exited"),
    Role("created", "always", status="created"),
    Role("paused", "unless-stopped", status="paused"),
    Role(
        HEALTHY,
        "unless-stopped",
        options=(
            *("--network", NETWORK, "--network-alias", "pulse"),
            *("--health-cmd", "test -s /beats/log", "--health-interval", "1s"),
        ),
    ),
    Role(CHANGED, "always"),
    Role("two-volumes", "unless-stopped", options=("--volume", f"{ODD_VOLUME}:/odd")),
)

# One for each way in which an engine, and a move, treat a container; half of the starts and stops of a move fall away.
FEWER = tuple(
    role
    for role in ROLES
    if role.name in ("no", "on-failure-dirty", "always", FINISHED, "stopped-always", "paused", HEALTHY)
)


@dataclass(frozen=True)
class Content:
    size: Size
    roles: tuple[Role, ...]
    image: str
    tags: tuple[str, ...]
    dangling: str
    network: str
    odd_volume: str
    unused_volume: str
    daemon_json: str

    @property
    def beating(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.roles if role.beats)


def populate(host: Host, size: Size = Size(), roles: Sequence[Role] = ROLES) -> Content:
    """On a booted host whose engine has IMAGE and nothing else."""
    text = _configure(host)
    with ThreadPoolExecutor(max_workers=4) as pool:
        image = pool.submit(_build, host, size)
        _make_network_and_volumes(host)
        fill_oddly(_mountpoint(host, ODD_VOLUME))
        dangling = image.result()
        list(pool.map(lambda role: _start(host, role, size), roles))
    if any(role.name == CHANGED for role in roles):
        _change_layer(host)
    _await(lambda: host.docker("inspect", "--format", "{{.State.Health.Status}}", HEALTHY) == "healthy")
    tags = (APP, APP_ALIAS, APP_SECOND_NAME)
    return Content(size, tuple(roles), APP, tags, dangling, NETWORK, ODD_VOLUME, UNUSED_VOLUME, text)


def _configure(host: Host) -> str:
    """A file that no program would write like this, in front of what the host needs there."""
    path = host.path(DAEMON_JSON)
    needed = json.loads(path.read_text()) if path.exists() else {}
    rest = "".join(f",\n\t{json.dumps(key)} :{json.dumps(value)}" for key, value in needed.items())
    text = (
        '\n{ "log-level" : "info",\n        "labels":["site=attic" ,\n   "rack=\\u0037"],\n\n'
        f'  "max-concurrent-downloads":2{rest}\n      }}\n\n'
    )
    host.write(DAEMON_JSON, text, mode=0o640)
    # systemd refuses a fourth start within a minute.
    host.run(["systemctl", "reset-failed", "docker.service", "docker.socket"], check=False)
    host.run(["systemctl", "restart", "docker.service"])
    host.wait_docker()
    return text


def dockerfile(size: Size) -> str:
    """Files come and go from layer to layer: whiteouts, an opaque directory, a hard link, a set-user-ID program."""
    fill = 'mkdir /data/{0} && i=0 && while [ $i -lt {1} ]; do echo "{0} $i" > /data/{0}/$i; i=$((i+1)); done'
    return "\n".join(
        (
            f"FROM {IMAGE}",
            "LABEL com.example.layers=many",
            "RUN mkdir -p /data/kept /data/removed/deep /data/replaced/deep"
            " && for d in kept removed replaced replaced/deep; do echo old > /data/$d/a; echo old > /data/$d/b; done"
            " && ln /data/kept/a /data/kept/same && cp /bin/busybox /data/kept/su && chmod 4755 /data/kept/su",
            *(f"RUN {fill.format(number, size.files_per_layer)}" for number in range(size.layers)),
            "RUN rm -rf /data/removed /data/kept/b && rm -rf /data/replaced"
            " && mkdir /data/replaced && echo new > /data/replaced/new && chmod 700 /data/kept/a",
        )
    )


def _build(host: Host, size: Size) -> str:
    """The id of an image that has lost its name to nobody: it never had one."""
    # The classic builder needs nothing but the engine, in every version.
    classic = {"DOCKER_BUILDKIT": "0"}
    host.run(["docker", "build", "--tag", APP, "-"], stdin=dockerfile(size), env=classic, timeout=600)
    for tag in (APP_ALIAS, APP_SECOND_NAME):
        host.docker("tag", APP, tag)
    nameless = f"FROM {IMAGE}\nLABEL com.example.name=none\n"
    return host.run(["docker", "build", "--quiet", "-"], stdin=nameless, env=classic).stdout.strip()


def _make_network_and_volumes(host: Host) -> None:
    host.docker("network", "create", "--label", "com.example.zone=inner", "--subnet", "172.30.9.0/24", NETWORK)
    host.docker("volume", "create", "--label", "com.example.keep=yes", ODD_VOLUME)
    options = ("type=tmpfs", "device=tmpfs", "o=size=1m")
    host.docker("volume", "create", *chain.from_iterable(("--opt", option) for option in options), UNUSED_VOLUME)


def _start(host: Host, role: Role, size: Size) -> None:
    # Since boot, because busybox's date knows no fractions. Nothing in the loop starts a process: with `sleep` the
    # containers of one host took a tenth of a processor. Nobody writes to the pipe.
    beat = (
        f"trap 'exit {role.code}' TERM; mkfifo /dev/shm/wait; exec 3<>/dev/shm/wait; while :; do"
        f" read -r now rest < /proc/uptime; echo $now >> /beats/log; read -t {size.interval} -u 3 none; done"
    )
    command = "true" if role.name == FINISHED else beat
    options = ("--name", role.name, "--restart", role.policy, "--volume", f"{role.volume}:/beats", *role.options)
    verb = ("create",) if role.status == "created" else ("run", "--detach")
    host.docker(*verb, *options, APP, "sh", "-c", command)
    if role.status == "paused":
        host.docker("pause", role.name)
    elif role.status == "exited":
        host.docker("stop" if role.stopped_by_hand else "wait", role.name)


def _change_layer(host: Host) -> None:
    script = (
        "rm -rf /data/kept/same /data/replaced && mkdir /data/replaced && echo newer > /data/replaced/newer"
        " && rm -rf /data/0 && echo more >> /data/kept/a && mkfifo /data/fifo && touch -d @1 /data/fifo"
    )
    host.docker("exec", CHANGED, "sh", "-c", script)


def fill_oddly(root: Path) -> None:
    """Whatever a file can be, short of what only one file system knows."""
    names = (b"new\nline", b"not \xff\xfe text", b"-rf", b"trailing ", b"*", b"a" * 255, b"\\backslash'\"$(x)")
    for name in names:
        _write(root, name, b"odd name")
    _make_links(root)
    _make_sparse(root)
    _make_attributes(root)
    _make_nodes(root)
    _make_modes(root)
    deep = root.joinpath(*(f"level-{number:02}" for number in range(40)))
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("deep\n")
    (root / "empty/empty").mkdir(parents=True)
    _make_times(root)


def _write(root: Path, name: bytes, content: bytes, mode: int = 0o644) -> Path:
    path = root / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def _make_links(root: Path) -> None:
    first = _write(root, b"links/one/first", b"one file, three names\n")
    (root / "links/two/deeper").mkdir(parents=True)
    os.link(first, root / "links/one/second")
    os.link(first, root / "links/two/deeper/third")
    (root / "links/dangling").symlink_to("nowhere/at all")
    (root / "links/absolute").symlink_to("/etc/passwd")
    (root / "links/relative").symlink_to("one/first")
    # A link is a file like any other: it can have two names as well.
    os.link(root / "links/relative", root / "links/two/relative", follow_symlinks=False)


def _make_sparse(root: Path) -> None:
    with (root / "sparse").open("wb") as file:
        for offset, length in ((GIB // 2, 3000), (GIB - 4096, 4096)):
            file.seek(offset)
            file.write(b"\x5a" * length)
    with (root / "hole-at-the-end").open("wb") as file:
        file.write(b"beginning")
        file.truncate(64 * MIB)


def _make_attributes(root: Path) -> None:
    named = _write(root, b"attributes/user", b"attributes\n")
    os.setxattr(named, "user.colour", b"blue")
    os.setxattr(named, "user.binary", bytes(range(256)))
    os.setxattr(named, "trusted.origin", b"attic")
    os.setxattr(named.parent, "user.colour", b"green")
    # cap_net_bind_service=ep, revision 2.
    capable = _write(root, b"attributes/capable", b"#!/bin/true\n", 0o755)
    os.setxattr(capable, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    listed = _write(root, b"attributes/listed", b"list\n")
    os.setxattr(listed, "system.posix_acl_access", _acl(user=1001, group=1002))
    inherited = root / "attributes/inherited"
    inherited.mkdir()
    os.setxattr(inherited, "system.posix_acl_access", _acl(user=1003, group=1004))
    os.setxattr(inherited, "system.posix_acl_default", _acl(user=1005, group=1006))
    (inherited / "child").write_text("inherits\n")


def _acl(user: int, group: int) -> bytes:
    """What setfacl stores: version 2, then tag, permissions and id of each entry."""
    nobody = 0xFFFFFFFF
    owner, named_user, owning_group, named_group, mask, others = (
        (0x01, 7, nobody),
        (0x02, 6, user),
        (0x04, 5, nobody),
        (0x08, 6, group),
        (0x10, 6, nobody),
        (0x20, 0, nobody),
    )
    entries = (owner, named_user, owning_group, named_group, mask, others)
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _make_nodes(root: Path) -> None:
    nodes = root / "nodes"
    nodes.mkdir()
    os.mkfifo(nodes / "fifo", 0o640)
    # Not bind(2), whose path may be no longer than 107 bytes.
    os.mknod(nodes / "socket", stat.S_IFSOCK | 0o660)
    os.mknod(nodes / "character", stat.S_IFCHR | 0o620, os.makedev(4, 64))
    os.mknod(nodes / "block", stat.S_IFBLK | 0o660, os.makedev(259, 65_536))
    # In a volume this is a device and no whiteout.
    os.mknod(nodes / "zero", stat.S_IFCHR | 0o600, os.makedev(0, 0))


def _make_modes(root: Path) -> None:
    os.chown(_write(root, b"modes/foreign", b"ids\n"), 3_000_000_000, 12_345)
    _write(root, b"modes/set-user-id", b"#!/bin/true\n", 0o4755)
    _write(root, b"modes/set-group-id", b"#!/bin/true\n", 0o2711)
    _write(root, b"modes/nobody", b"closed\n", 0o000)
    _write(root, b"modes/sticky/file", b"sticky\n").parent.chmod(0o1777)
    _write(root, b"modes/closed/file", b"closed\n").parent.chmod(0o000)


def _make_times(root: Path) -> None:
    times = ((b"past", NANOSECOND_PAST), (b"future", NANOSECOND_FUTURE), (b"odd", NANOSECOND_ODD))
    for name, instant in times:
        os.utime(_write(root, b"times/" + name, name), ns=(instant, instant))
    for path in (root / "links/dangling", root / "empty/empty", root / "nodes/fifo", root / "times"):
        os.utime(path, ns=(NANOSECOND_ODD, NANOSECOND_ODD), follow_symlinks=False)


@dataclass(frozen=True)
class Engine:
    id: str
    driver: str
    root: str
    driver_status: Mapping[str, str]


@dataclass(frozen=True)
class Image:
    id: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Container:
    id: str
    image: str
    policy: str
    status: str
    health: str
    # Of one that does not run: the engine keeps an old code while it runs.
    exit_code: int | None
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    env: tuple[str, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Volume:
    driver: str
    labels: Mapping[str, str]
    options: Mapping[str, str]


@dataclass(frozen=True)
class Network:
    # None for `bridge`, which the engine makes anew at each start.
    id: str | None
    driver: str
    labels: Mapping[str, str]
    options: Mapping[str, str]
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """What the engine says it has, by name or, for images, by id."""

    engine: Engine
    images: Mapping[str, Image]
    containers: Mapping[str, Container]
    volumes: Mapping[str, Volume]
    networks: Mapping[str, Network]


def inventory(host: Shell) -> Inventory:
    info = json.loads(host.docker("info", "--format", "{{json .}}"))
    status = dict(info["DriverStatus"] or ())  # vfs has none
    images = map(_image, _inspect(host, "image", "--all"))
    return Inventory(
        Engine(info["ID"], info["Driver"], info["DockerRootDir"], status),
        {image.id: image for image in images},
        {each["Name"].lstrip("/"): _container(each) for each in _inspect(host, "container", "--all")},
        {each["Name"]: _volume(each) for each in _inspect(host, "volume")},
        {each["Name"]: _network(each) for each in _inspect(host, "network")},
    )


def differences(before: Inventory, after: Inventory, *, ignore: Collection[str] = ()) -> list[str]:
    """`ignore` holds shell patterns of places, such as "engine.root" or "containers.*.health"."""
    found = chain.from_iterable(
        _differences(part, old, new)
        for (part, old), new in zip(asdict(before).items(), asdict(after).values(), strict=True)
    )
    return [
        f"{place}: {change}" for place, change in found if not any(fnmatchcase(place, pattern) for pattern in ignore)
    ]


def _differences(place: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(f"{place}.{key}", old.get(key, ABSENT), new.get(key, ABSENT))
    else:
        yield place, f"{_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return "present" if isinstance(value, dict) else ABSENT if value is ABSENT else repr(value)


def _inspect(host: Shell, kind: str, *options: str) -> list[dict[str, Any]]:
    whole = () if kind == "volume" else ("--no-trunc",)
    # An image with two names is listed twice.
    ids = dict.fromkeys(host.docker(kind, "ls", "--quiet", *whole, *options).split())
    return list(json.loads(host.docker(kind, "inspect", *ids))) if ids else []


def _image(found: dict[str, Any]) -> Image:
    return Image(found["Id"], tuple(sorted(found["RepoTags"] or ())))


def _container(found: dict[str, Any]) -> Container:
    state, policy = found["State"], found["HostConfig"]["RestartPolicy"]
    running = state["Running"] or state["Paused"]
    return Container(
        id=found["Id"],
        image=found["Image"],
        policy=f"{policy['Name']}:{policy['MaximumRetryCount']}",
        status=state["Status"],
        health=state.get("Health", {}).get("Status", ""),
        exit_code=None if running else state["ExitCode"],
        networks=tuple(sorted(found["NetworkSettings"]["Networks"])),
        volumes=tuple(sorted(f"{m['Name']} at {m['Destination']}" for m in found["Mounts"] if m["Type"] == "volume")),
        env=tuple(sorted(found["Config"]["Env"] or ())),
        labels=found["Config"]["Labels"] or {},
    )


def _volume(found: dict[str, Any]) -> Volume:
    return Volume(found["Driver"], found["Labels"] or {}, found["Options"] or {})


def _network(found: dict[str, Any]) -> Network:
    return Network(
        id=None if found["Name"] == "bridge" else found["Id"],
        driver=found["Driver"],
        labels=found["Labels"] or {},
        options=found["Options"] or {},
        subnets=tuple(sorted(each["Subnet"] for each in found["IPAM"]["Config"] or ())),
    )


@dataclass(frozen=True)
class Gap:
    seconds: float
    # When the last heartbeat before it was, in seconds since the epoch.
    start: float


def downtime(host: Host, container: str, *, since: float = 0.0) -> Gap:
    """The longest time without a heartbeat, up to now: a container that never came back is still away."""
    log = _mountpoint(host, Role(container).volume) / "log"
    return longest_gap([beat for beat in heartbeats(log) if beat >= since], until=time.time())


def heartbeats(log: Path) -> list[float]:
    """Seconds since the epoch, to a hundredth. The host shares the kernel of whoever reads this, and its clock."""
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return [started + float(line) for line in log.read_bytes().splitlines() if BEAT.fullmatch(line)]


def longest_gap(beats: Sequence[float], *, until: float) -> Gap:
    if not beats:
        raise ValueError("no heartbeat at all")
    return max((Gap(later - beat, beat) for beat, later in pairwise([*beats, until])), key=lambda gap: gap.seconds)


def _mountpoint(host: Host, volume: str) -> Path:
    return host.path(host.docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume))


def _await(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the reference content did not come up")
        time.sleep(0.05)

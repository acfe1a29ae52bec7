"""containerd's root moves alone: somebody has moved the data root by hand, and the images stayed on the full disk."""

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import PIPE, STDOUT
from typing import Any

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, Content, differences, inventory, populate
from tests.system.support import moving
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    MOVED,
    SOURCE,
    TARGET,
    UNIT,
    arm,
    assert_nothing_left,
    assert_untouched_since,
    await_pause,
    diagnosis,
    disarm,
    frozen_at,
    outcome,
    read,
    relocator,
)
from tests.system.support.points import AROUND, FRONT, WAYS_BACK, WITHIN, Back, ends_new, failure
from tests.system.support.surviving import NOT_RUN, STARTED_ON, assert_up_by_itself, await_engine, settled, stand_again
from tests.system.support.two_roots import (
    CONFIG,
    DAEMON_JSON,
    ORDER,
    ROOT_LINE,
    STORE,
    STORE_TARGET,
    Before,
    assert_equal_stores,
    assert_holds,
    before,
    roots,
)

pytestmark = pytest.mark.system

ONLY = "--only=containerd"


def by_hand(host: Host, target: str = TARGET) -> None:
    """As Docker's documentation has it: the engine is stopped, its root copied, and daemon.json names the copy."""
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    host.run(["mkdir", "-p", os.path.dirname(target)])
    host.run(["cp", "-a", SOURCE, target])
    settings = json.loads(read(host, DAEMON_JSON) or "{}")
    host.write(DAEMON_JSON, json.dumps({**settings, "data-root": target}))
    host.run(["systemctl", "start", "docker.socket", "docker.service"])
    host.wait_docker()


def move(host: Host, target: str = STORE_TARGET) -> dict[str, Any]:
    handed_over = relocator(host, ONLY, target, "--same-disk")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr + host.journal(UNIT)
    return outcome(host)


def assert_committed(host: Host, told: dict[str, Any], was: Before, data_root: str, target: str) -> None:
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{host.journal(UNIT)}"
    assert (told["only"], told["target"], told["containerd"]) == ("containerd", target, None), told
    assert roots(host) == (data_root, target)
    assert_holds(host, was.inventory)
    assert read(host, DAEMON_JSON) == was.daemon_json
    config = read(host, CONFIG)
    assert tomllib.loads(config)["root"] == target
    kept = ROOT_LINE.sub("", was.config_toml).replace(f"{was.store}/", f"{target}/")
    assert ROOT_LINE.sub("", config).strip("\n") == kept.strip("\n")
    for unit in ("docker.service", "containerd.service"):
        wanted = host.run(["systemctl", "show", "--value", "--property=RequiresMountsFor", unit]).stdout
        assert target in wanted.split(), f"{unit}: {wanted}"
    assert host.run("find /etc/systemd/system -name '*relocator-switch*'").stdout == ""
    assert_nothing_left(host)


@dataclass(frozen=True)
class Moved:
    host: Host
    disk: Disk
    content: Content
    was: Before
    told: dict[str, Any]


@pytest.fixture(scope="module")
def moved() -> Iterator[Moved]:
    """A populated host, whose data root was moved by hand, and the other by this program."""
    with Disk("6G") as disk, boot("trixie", "alone", disks={DISK: disk}, containerd_store=True) as host:
        content = populate(host)
        by_hand(host)
        stand_again(host, inventory(host))
        refused = relocator(host, TARGET)
        assert (refused.returncode, "--only containerd" in refused.stderr) == (3, True), refused.stderr
        was = before(host)
        yield Moved(host, disk, content, was, move(host))


def test_containerds_root_is_new_and_the_data_root_where_it_was(moved: Moved) -> None:
    assert_committed(moved.host, moved.told, moved.was, TARGET, STORE_TARGET)
    assert_untouched_since(moved.host, STORE, frozen_at(moved.host))
    for words in ((ONLY, STORE_TARGET), (TARGET,)):
        again = relocator(moved.host, *words)
        assert (again.returncode, "already_there" in again.stdout) == (0, True), again.stdout + again.stderr


@pytest.mark.matrix
def test_every_file_of_it_is_equal(moved: Moved) -> None:
    assert_equal_stores(moved.host, STORE, STORE_TARGET)


@pytest.mark.matrix
def test_without_its_disk_neither_starts_and_with_it_both_do(moved: Moved) -> None:
    """The data root is brought back to the host's own disk: what keeps the engine down is that of the images."""
    host = moved.host
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    host.run(["rm", "-rf", SOURCE])
    host.run(["cp", "-a", TARGET, SOURCE])
    settings = json.loads(read(host, DAEMON_JSON))
    host.write(DAEMON_JSON, json.dumps({**settings, "data-root": SOURCE}))
    host.power_off()
    host.disks.clear()
    host.boot()
    assert host.run(["timeout", "3", "docker", "info"], check=False).returncode != 0
    states = host.run(["systemctl", "is-active", "containerd.service", "docker.service"], check=False).stdout.split()
    assert not {*states} & {"active", "activating", "reloading"}, states
    assert os.listdir(host.path(DISK)) == []
    host.attach(moved.disk, DISK, keep=True)
    host.wait_docker()
    assert roots(host) == (SOURCE, STORE_TARGET)
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    host.write(DAEMON_JSON, moved.was.daemon_json)
    host.run(["systemctl", "start", "docker.socket", "docker.service"])
    host.wait_docker()
    stand_again(host, moved.was.inventory)


@pytest.mark.matrix
def test_it_comes_back_alone(moved: Moved) -> None:
    """Not while there are containers that the old root has no layers of."""
    host = moved.host
    host.docker("create", "--name=since", "busybox", "true")
    refused = relocator(host, "rollback", "--yes")
    assert (refused.returncode, "[containers-since]" in refused.stderr) == (3, True), refused.stderr
    host.docker("rm", "since")
    host.docker("volume", "create", "since")
    assert relocator(host, "rollback").returncode == 0
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    told = outcome(host)
    assert (told["state"], told["direction"], told["only"]) == ("committed", "back", "containerd"), told
    assert roots(host) == (TARGET, STORE)
    assert "since" in host.docker("volume", "ls", "--quiet").split()
    host.docker("volume", "rm", "since")
    assert_holds(host, moved.was.inventory)
    assert (read(host, DAEMON_JSON), read(host, CONFIG)) == (moved.was.daemon_json, moved.was.config_toml)
    assert [read(host, ORDER.format(unit)) for unit in ("docker", "containerd")] == ["", ""]
    assert_nothing_left(host)


@pytest.mark.matrix
def test_cleanup_removes_what_was_left_of_it_alone(moved: Moved) -> None:
    host = moved.host
    if roots(host) != (TARGET, STORE):
        pytest.skip("it goes on from where the test before has ended")
    told = relocator(host, "cleanup", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "cleanup.behind" not in told.stdout
    assert sorted(os.listdir(host.path(DISK))) == ["docker", "lost+found"]
    assert roots(host) == (TARGET, STORE)
    assert_holds(host, moved.was.inventory)


@pytest.mark.matrix
def test_both_move_on_after_it_moved_alone() -> None:
    """Its guards are kept where the data root moves alone, and each way back is one of what had moved."""
    with Disk("6G") as disk, boot("trixie", "on", disks={DISK: disk}, containerd_store=True) as host:
        host.docker("run", "--detach", "--name=web", "--restart=always", "busybox", "sleep", "99999")
        was = before(host)
        assert_committed(host, move(host), was, SOURCE, STORE_TARGET)
        images = read(host, ORDER.format("docker"))
        assert f'RequiresMountsFor="{STORE_TARGET}"' in images
        assert SOURCE not in images
        assert relocator(host, TARGET).returncode == 10  # beside it is where the other is already, and stays
        assert outcome(host)["state"] == "committed"
        assert roots(host) == (TARGET, STORE_TARGET)
        both = read(host, ORDER.format("docker"))
        assert all(f'RequiresMountsFor="{place}"' in both for place in (TARGET, STORE_TARGET))
        for left in (STORE, SOURCE):
            assert left in relocator(host, "cleanup").stdout
        assert relocator(host, "rollback", "--yes").returncode == 10
        assert outcome(host)["state"] == "committed"
        assert roots(host) == (SOURCE, STORE_TARGET)
        assert read(host, ORDER.format("docker")) == images
        assert differences(was.inventory, inventory(host), ignore=MOVED) == []
        assert relocator(host, "cleanup", "--yes").returncode == 0
        assert (host.path(STORE).exists(), host.path(TARGET).exists()) == (False, False)


# --- deaths ----------------------------------------------------------------------------------------------------------


@dataclass
class Victim:
    """A host whose containerd root moves on with every case."""

    host: Host
    moves: int = 0

    def next_target(self) -> str:
        self.moves += 1
        return f"{DISK}/{self.moves}/containerd"


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Disk("24G") as disk, boot("trixie", "victim-alone", disks={DISK: disk}, containerd_store=True) as host:
        populate(host, roles=FEWER)
        yield Victim(host)


@pytest.mark.matrix
@pytest.mark.parametrize("point", (*FRONT, *AROUND, *WITHIN))
def test_a_killed_process_leaves_one_complete_root(victim: Victim, point: str) -> None:
    host, target, was, at = victim.host, victim.next_target(), before(victim.host), roots(victim.host)
    arm(host, f"{point} kill")
    ran = relocator(host, ONLY, target, "--same-disk")
    assert ran.returncode == (137 if point in FRONT else 10), ran.stdout + ran.stderr
    now = assert_back(host, was, (at[1], target))
    disarm(host, point)
    print(f"\n| {point:44} | {'SIGKILL':28} | {'new' if now == target else 'old'} root of containerd |")
    assert_the_same_command_completes(host, was, target)
    host.run(["rm", "-rf", at[1]])


@pytest.mark.matrix
@pytest.mark.parametrize("back", WAYS_BACK, ids=str)
def test_a_worker_killed_on_the_way_back_leaves_the_old_root(victim: Victim, back: Back) -> None:
    host, target, was, at = victim.host, victim.next_target(), before(victim.host), roots(victim.host)
    arm(host, failure(back.failing, back.point), f"{back.point} kill")
    ran = relocator(host, ONLY, target, "--same-disk")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    assert_back(host, was, (target if ends_new(back) else at[1],))
    disarm(host, back.failing, back.point)
    assert_the_same_command_completes(host, was, target)
    host.run(["rm", "-rf", at[1]])


def assert_back(host: Host, was: Before, stores: tuple[str, ...]) -> str:
    """On one of the roots, with everything it held and all that ran; returns which."""
    await_engine(host)
    data_root, now = roots(host)
    assert data_root == was.inventory.engine.root, diagnosis(host)
    assert now in stores, diagnosis(host)
    found = differences(was.inventory, inventory(host), ignore=MOVED)
    assert found == [], f"{found}\n{diagnosis(host)}"
    assert_nothing_left(host)
    return now


def assert_the_same_command_completes(host: Host, was: Before, target: str) -> None:
    told = settled(host)
    there = roots(host)[1] == target
    assert (told["state"] == "committed") is there, told
    if told["left"] in (STARTED_ON, NOT_RUN):
        host.run(["rm", "-rf", target])
    again = relocator(host, ONLY, target, "--same-disk")
    assert again.returncode == (0 if there else 10), again.stdout + again.stderr + diagnosis(host)
    assert_committed(host, outcome(host), was, was.inventory.engine.root, target)


@pytest.mark.matrix
@pytest.mark.parametrize("point", ["final sync.copied", "switch.ordered", "switch.written", "start.done"])
def test_a_power_cut_leaves_one_complete_root(point: str) -> None:
    """What was not flushed is lost on the disks of both roots, of /etc and of /var."""
    with ExitStack() as stack:
        places = {"/etc": "256M", "/var": "4G", DISK: "4G"}
        disks = {place: stack.enter_context(Disk(size)) for place, size in places.items()}
        host = stack.enter_context(boot("trixie", "cut-alone", disks=disks, containerd_store=True))
        populate(host, roles=FEWER)
        was = before(host)
        host.run(["sync"])
        arm(host, f"{point} pause")
        front = host.popen(["docker", "run", *ATTACHED, IMAGE, ONLY, STORE_TARGET], stdout=PIPE, stderr=STDOUT)
        await_pause(host, point)
        host.cut_power(drop_unflushed=True)
        front.communicate()
        host.boot()
        store = STORE_TARGET if point in ("switch.written", "start.done") else STORE
        assert_up_by_itself(host, moving.Before(was.inventory, was.daemon_json), (SOURCE,))
        assert roots(host) == (SOURCE, store)
        told = settled(host)
        stand_again(host, was.inventory)
        assert roots(host) == (SOURCE, store), told
        assert_the_same_command_completes(host, was, STORE_TARGET)


# --- where its root is set -------------------------------------------------------------------------------------------

VENDORS, OURS = "/usr/lib/systemd/system/containerd.service", "/etc/systemd/system/containerd.service.d/a.conf"
OVERRIDE = "/etc/systemd/system/containerd.service.d/zz-relocator.conf"
FLAG = f"--root={STORE}"
# A file, what it is to hold, and the file that is changed.
FLAGS = {
    "drop-in": (OURS, f"[Service]\nExecStart=\nExecStart=/usr/bin/containerd {FLAG}\n", OURS),
    "variable": (OURS, f"[Service]\nEnvironment='A={FLAG}'\nExecStart=\nExecStart=/usr/bin/containerd $A\n", OURS),
    "package": (VENDORS, f"s|^ExecStart=/usr/bin/containerd$|& {FLAG}|", OVERRIDE),
}


@pytest.fixture
def small() -> Iterator[Host]:
    """A host with little in it."""
    with Disk("4G") as disk, boot("trixie", "small", disks={DISK: disk}, containerd_store=True) as host:
        host.docker("run", "--detach", "--name=web", "--restart=always", "busybox", "sleep", "99999")
        yield host


def restart(host: Host) -> None:
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "restart", "containerd.service", "docker.service"])
    host.wait_docker()


@pytest.mark.matrix
@pytest.mark.parametrize("kind", FLAGS)
def test_a_root_that_a_flag_sets_moves_alone_and_is_set_there_again(small: Host, kind: str) -> None:
    host, (place, text, changed) = small, FLAGS[kind]
    if text.startswith("s|"):
        host.run(["sed", "-i", text, place])
    else:
        host.write(place, text)
    restart(host)
    assert roots(host) == (SOURCE, STORE)
    was, content, config = before(host), read(host, place), read(host, CONFIG)
    refused = relocator(host, TARGET)
    assert (refused.returncode, "[containerd-root-flag]" in refused.stderr) == (3, True), refused.stderr
    arm(host, "switch.written kill")  # systemd has not read the unit anew by then
    assert relocator(host, ONLY, STORE_TARGET).returncode == 10
    assert assert_back(host, was, (STORE_TARGET,)) == STORE_TARGET
    disarm(host, "switch.written")
    assert settled(host)["state"] == "committed"
    assert f"--root={STORE_TARGET}" in read(host, changed)
    assert read(host, CONFIG) == config.replace(f"{STORE}/", f"{STORE_TARGET}/")  # Debian's `opt`
    assert place == changed or read(host, place) == content
    host.reboot()
    host.wait_docker()
    assert roots(host) == (SOURCE, STORE_TARGET)
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    assert outcome(host)["state"] == "committed"
    assert roots(host) == (SOURCE, STORE)
    assert (read(host, place), read(host, OVERRIDE), read(host, CONFIG)) == (content, "", config)
    assert_holds(host, was.inventory)


@pytest.mark.matrix
def test_a_root_that_an_imported_file_sets_moves_along_and_is_set_there_again(small: Host) -> None:
    """The two files are a pair as any: killed between them, the engine is on the old one."""
    host, place = small, "/etc/containerd/conf.d/a.toml"
    host.run(["mkdir", "-p", os.path.dirname(place)])
    host.write(place, f'# ours\nversion = 2\nroot = "{STORE}"\n')
    host.write(CONFIG, 'imports = ["conf.d/*.toml"]\n' + read(host, CONFIG).replace("root", "#root", 1))
    restart(host)
    was, content = before(host), read(host, place)
    arm(host, "switch.paired kill")
    assert relocator(host, TARGET).returncode == 10
    await_engine(host)
    disarm(host, "switch.paired")
    assert roots(host) == (SOURCE, STORE)
    assert settled(host)["state"] == "rolled-back"
    assert read(host, place) == content
    assert relocator(host, TARGET).returncode == 10
    assert outcome(host)["state"] == "committed"
    assert roots(host) == (TARGET, STORE_TARGET)
    followed = was.config_toml.replace(f"{STORE}/", f"{STORE_TARGET}/")
    assert (read(host, place), read(host, CONFIG)) == (content.replace(STORE, STORE_TARGET), followed)
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"
    assert (roots(host), read(host, place), read(host, CONFIG)) == ((SOURCE, STORE), content, was.config_toml)
    assert_holds(host, was.inventory)

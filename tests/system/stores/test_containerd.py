"""An engine that keeps its images in containerd: both roots move as one, and come back as one."""

import os
import time
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
    OUTCOME,
    SOURCE,
    TARGET,
    UNIT,
    arm,
    assert_equal_roots,
    assert_nothing_left,
    assert_untouched_since,
    assert_writes_survived,
    await_pause,
    diagnosis,
    disarm,
    frozen_at,
    move,
    outcome,
    read,
    relocator,
)
from tests.system.support.points import AROUND, CONTAINERD, FRONT, WAYS_BACK, WITHIN, Back, ends_new, failure
from tests.system.support.surviving import NOT_RUN, STARTED_ON, assert_up_by_itself, await_engine, settled, stand_again
from tests.system.support.two_roots import (
    CONFIG,
    STORE,
    STORE_TARGET,
    Before,
    assert_as_it_was,
    assert_committed,
    assert_equal_stores,
    assert_holds,
    assert_rolled_back,
    before,
    roots,
)

pytestmark = pytest.mark.system

# Somebody's own words in the file, which are to stay.
COMMENTED = "# ours: ask before you touch it\ndisabled_plugins = ['io.containerd.grpc.v1.cri']   # as Docker ships it\n"
SUITES = ["trixie", pytest.param("forky", marks=pytest.mark.matrix)]


@dataclass(frozen=True)
class Moved:
    host: Host
    disk: Disk
    content: Content
    was: Before
    told: dict[str, Any]


@pytest.fixture(scope="module", params=SUITES)
def moved(request: pytest.FixtureRequest) -> Iterator[Moved]:
    """A populated host, both of whose roots were moved once."""
    with Disk("6G") as disk, boot(request.param, "moved", disks={DISK: disk}, containerd_store=True) as host:
        text = read(host, CONFIG)
        host.write(CONFIG, text.replace("\n", f"\n\n{COMMENTED}", 1))
        host.run(["systemctl", "restart", "containerd.service"])
        content = populate(host)
        was = before(host)
        yield Moved(host, disk, content, was, move(host))


def test_both_roots_are_new_and_hold_what_the_old_ones_held(moved: Moved) -> None:
    assert_committed(moved.host, moved.told, moved.was)
    assert COMMENTED in read(moved.host, CONFIG)


def test_what_containers_wrote_until_the_freeze_is_there(moved: Moved) -> None:
    assert_writes_survived(moved.host, SOURCE, TARGET, moved.content)


def test_layers_that_containers_changed_are_theirs_still(moved: Moved) -> None:
    found = moved.host.docker(
        "exec", "changed", "sh", "-c", "cat /data/replaced/newer; ls /data; tail -n 1 /data/kept/a"
    )
    assert found.split() == ["newer", "1", "2", "fifo", "kept", "replaced", "more"]
    assert moved.host.docker("run", "--rm", moved.content.image, "ls", "/data/replaced") == "new"


def test_neither_old_root_was_touched_after_the_freeze(moved: Moved) -> None:
    for root in (SOURCE, STORE):
        assert_untouched_since(moved.host, root, frozen_at(moved.host))


def test_running_it_again_changes_nothing(moved: Moved) -> None:
    again = relocator(moved.host, TARGET)
    assert (again.returncode, "already_there" in again.stdout) == (0, True), again.stdout + again.stderr
    assert_committed(moved.host, moved.told, moved.was)


def test_every_file_of_both_roots_is_equal(moved: Moved) -> None:
    assert_equal_roots(moved.host, SOURCE, TARGET)
    assert_equal_stores(moved.host, STORE, STORE_TARGET)


def test_without_the_disk_neither_starts_and_with_it_both_do(moved: Moved) -> None:
    host, frozen = moved.host, frozen_at(moved.host)
    host.power_off()
    host.disks.clear()
    host.boot()
    assert host.run(["timeout", "3", "docker", "info"], check=False).returncode != 0
    states = host.run(["systemctl", "is-active", "containerd.service", "docker.service"], check=False).stdout.split()
    assert not {*states} & {"active", "activating", "reloading"}, states
    assert os.listdir(host.path(DISK)) == []
    for root in (SOURCE, STORE):
        assert_untouched_since(host, root, frozen)
    host.attach(moved.disk, DISK, keep=True)
    await_both(host)
    assert roots(host) == (TARGET, STORE_TARGET)
    host.reboot()
    host.wait_docker()
    assert roots(host) == (TARGET, STORE_TARGET)
    stand(host, moved.was)
    assert_holds(host, moved.was.inventory)


def await_both(host: Host) -> None:
    """Nobody starts them; asking would."""
    deadline = time.monotonic() + OUTCOME
    while host.run(["systemctl", "is-active", "docker.service"], check=False).stdout != "active\n":
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.2)


def stand(host: Host, was: Before) -> None:
    """A boot follows the policies alone."""
    verbs = {"running": "start", "paused": "start", "exited": "stop"}
    for name, one in was.inventory.containers.items():
        host.docker(verbs.get(one.status, "inspect"), name)
    host.docker("pause", "paused")
    deadline = time.monotonic() + OUTCOME
    while host.docker("inspect", "--format", "{{.State.Health.Status}}", "healthy") != "healthy":
        assert time.monotonic() < deadline, diagnosis(host)
        time.sleep(0.1)


def test_both_come_back_as_one(moved: Moved) -> None:
    host = moved.host
    asked = relocator(host, "rollback")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert roots(host) == (TARGET, STORE_TARGET)
    handed_over = relocator(host, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    told = outcome(host)
    assert (told["state"], told["direction"]) == ("committed", "back"), told
    assert_as_it_was(host, moved.was)


def test_cleanup_removes_what_was_left_of_both(moved: Moved) -> None:
    host = moved.host
    if roots(host) != (SOURCE, STORE):
        pytest.skip("it goes on from where the test before has ended")
    told = relocator(host, "cleanup", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "cleanup.behind" not in told.stdout
    assert os.listdir(host.path(DISK)) == ["lost+found"]
    assert_as_it_was(host, moved.was)
    assert_nothing_left(host)


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.fixture
def asked() -> Iterator[Host]:
    """A host with little in it."""
    with Disk("4G") as disk, boot("trixie", "asked", disks={DISK: disk}, containerd_store=True) as host:
        sleeping = ("--detach", "--restart=always", "--stop-signal=KILL", "--volume=kept:/kept", "busybox")
        host.docker("run", "--name=web", *sleeping, "sleep", "99999")
        yield host


@pytest.mark.matrix
def test_others_who_run_containers_in_it_are_named_and_refuse(asked: Host) -> None:
    was = before(asked)
    run_beside(asked)
    for verb in ("check", "run"):
        refused = relocator(asked, verb, TARGET)
        assert refused.returncode == 3, refused.stdout
        assert "[containerd-users]" in refused.stderr
        assert "beside" in refused.stderr
    assert_as_it_was(asked, was)
    assert "job" in asked.run(["ctr", "--namespace=beside", "tasks", "ls"]).stdout
    # What is not running moves along: the image of that namespace, and its stopped container.
    ctr = "ctr --namespace=beside tasks"
    asked.run(f'{ctr} kill --signal=KILL job; while [ -n "$({ctr} ls -q)" ]; do {ctr} rm job || :; done', timeout=30)
    assert_committed(asked, move(asked), was)
    asked.run(["ctr", "--namespace=beside", "tasks", "start", "--detach", "job"])
    assert "RUNNING" in asked.run(["ctr", "--namespace=beside", "tasks", "ls"]).stdout


def run_beside(host: Host) -> None:
    """A container of somebody else's, with the tool of containerd itself; hosts have no controller of the CPU."""
    ctr = "ctr --namespace=beside"
    name = host.run(f"docker save busybox | {ctr} images import - >&2; {ctr} images ls -q").stdout.strip()
    host.run(f"{ctr} run --detach --cpu-shares=0 {name} job sleep 99999")


@pytest.mark.matrix
def test_containerds_root_goes_where_it_is_told_to(asked: Host) -> None:
    was, elsewhere = before(asked), f"{DISK}/deep/images"
    assert_committed(asked, move(asked, TARGET, f"--containerd-root={elsewhere}"), was, TARGET, elsewhere)
    again = relocator(asked, TARGET, f"--containerd-root={elsewhere}")
    assert again.returncode == 0, again.stderr
    assert relocator(asked, "rollback", "--yes").returncode == 10
    assert outcome(asked)["state"] == "committed"
    assert_as_it_was(asked, was)


@pytest.mark.matrix
def test_a_target_of_another_name_has_its_images_beside_it(asked: Host) -> None:
    was, target = before(asked), f"{DISK}/engine"
    assert_committed(asked, move(asked, target, "--same-disk"), was, target, f"{target}-containerd")


@pytest.mark.matrix
def test_a_mount_point_as_target_needs_a_word_on_the_images(asked: Host) -> None:
    refused = relocator(asked, DISK)
    assert refused.returncode == 3, refused.stdout
    assert "[containerd-target-unknown]" in refused.stderr
    assert "--containerd-root" in refused.stderr


@pytest.mark.matrix
def test_the_data_root_alone_leaves_the_images_where_they_are(asked: Host) -> None:
    was = before(asked)
    told = move(asked, TARGET, "--only=data-root")
    assert told["state"] == "committed", f"{told}\n{asked.journal(UNIT)}"
    assert roots(asked) == (TARGET, STORE)
    assert differences(was.inventory, inventory(asked), ignore=MOVED) == []
    assert read(asked, CONFIG) == was.config_toml
    assert relocator(asked, "rollback", "--yes").returncode == 10
    assert outcome(asked)["state"] == "committed"
    assert_as_it_was(asked, was)


@pytest.mark.matrix
def test_a_root_that_containerd_cannot_work_on_is_taken_back_with_the_other(asked: Host) -> None:
    """Lost at the worst moment: after the copy was checked, before containerd looks."""
    was = before(asked)
    on_new = f"grep -q {STORE_TARGET} {CONFIG}"
    lose = f"rm -rf {STORE_TARGET}/io.containerd.snapshotter.v1.overlayfs {STORE_TARGET}/io.containerd.metadata.v1.bolt"
    unit = "/etc/systemd/system/containerd.service.d/90-break.conf"
    asked.write(unit, f"[Service]\nExecStartPre=/bin/sh -c '! {on_new} || {lose}'\n")
    asked.run(["systemctl", "daemon-reload"])
    told = move(asked)
    asked.run(f"rm {unit}; systemctl daemon-reload")
    assert_rolled_back(asked, told, was, "")
    asked.run(["rm", "-rf", TARGET, STORE_TARGET])
    assert_committed(asked, move(asked), was)


@pytest.mark.matrix
def test_a_move_on_one_file_system(asked: Host) -> None:
    """There to the disk, then beside it."""
    was = before(asked)
    assert_committed(asked, move(asked), was)
    taken = used(asked)
    beside = f"{DISK}/beside/docker", f"{DISK}/beside/containerd"
    assert_committed(asked, move(asked, beside[0], "--same-disk"), before(asked), *beside)
    print(f"\nmore space taken: {used(asked) - taken >> 20} MiB")
    assert_equal_stores(asked, STORE_TARGET, beside[1])


def used(host: Host) -> int:
    host.run(["sync", "-f", DISK])
    there = os.statvfs(host.path(DISK))
    return (there.f_blocks - there.f_bfree) * there.f_frsize


# --- deaths ----------------------------------------------------------------------------------------------------------


@dataclass
class Victim:
    """A host whose roots move on with every case."""

    host: Host
    moves: int = 0

    def next_targets(self) -> tuple[str, str]:
        self.moves += 1
        place = f"{DISK}/{self.moves}"
        return f"{place}/docker", f"{place}/containerd"


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Disk("48G") as disk, boot("trixie", "victim", disks={DISK: disk}, containerd_store=True) as host:
        populate(host, roles=FEWER)
        yield Victim(host)


SAMPLE = ["switch.paired"]


def points() -> list[object]:
    return [
        pytest.param(point, marks=() if point in SAMPLE else pytest.mark.matrix)
        for point in (*FRONT, *AROUND, *WITHIN, *CONTAINERD)
    ]


@pytest.mark.parametrize("point", points())
def test_a_killed_process_leaves_one_complete_pair(victim: Victim, point: str) -> None:
    host, targets, was, at = victim.host, victim.next_targets(), before(victim.host), roots(victim.host)
    arm(host, f"{point} kill")
    ran = relocator(host, targets[0], "--same-disk")
    assert ran.returncode == (137 if point in FRONT else 10), ran.stdout + ran.stderr
    now = assert_back(host, was, (at, targets))
    disarm(host, point)
    print(f"\n| {point:44} | {'SIGKILL':28} | {'new' if now == targets else 'old'} roots |")
    assert_the_same_command_completes(host, was, targets)
    remove_old(host, at)


@pytest.mark.matrix
@pytest.mark.parametrize("back", WAYS_BACK, ids=str)
def test_a_worker_killed_on_the_way_back_leaves_the_old_pair(victim: Victim, back: Back) -> None:
    host, targets, was, at = victim.host, victim.next_targets(), before(victim.host), roots(victim.host)
    arm(host, failure(back.failing, back.point), f"{back.point} kill")
    ran = relocator(host, targets[0], "--same-disk")
    assert ran.returncode == 10, ran.stdout + ran.stderr
    assert_back(host, was, (targets if ends_new(back) else at,))
    disarm(host, back.failing, back.point)
    assert_the_same_command_completes(host, was, targets)
    remove_old(host, at)


def assert_back(host: Host, was: Before, pairs: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """On one of the pairs and never on half of each, with everything they held and all that ran; returns which."""
    await_engine(host)
    now = roots(host)
    assert now in pairs, diagnosis(host)
    found = differences(was.inventory, inventory(host), ignore=MOVED)
    assert found == [], f"{found}\n{diagnosis(host)}"
    assert_nothing_left(host)
    return now


def assert_the_same_command_completes(host: Host, was: Before, targets: tuple[str, str]) -> None:
    told = settled(host)
    there = roots(host) == targets
    assert (told["state"] == "committed") is there, told
    if told["left"] in (STARTED_ON, NOT_RUN):
        host.run(["rm", "-rf", *targets])
    again = relocator(host, targets[0], "--same-disk")
    assert again.returncode == (0 if there else 10), again.stdout + again.stderr + diagnosis(host)
    assert_committed(host, outcome(host), was, *targets)


def remove_old(host: Host, at: tuple[str, str]) -> None:
    """What no test looks at again would fill the disk."""
    host.run(["rm", "-rf", *at])


POWER = [
    *FRONT,
    "freeze.stopped",
    "final sync.copied",
    "switch.guarded",
    "switch.paired",
    "switch.written",
    "start.done",
]


@pytest.mark.matrix
@pytest.mark.parametrize("point", POWER)
def test_a_power_cut_leaves_one_complete_pair(point: str) -> None:
    """What was not flushed is lost on the disks of both pairs, of /etc and of /var."""
    with ExitStack() as stack:
        places = {"/etc": "256M", "/var": "4G", DISK: "4G"}
        disks = {place: stack.enter_context(Disk(size)) for place, size in places.items()}
        host = stack.enter_context(boot("trixie", "cut", disks=disks, containerd_store=True))
        populate(host, roles=FEWER)
        was = before(host)
        host.run(["sync"])
        arm(host, f"{point} pause")
        front = host.popen(["docker", "run", *ATTACHED, IMAGE, TARGET], stdout=PIPE, stderr=STDOUT)
        await_pause(host, point)
        host.cut_power(drop_unflushed=True)
        front.communicate()
        host.boot()
        is_new = point in ("switch.written", "start.done")
        pair = (TARGET, STORE_TARGET) if is_new else (SOURCE, STORE)
        assert_up_by_itself(host, moving.Before(was.inventory, was.daemon_json), (pair[0],))
        assert roots(host) == pair
        print(f"\n| {point:44} | {'power cut, unflushed lost':28} | {'new' if is_new else 'old'} roots |")
        told = settled(host)
        stand_again(host, was.inventory)
        assert roots(host) == pair, told
        assert_the_same_command_completes(host, was, (TARGET, STORE_TARGET))

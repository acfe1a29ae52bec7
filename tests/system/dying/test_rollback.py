"""Broken on purpose in each step from freeze to verify: the engine is back on the old root, and nothing has changed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from entrypoint.journal.unfinished import KEPT, LOST
from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, differences, inventory, populate
from tests.hosts.inside import end
from tests.system.support.moving import (
    DISK,
    MOVED,
    TARGET,
    UNIT,
    Before,
    arm,
    assert_committed,
    assert_rolled_back,
    await_pause,
    await_worker,
    before,
    disarm,
    move,
    outcome,
    read,
    relocator,
    resume,
)
from tests.system.support.surviving import NOT_RUN, STARTED_ON

pytestmark = pytest.mark.system

BREAK = "/etc/systemd/system/docker.service.d/90-break.conf"
DAEMON_JSON = "/etc/docker/daemon.json"
ON_NEW_ROOT = f"grep -q {TARGET} {DAEMON_JSON}"


@pytest.fixture(scope="module")
def firm() -> Iterator[Host]:
    """A host that every failed move must leave as it was, so that one serves them all."""
    with Disk("4G", "ext4") as disk, boot(name="firm", disks={DISK: disk}) as host:
        populate(host, roles=FEWER)
        yield host


@contextmanager
def broken_unit(host: Host, text: str) -> Iterator[None]:
    """A drop-in that is in force during the block."""
    host.write(BREAK, text)
    host.run(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        host.path(BREAK).unlink()
        host.run(["systemctl", "daemon-reload"])


@dataclass(frozen=True)
class Breakage:
    """What a drop-in does, the phase that fails by it, and a word of the reason that must be told."""

    unit: str
    phase: str
    reason: str
    has_served: bool = False  # a container has run on the new root: it is named there, and nothing goes back
    has_run: bool = True  # the engine's program, on the new root


IMAGES = f"{TARGET}/image/overlay2/imagedb/content/sha256"
BREAKAGES = {
    "systemd refuses to stop the engine": Breakage("[Unit]\nRefuseManualStop=yes\n", "freeze", "docker.service"),
    "the engine refuses the new root": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT}'\n",
        "start",
        'StartUnit of docker.service ended with "failed"',
        has_run=False,
    ),
    "the engine dies on the new root, again and again": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || echo garbage >{TARGET}/volumes/metadata.db'\n",
        "start",
        "docker.service",
    ),
    "a container is lost": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || rm -r $$(ls -d {TARGET}/containers/* | head -n 1)'\n",
        "verify",
        "is missing",
        has_served=True,
    ),
    "an image is lost": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || rm $$(grep -l com.example.name {IMAGES}/*)'\n",
        "verify",
        "image sha256:",
        has_served=True,
    ),
    "a layer's directory is lost": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || rm -r {TARGET}/overlay2/l'\n", "verify", ""
    ),
    "the engine comes up on an empty root": Breakage(
        f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || rm -r {TARGET}/*'\n", "verify", "the engine's id was"
    ),
}


# What fails otherwise than another does; `make crash-matrix` takes all.
SAMPLE = (
    "systemd refuses to stop the engine",
    "the engine refuses the new root",
    "an image is lost",
    "the engine comes up on an empty root",
)


@pytest.mark.parametrize(
    "breakage",
    [pytest.param(one, id=name, marks=() if name in SAMPLE else pytest.mark.matrix) for name, one in BREAKAGES.items()],
)
def test_a_failed_step_is_rolled_back(firm: Host, breakage: Breakage) -> None:
    was = before(firm)
    with broken_unit(firm, breakage.unit):
        told = move(firm)
    assert told["phase"] == breakage.phase, f"{told}\n{firm.journal(UNIT)}"
    if breakage.has_served:
        assert_named_and_taken_back_by_hand(firm, told, was, breakage.reason)
        return
    assert_rolled_back(firm, told, was, breakage.reason)
    # What an engine may have written to is never gone on with: its containers may have promised it to somebody.
    begun_on = STARTED_ON if breakage.has_run else NOT_RUN
    assert told["left"] == (begun_on if breakage.phase in ("start", "verify") else KEPT)
    assert firm.path(TARGET).exists()
    firm.run(["rm", "-rf", TARGET])


def assert_named_and_taken_back_by_hand(host: Host, told: dict[str, Any], was: Before, reason: str) -> None:
    assert (told["state"], told["exit_code"]) == ("moved", 6), f"{told}\n{host.journal(UNIT)}"
    assert reason in "\n".join(told["amiss"])
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == TARGET
    refused = relocator(host, "cleanup", "--yes")
    assert (refused.returncode, "[only-in-old-root]" in refused.stderr) == (3, True), refused.stderr
    assert relocator(host, "rollback", "--yes").returncode == 10
    back = outcome(host)
    assert (back["state"], back["direction"]) == ("committed", "back"), f"{back}\n{host.journal(UNIT)}"
    assert differences(was.inventory, inventory(host), ignore=MOVED[2:]) == []
    assert read(host, DAEMON_JSON) == was.daemon_json
    host.run(["rm", "-rf", TARGET])


@contextmanager
def paused_at(host: Host, point: str) -> Iterator[None]:
    """A move whose worker waits at a trace point while the block runs."""
    arm(host, f"{point} pause")
    handed_over = relocator(host, TARGET)
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    await_pause(host, point)
    try:
        yield
    finally:
        resume(host, point)
        await_worker(host)
        disarm(host, point)


def test_a_target_that_turns_read_only_is_rolled_back_and_told(firm: Host) -> None:
    was = before(firm)
    with broken_unit(firm, f"[Service]\nExecStopPost=/bin/mount -o remount,ro {DISK}\n"):
        told = move(firm)
    assert told["phase"] == "final sync", f"{told}\n{firm.journal(UNIT)}"
    assert told["left"] == KEPT
    firm.run(["mount", "-o", "remount,rw", DISK])
    assert_rolled_back(firm, told, was, "Read-only file system")
    firm.run(["rm", "-rf", TARGET])


def test_a_full_target_is_rolled_back(firm: Host) -> None:
    """Somebody else fills the disk between the pre-copy and the final sync."""
    was = before(firm)
    fill = f"fallocate -l $$(df --output=avail -B1 {DISK} | tail -n 1) {DISK}/filler; cat /dev/zero >>{DISK}/filler"
    grow = "dd if=/dev/urandom of=/var/lib/docker/volumes/unused/_data/grown bs=1M count=8"
    with broken_unit(firm, f"[Service]\nExecStopPost=-/bin/sh -c '{fill}; {grow}'\n"):
        told = move(firm)
    firm.run(f"rm {DISK}/filler /var/lib/docker/volumes/unused/_data/grown")
    assert told["phase"] == "final sync", f"{told}\n{firm.journal(UNIT)}"
    assert_rolled_back(firm, told, was, "full")
    assert (told["left"], firm.path(TARGET).exists()) == ("", False)


@pytest.mark.parametrize("point", ["final sync.copied", pytest.param("switch.written", marks=pytest.mark.matrix)])
def test_the_same_command_goes_on_with_what_a_failed_step_has_left(firm: Host, point: str) -> None:
    """No layer is copied again, and of the rest only what is cut otherwise now, as other containers are there; what was
    written meanwhile is there."""
    was = before(firm)
    arm(firm, f"{point} fail")
    told = move(firm)
    disarm(firm, point)
    assert_rolled_back(firm, told, was, point)
    assert told["left"] == KEPT
    firm.path("/var/lib/docker/volumes/unused/_data/since").write_text("since")
    again = relocator(firm, TARGET)
    assert again.returncode == 10, again.stdout + again.stderr
    assert_committed(firm, outcome(firm), was)
    events = [json.loads(line) for line in (again.stdout + again.stderr).splitlines() if line.startswith("{")]
    copied = {one["event"]: one for one in events if one["event"] in ("layers.copied", "shards.copied")}
    assert (copied["layers.copied"]["layers"], copied["layers.copied"]["there"] > 0) == (0, True), copied
    assert copied["shards.copied"]["shards"] <= 1, copied
    assert firm.path(f"{TARGET}/volumes/unused/_data/since").read_text() == "since"
    assert relocator(firm, "rollback", "--yes").returncode == 10
    assert outcome(firm)["state"] == "committed"
    firm.run(["rm", "-rf", TARGET, "/var/lib/docker/volumes/unused/_data/since"])


def test_somebody_who_writes_to_a_volume_behind_the_engine_is_noticed(firm: Host) -> None:
    """The copy is checked against the source before anything points at it."""
    was = before(firm)
    write = "i=0; while :; do i=$((i + 1)); echo $i >/var/lib/docker/volumes/unused/_data/number; done"
    writer = firm.popen(write)
    try:
        told = move(firm)
    finally:
        end(writer)
        writer.wait()
        firm.run("rm /var/lib/docker/volumes/unused/_data/number")
    assert told["phase"] in ("check the copy", "final sync"), f"{told}\n{firm.journal(UNIT)}"
    assert_rolled_back(firm, told, was, "number")


def test_an_edit_of_the_configuration_before_the_switch_is_not_lost(firm: Host) -> None:
    was = before(firm)
    with broken_unit(firm, f"[Service]\nExecStopPost=/bin/sed -i s/info/warn/ {DAEMON_JSON}\n"):
        told = move(firm)
    assert told["phase"] == "switch", f"{told}\n{firm.journal(UNIT)}"
    assert_rolled_back(firm, told, edited(was), "somebody else")
    restore_configuration(firm, was)


def test_an_edit_of_the_configuration_after_the_switch_is_not_lost(firm: Host) -> None:
    """Only the data root goes back; the engine refuses the new one, so that there is a rollback at all."""
    was = before(firm)
    both = f"sed -i s/info/warn/ {DAEMON_JSON}; false"
    with broken_unit(firm, f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT} || ({both})'\n"):
        told = move(firm)
    assert told["phase"] == "start", f"{told}\n{firm.journal(UNIT)}"
    assert_rolled_back(firm, told, edited(was), "docker.service")
    restore_configuration(firm, was)
    firm.run(["rm", "-rf", TARGET])


def edited(was: Before) -> Before:
    text = was.daemon_json.replace("info", "warn")
    assert text != was.daemon_json
    return Before(was.inventory, text)


def restore_configuration(host: Host, was: Before) -> None:
    host.path(DAEMON_JSON).write_text(was.daemon_json)


def test_a_disk_that_is_unmounted_during_the_freeze_is_noticed(firm: Host) -> None:
    """The copy is not where it was made; what would be written now would fill the bare mount point."""
    was = before(firm)
    attachment = firm.disks[DISK]
    with broken_unit(firm, f"[Service]\nExecStopPost=-/bin/umount {DISK}\n"):
        told = move(firm)
    assert told["phase"] == "final sync", f"{told}\n{firm.journal(UNIT)}"
    assert_rolled_back(firm, told, was, "The target is not the directory that was copied to")
    assert told["left"] == LOST
    assert list(firm.path(DISK).iterdir()) == []
    firm.attach(attachment.disk, DISK)
    firm.run(["rm", "-rf", TARGET])


def test_a_leftover_drop_in_does_not_survive_a_rollback(firm: Host) -> None:
    """Its assertion would keep the engine from starting once that other target is gone."""
    was = before(firm)
    leftover = "/etc/systemd/system/docker.service.d/50-relocator.conf"
    firm.run(["mkdir", "-p", f"{DISK}/gone/x"])
    firm.write(leftover, f"[Unit]\nAssertDirectoryNotEmpty={DISK}/gone\n")
    firm.run(["systemctl", "daemon-reload"])
    with broken_unit(firm, BREAKAGES["the engine refuses the new root"].unit):
        told = move(firm)
    assert_rolled_back(firm, told, was, "docker.service")
    firm.run(["rm", "-rf", TARGET, f"{DISK}/gone"])


def test_units_that_stop_along_with_the_engine_run_again(firm: Host) -> None:
    firm.write(
        "/etc/systemd/system/app.service",
        "[Unit]\nRequires=docker.service\nAfter=docker.service\n[Service]\nExecStart=/bin/sleep infinity\n",
    )
    firm.run("systemctl daemon-reload; systemctl start app.service")
    was = before(firm)
    with broken_unit(firm, BREAKAGES["the engine refuses the new root"].unit):
        told = move(firm)
    assert_rolled_back(firm, told, was, "docker.service")
    state = firm.run(["systemctl", "is-active", "app.service"], check=False).stdout
    firm.run(f"systemctl stop app.service; rm -rf /etc/systemd/system/app.service {TARGET}; systemctl daemon-reload")
    assert state == "active\n"


def test_a_busy_host_that_makes_and_removes_containers_is_moved(firm: Host) -> None:
    """What comes in addition is no loss; here it is all that changes."""
    was = before(firm)
    making = "while :; do docker volume create >/dev/null 2>&1 || sleep 0.05; done"
    maker = firm.popen(making)
    try:
        with broken_unit(firm, f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT}'\n"):
            told = move(firm)
    finally:
        end(maker)
        maker.wait()
    firm.run("docker volume prune --force >/dev/null")
    assert_rolled_back(firm, told, was, "docker.service")
    firm.run(["rm", "-rf", TARGET])


def test_a_stopped_worker_rolls_back(firm: Host) -> None:
    was = before(firm)
    with paused_at(firm, "freeze.intended"):
        firm.run(["systemctl", "stop", "--no-block", UNIT])
    assert_rolled_back(firm, outcome(firm), was, "")


def test_a_killed_worker_leaves_a_running_engine(firm: Host) -> None:
    """The safety net starts the engine with the host's own programs; then systemd starts a worker that goes back."""
    was = before(firm)
    with paused_at(firm, "freeze.stopped"):
        firm.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT])
    firm.wait_docker()
    assert_rolled_back(firm, outcome(firm), was, "cut off")


def test_a_killed_worker_and_keeper_leave_a_running_engine(firm: Host) -> None:
    """With the image gone too, there is the safety net alone; the next command puts the rest right."""
    was = before(firm)
    with paused_at(firm, "freeze.stopped"):
        firm.run("systemctl kill --signal=KILL relocator-keeper.service")
        firm.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT])
    firm.wait_docker()
    assert firm.docker("info", "--format", "{{.DockerRootDir}}") == "/var/lib/docker"
    assert not firm.path("/run/relocator/hold").exists()
    assert_rolled_back(firm, outcome(firm), was, "cut off")


def test_after_all_these_failures_the_move_succeeds(firm: Host) -> None:
    was = before(firm)
    assert_committed(firm, move(firm), was)

"""What lies in the way of a move on a host that looks well: told before the stop, with the way that works."""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import ATTACHED, DISK, IMAGE, SOURCE, TARGET, move, outcome, relocator

pytestmark = pytest.mark.system

# In a network of its own: it would take the first one's bridge away.
SECOND = r"""
systemd-run --quiet --unit=second unshare --net dockerd --data-root=/srv/second --exec-root=/run/second \
    --pidfile=/run/second.pid --host=unix:///run/second.sock --bridge=none --iptables=false --ip6tables=false \
    --containerd=/run/containerd/containerd.sock
"""
SHARE = f"{DISK}/share"
BESIDE = "/var/elsewhere/docker"  # on the file system of the root


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Disk("4G") as disk, boot(name="in-the-way", disks={DISK: disk}) as made:
        made.docker(
            "run", "--detach", "--name=app", "--restart=always", "--volume=data:/data", "busybox", "sleep", "9999"
        )
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def await_file(host: Host, path: str) -> None:
    until(lambda: host.path(path).exists())


def assert_refused(host: Host, finding: str, *said: str, target: str = TARGET) -> None:
    """By `check` and by the move itself, with all that somebody needs to go on."""
    for words in (("check", target), (target,)):
        told = relocator(host, *words)
        assert told.returncode == 3, told.stdout + told.stderr
        assert f"[{finding}]" in told.stderr
        assert all(word in told.stderr for word in said), told.stderr
    assert host.run(["systemctl", "is-active", "docker.service"]).stdout == "active\n"


def test_another_engine_than_the_one_that_was_asked_is_not_moved(host: Host) -> None:
    host.run(SECOND)
    second = ["docker", "--host=unix:///run/second.sock"]
    try:
        until(lambda: host.run([*second, "info"], check=False).returncode == 0)
        host.run(f"docker save {IMAGE} | {' '.join(second)} load")
        command = [*second, "run", "--rm", "--network=none", *ATTACHED[1:], IMAGE, "check", TARGET]
        told = host.run(command, check=False)
        assert told.returncode == 3, told.stdout + told.stderr
        assert "[other-engine]" in told.stderr
        assert SOURCE in told.stderr
    finally:
        host.run("systemctl stop second.service; rm -rf /srv/second")


@pytest.mark.parametrize("path", [DISK, f"{TARGET}/volumes"])
def test_who_may_write_around_the_new_root_or_into_it_is_named(host: Host, path: str) -> None:
    host.docker("run", "--detach", "--name=files", f"--volume={path}:/files", "busybox", "sleep", "9999")
    try:
        if path == DISK:
            assert_refused(host, "target-in-bind", "files may write", DISK)
        else:
            told = relocator(host, "check", TARGET)
            assert "[target-in-bind]" in told.stderr, told.stdout + told.stderr
    finally:
        host.docker("rm", "--force", "files")
        host.run(f"rm -rf {TARGET}")


def test_a_disk_on_a_volume_is_told_with_the_place_where_it_will_be(host: Host) -> None:
    inner = "volumes/data/_data"
    host.run(f"mkdir -p /srv/disk; mount --bind /srv/disk {SOURCE}/{inner}")
    try:
        assert_refused(host, "sub-mount", f"umount {SOURCE}/{inner}", f"{TARGET}/{inner}")
    finally:
        host.run(f"umount {SOURCE}/{inner}")


def test_parts_that_are_elsewhere_are_told_and_lost_by_no_link(host: Host) -> None:
    """A relative one had led nowhere from the new root, which was seen when the engine was down."""
    host.docker("volume", "create", "away")
    place = f"{SOURCE}/volumes/away/_data"
    whole = f"{SOURCE}/volumes/away"
    link = "../../../../srv/away/volume"
    host.run(f"echo kept >{place}/file; mkdir -p /srv/away; mv {whole} /srv/away/volume; ln -s {link} {whole}")
    try:
        assert_refused(host, "part-linked", f"volumes/away -> {link}", "ln -sfn")
        host.run(f"ln -sfn /srv/away/volume {whole}")
        told = relocator(host, "check", TARGET)
        assert told.returncode == 0, told.stdout + told.stderr
        assert "volumes/away -> /srv/away/volume" in told.stdout + told.stderr
        assert host.docker("run", "--rm", "--network=none", "-v", "away:/v", "busybox", "cat", "/v/file") == "kept"
    finally:
        host.run(f"rm {whole}; mv /srv/away/volume {whole}")


def test_a_configuration_that_nobody_may_change_is_seen_before_the_stop(host: Host) -> None:
    place = str(host.path("/etc/docker/daemon.json"))
    if not host.path("/etc/docker/daemon.json").exists():
        place = str(host.path("/etc/docker"))
    subprocess.run(["chattr", "+i", place], check=True)
    try:
        assert_refused(host, "config-read-only", "chattr -i")
    finally:
        subprocess.run(["chattr", "-i", place], check=True)


def test_a_program_of_the_host_that_writes_into_the_root_is_named(host: Host) -> None:
    """It would go on with the file that it has open, and every later line of it were lost."""
    log = f"{SOURCE}/volumes/data/_data/log"
    host.run(f"systemd-run --quiet --unit=logger sh -c 'exec 3>>{log}; while :; do date >&3; sleep 0.1; done'")
    host.write("/etc/logrotate.d/app", f"{log} {{}}\n")
    try:
        await_file(host, log)
        assert_refused(host, "source-written", "logger.service", log, "systemctl stop logger.service")
    finally:
        host.run("systemctl stop logger.service")
    told = relocator(host, "check", TARGET)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "/etc/logrotate.d/app" in told.stdout + told.stderr


def test_the_root_is_known_by_its_other_names(host: Host) -> None:
    """A bind mount of it, and that of a unit: what is written there would be lost in the same way."""
    other = "/srv/other-name"
    host.run(f"mkdir -p {other}; mount --bind {SOURCE} {other}")
    host.write("/etc/cron.d/other-name", f"0 3 * * * root tar c {other}/volumes >/dev/null\n")
    log, write = "volumes/data/_data/other", "while :; do date >&3; sleep 0.1; done"
    named = {"by-mount": ("", other), "by-unit": (f"--property=BindPaths={SOURCE}:/mnt/unit", "/mnt/unit")}
    host.docker("create", "--name=viewer", "--volume", f"{other}/volumes:/volumes", "busybox")
    try:
        for unit, (options, place) in named.items():
            host.run(
                f"systemd-run --quiet --unit={unit} {options} sh -c 'exec 3>>{place}/{log}; touch /run/{unit}; {write}'"
            )
            await_file(host, f"/run/{unit}")
            assert_refused(host, "source-written", f"{unit}.service: {SOURCE}/{log}", f"systemctl stop {unit}.service")
            host.run(f"systemctl stop {unit}.service")
        told = relocator(host, "check", TARGET)
        assert told.returncode == 0, told.stdout + told.stderr
        assert f"/etc/cron.d/other-name (as {other})" in told.stdout
        assert f"viewer: {SOURCE}/volumes" in told.stdout
        assert f"the mount {other}: {SOURCE}" in told.stdout
    finally:
        host.run(
            f"docker rm viewer; umount {other}; rm /etc/cron.d/other-name; systemctl stop {' '.join(named)}",
            check=False,
        )


def test_who_still_has_the_old_root_open_keeps_it(host: Host) -> None:
    log = f"{SOURCE}/volumes/data/_data/log"
    host.run(["touch", log])
    assert move(host, TARGET)["state"] == "committed"
    host.run(f"systemd-run --quiet --unit=reader sh -c 'exec 3<{log}; touch /run/reading; exec sleep 9999'")
    try:
        await_file(host, "/run/reading")
        told = relocator(host, "cleanup", "--yes")
        assert told.returncode == 3, told.stdout + told.stderr
        assert "[old-root-open]" in told.stderr
        assert host.path(log).exists()
    finally:
        host.run("systemctl stop reader.service")
    told = relocator(host, "rollback", "--yes")
    assert told.returncode == 10, told.stdout + told.stderr
    assert outcome(host)["state"] == "committed"


def test_a_target_that_gains_no_room_is_refused_until_it_is_meant(host: Host) -> None:
    """A new disk that nobody has mounted: the engine had been stopped, and its disk was as full as before."""
    assert_refused(host, "same-file-system", "findmnt", "--same-disk", target=BESIDE)
    assert not host.path(BESIDE).exists()
    planned = relocator(host, "plan", BESIDE, "--same-disk")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "same-file-system" in planned.stdout
    told = move(host, BESIDE, "--same-disk")
    assert (told["state"], told["exit_code"]) == ("committed", 0), told
    assert relocator(host, "rollback", "--yes").returncode == 10
    assert outcome(host)["state"] == "committed"


def test_a_share_that_gives_rights_to_all_that_is_made_in_it_gives_none_to_the_root(host: Host) -> None:
    """Every copy to such a place had been found unequal, when all was copied."""
    share = host.path(SHARE)
    share.mkdir()
    subprocess.run(["setfacl", "-m", "u:1234:rwx,d:u:1234:rwx,d:g:users:rwx", share], check=True)
    told = move(host, f"{SHARE}/docker")
    assert (told["state"], told["exit_code"]) == ("committed", 0), told
    given = subprocess.run(["getfacl", "-p", f"{share}/docker"], capture_output=True, text=True, check=True).stdout
    assert "1234" not in given
    assert "default" not in given

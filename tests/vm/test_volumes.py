"""What this kernel has and many a test machine's has not: a volume on NFS, and limits of size on xfs."""

from collections.abc import Iterator

import pytest

from tests.hosts.content import differences, inventory
from tests.system.support.moving import DISK, MOVED, SOURCE, TARGET, assert_nothing_left, move, outcome, relocator
from tests.vm.guest import Guest, guest

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(2400)]

SHARED = "/srv/shared"
WAITS = "trap 'exit 0' TERM; while :; do date >>/far/log; sleep 1; done"
# No names are looked up and no older protocol is spoken, so that nothing else has to run.
SERVE = f"""
mkdir -p {SHARED}
mount -t nfsd nfsd /proc/fs/nfsd || :
exportfs -o rw,fsid=0,no_root_squash,insecure 127.0.0.1:{SHARED}
rpc.mountd --no-nfs-version 3
rpc.nfsd --no-nfs-version 3 --no-udp 2
"""
# The root that the image has is on ext4, where an engine can limit volumes only; so the engine begins anew on xfs.
BEGIN_ANEW = f"""
systemctl stop docker.socket docker.service
mv {SOURCE} {SOURCE}.ext4
truncate -s 2G /root/xfs
mkfs.xfs -q /root/xfs
mkdir {SOURCE}
mount -o loop,pquota /root/xfs {SOURCE}
cp -a {SOURCE}.ext4/. {SOURCE}
systemctl start docker.socket docker.service
mkfs.xfs -q -f /dev/vdb
mkdir -p {DISK}
mount -o pquota /dev/vdb {DISK}
"""
FILL = "dd if=/dev/zero of={} bs=1M count={}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest("vo") as booted:
        booted.wait_docker()
        booted.run(SERVE)
        booted.run(BEGIN_ANEW, timeout=300)
        booted.wait_docker()
        far = ("type=nfs", "device=:/", "o=addr=127.0.0.1,nfsvers=4.2,rw")
        booted.docker("volume", "create", *(f"--opt={one}" for one in far), "far")
        booted.docker("volume", "create", "--opt=size=20M", "sized")
        booted.docker("run", "-d", "--name=web", "--restart=always", "-v=far:/far", "busybox", "sh", "-c", WAITS)
        limited = ("--storage-opt=size=20M", "busybox", "sh", "-c")
        booted.docker("create", "--name=full", *limited, FILL.format("/big", 40))
        booted.docker("run", "-d", "--name=limited", *limited, "trap 'exit 0' TERM; while :; do sleep 1; done")
        yield booted


def fits(machine: Guest, *argv: str) -> bool:
    """Whether there is room for what a container writes."""
    done = machine.run(["docker", *argv], check=False)
    told = done.stdout + done.stderr
    assert not done.returncode or "No space left" in told, told
    return done.returncode == 0


# Where each writes a file of a name and so many MB: into the volume, and into its own layer.
VOLUME = ("run", "--rm", "--volume=sized:/place", "busybox")
LAYER = ("exec", "limited")


def writes(machine: Guest, where: tuple[str, ...], name: str, size: int) -> bool:
    return fits(machine, *where, "sh", "-c", FILL.format(f"/place/{name}", size))


def fill(machine: Guest) -> None:
    machine.docker("exec", "limited", "mkdir", "-p", "/place")
    for where in (VOLUME, LAYER):
        assert not writes(machine, where, "big", 40)
        refused = relocator(machine, "check", TARGET)
        assert refused.returncode == (3 if where == LAYER else 0), refused.stdout + refused.stderr
        assert ("quota-full" in refused.stderr) is (where == LAYER)
        machine.docker(*where, "rm", "-f", "/place/big")
        assert writes(machine, where, "half", 12)


def require_limits(machine: Guest) -> None:
    """They hold for what has been there, and for what comes."""
    for where in (VOLUME, LAYER):
        assert not writes(machine, where, "other", 12)
        machine.docker(*where, "rm", "-f", "/place/other", "/place/half")
        assert writes(machine, where, "half", 12)


def told_of_full(machine: Guest, root: str) -> str:
    """An engine makes a directory for a container that it starts, and has no room for it in one that is full."""
    done = machine.run(["docker", "start", "--attach", "full"], check=False)
    assert done.returncode
    return (done.stdout + done.stderr).replace(f"{root}/", "/")


def test_limits_are_kept_and_a_volume_on_nfs_stays_where_it_is(machine: Guest) -> None:
    fill(machine)
    assert not fits(machine, "start", "--attach", "full")
    said = told_of_full(machine, SOURCE)
    told = relocator(machine, "plan", TARGET)
    assert (told.returncode, "quota-" in told.stdout + told.stderr) == (0, False), told.stdout + told.stderr
    was = inventory(machine)
    found = move(machine)
    assert (found["state"], found["exit_code"]) == ("committed", 0), f"{found}\n{machine.journal()}"
    assert differences(was, inventory(machine), ignore=MOVED) == []
    require_limits(machine)
    assert told_of_full(machine, TARGET) == said
    for root in (SOURCE, TARGET):
        assert machine.run(["ls", "-A", f"{root}/volumes/far/_data"]).stdout == ("log\n" if root == TARGET else "")
    written = machine.run(["stat", "--format=%s", f"{SHARED}/log"]).stdout.strip()
    machine.run(f'until [ "$(stat --format=%s {SHARED}/log)" -gt {written} ]; do sleep 0.2; done', timeout=10)
    assert_nothing_left(machine)


def test_limits_are_kept_on_the_way_back(machine: Guest) -> None:
    """Nothing is copied: the old root has what it had."""
    assert relocator(machine, "rollback", "--yes").returncode == 10
    found = outcome(machine)
    assert (found["state"], found["exit_code"]) == ("committed", 0), f"{found}\n{machine.journal()}"
    require_limits(machine)


def test_a_disk_without_quotas_is_refused(machine: Guest) -> None:
    machine.run("mkdir /mnt/plain; truncate -s 4G /root/plain; mkfs.xfs -q /root/plain; mount /root/plain /mnt/plain")
    told = relocator(machine, "/mnt/plain/docker")
    assert told.returncode == 3, told.stdout + told.stderr
    assert "quota-unsupported" in told.stderr
    assert "quota-lost" in told.stdout + told.stderr

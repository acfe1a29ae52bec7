"""The disk that a machine boots from, with the kernel that boots it: Debian 13 with an engine that has its images.

Everything is done on the outer machine, where it takes seconds: packages by mmdebstrap, the images by an engine in
systemd-nspawn (`prepared`), the labels by setfiles, and the file system with its content by mkfs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hosts import cache
from tests.hosts.base import CLIENT, Suite, base
from tests.hosts.command import copy_content, remove_tree, run
from tests.hosts.prepared import images, prepared

SUITE = Suite(
    "vm",
    (
        *CLIENT,
        *("linux-image-cloud-amd64", "initramfs-tools", "zstd", "kmod", "udev", "e2fsprogs"),
        *("xfsprogs", "nfs-kernel-server"),
        *("selinux-policy-default", "policycoreutils", "policycoreutils-python-utils", "selinux-utils"),
    ),
    release="trixie",
)
SIZE = "6G"
CONTEXTS = "/etc/selinux/default/contexts/files/file_contexts"
# Where systemd's unit runs it, it has the domain of an administrator's shell; without SELinux that says nothing.
AGENT_UNIT = """[Unit]
Description=Runs what a test says
[Service]
ExecStart=/usr/local/sbin/agent
SELinuxContext=-unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023
Environment=HOME=/root LANG=C.UTF-8
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
"""
# A port can be opened once.
AGENT = """#!/bin/sh
# A line is a command: NUMBER SECONDS BASE64. So is its answer: NUMBER CODE OUTPUT ERRORS, each with a full stop.
exec 0<>/dev/virtio-ports/agent 1>&0
printf 'ready %s\\n' "$(cat /proc/sys/kernel/random/boot_id)"
while read -r number seconds text; do
    code=0
    printf %s "$text" | base64 -d >/run/agent.text
    timeout --kill-after=5 "$seconds" sh -eu /run/agent.text >/run/agent.out 2>/run/agent.err </dev/null || code=$?
    printf '%s %s %s. %s.\\n' "$number" "$code" "$(base64 -w0 /run/agent.out)" "$(base64 -w0 /run/agent.err)"
done
"""
# What only the first boot of a machine does, and what waits for a person at the console or a network.
MASKED = (
    *("systemd-journal-catalog-update.service", "ldconfig.service", "systemd-update-done.service"),
    *("systemd-hwdb-update.service", "serial-getty@ttyS0.service", "getty@tty1.service"),
    *("nfs-server.service", "nfs-blkmap.service", "rpcbind.service", "rpcbind.socket", "rpc-statd-notify.service"),
    *("systemd-networkd-wait-online.service", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer"),
)
# Without the socket the kernel tells denials to its own log, and of many only some.
WANTED = {
    "multi-user.target": "/etc/systemd/system/agent.service",
    "sockets.target": "/usr/lib/systemd/system/systemd-journald-audit.socket",
}
UPDATED = ("etc/.updated", "var/.updated")


@dataclass(frozen=True)
class Bootable:
    kernel: Path
    initrd: Path
    disk: Path


@contextmanager
def bootable(files: dict[str, str]) -> Iterator[Bootable]:
    """Safe from removal while in the block; `files` are written into it."""
    told = [part for name, text in sorted(files.items()) for part in (name, text)]
    with images(True) as wanted, prepared(SUITE, wanted) as var, base(SUITE) as root:
        key = f"vm-{cache.digest(root.key, var.name, SIZE, AGENT, AGENT_UNIT, *MASKED, *WANTED.values(), *told)}"
        with cache.entry("vm", key, lambda target: _build(root.path, var, files, target), keep=2) as path:
            yield Bootable(path / "kernel", path / "initrd", path / "disk.qcow2")


def _build(root: Path, var: Path, files: dict[str, str], target: Path) -> None:
    target.mkdir(parents=True)
    tree = target / "tree"
    copy_content(root, tree)
    remove_tree(tree / "var")
    copy_content(var, tree / "var")
    for name, source in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        run(["cp", "--", next((root / "boot").glob(source)), target / name])
    _furnish(tree, files)
    run(["chroot", tree, "setfiles", "-F", *("-e", "/proc", "-e", "/sys", "-e", "/dev"), CONTEXTS, "/"])
    raw = target / "disk.raw"
    run(["truncate", "-s", SIZE, raw])
    run(["mkfs.ext4", "-q", "-F", "-d", tree, raw])
    remove_tree(tree)
    run(["qemu-img", "convert", "-O", "qcow2", raw, target / "disk.qcow2"])
    raw.unlink()


def _furnish(tree: Path, files: dict[str, str]) -> None:
    given = {"/etc/systemd/system/agent.service": AGENT_UNIT, "/usr/local/sbin/agent": AGENT, "/etc/hostname": "vm\n"}
    for name, text in {**given, **files}.items():
        place = tree / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tree / "usr/local/sbin/agent").chmod(0o755)
    units = tree / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for target, unit in WANTED.items():
        place = units / f"{target}.wants/{Path(unit).name}"
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(unit)
    for name in UPDATED:
        (tree / name).touch()

"""The root file systems that hosts are booted from: one per Debian suite, built once and never written to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hosts import cache, given, mirror
from tests.hosts.command import HostError, copy_content, run
from tests.hosts.given import Layout

# No Python and no rsync: a host that the product must work on has neither.
COMMON = (
    *("systemd", "systemd-sysv", "dbus", "iptables", "ca-certificates", "procps", "iproute2", "util-linux"),
    *("curl", "docker.io", "attr", "acl", "libcap2-bin"),
)
# A package of its own since Debian 13, like the client's plug-ins.
CLIENT = ("docker-cli", "docker-buildx", "docker-compose")
# The same paths as in the published slim images.
SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/linda/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)
# The first three act on the kernel, which is the outer machine's; the others only cost time.
MASKED = (
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-binfmt.service",
    "console-getty.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
)
RUNC_SHIM = """#!/bin/sh
# Engines before 23.0 ask for every capability they know; this machine cannot give this one.
bundle=.
previous=
for argument in "$@"; do
    case $previous in --bundle|-b) bundle=$argument ;; esac
    previous=$argument
done
if [ -f "$bundle/config.json" ]; then
    sed -i -e 's/"CAP_SYS_RESOURCE",//g' -e 's/,"CAP_SYS_RESOURCE"//g' "$bundle/config.json"
fi
exec "$(command -v "$0").real" "$@"
"""
CAP_SYS_RESOURCE = 24
SYSVINIT = (
    *("sysvinit-core", "sysvinit-utils", "initscripts", "insserv", "orphan-sysvinit-scripts", "libelogind0", "dbus"),
    *("iptables", "ca-certificates", "procps", "iproute2", "util-linux", "docker.io", "cgroupfs-mount"),
)

# For a test that upgrades the engine: to its own version, as apt has no other, but by the package's own scripts.
KEPT = "/var/local/packages"
KEEP = f'mkdir -p "$1{KEPT}" && cp "$1"/var/cache/apt/archives/docker.io_*.deb "$1{KEPT}"'

LIMITS = ("ulimit -n 1048576", "ulimit -u unlimited", "ulimit -p unlimited")


@dataclass(frozen=True)
class Suite:
    name: str
    packages: tuple[str, ...] = ()
    apt_options: tuple[str, ...] = ()
    needs_runc_shim: bool = False
    release: str = ""  # if the suite is one of Debian's under another name
    has_systemd: bool = True
    keeps_package: bool = False
    has_docker: bool = True
    layout: Layout | None = None  # of an engine that is given by path

    @property
    def all_packages(self) -> tuple[str, ...]:
        if not self.has_docker:
            return (*(package for package in COMMON if package != "docker.io"), *self.packages)
        return (*(COMMON if self.has_systemd else SYSVINIT), *self.packages)


SUITES = {
    suite.name: suite
    for suite in (
        Suite("bullseye", needs_runc_shim=True),
        Suite("bookworm", needs_runc_shim=True),
        Suite("trixie", CLIENT, keeps_package=True),
        Suite("forky", CLIENT, apt_options=('Acquire::Check-Valid-Until "false";',)),
        # Two minutes more to build, for cloud-init brings Python along: no test of the default run uses it.
        Suite("cloud", (*CLIENT, "cloud-init", "udev", "e2fsprogs", "fdisk"), release="trixie"),
        Suite("podman", ("podman", "podman-docker", "crun", "netavark"), release="trixie", has_docker=False),
        Suite("fuse", (*CLIENT, "fuse-overlayfs"), release="trixie"),
        *(Suite(layout, CLIENT, release="forky", layout=layout) for layout in Layout),
        Suite("sysvinit", needs_runc_shim=True, release="bookworm", has_systemd=False),
    )
}


@dataclass(frozen=True)
class Base:
    suite: Suite
    key: str
    path: Path


@contextmanager
def base(suite: Suite) -> Iterator[Base]:
    """The suite's root file system, safe from removal while in the block."""
    if suite.layout:
        with _given(suite, suite.layout) as found:
            yield found
        return
    command = [*bootstrap(suite), *([f"--customize-hook={KEEP}"] if suite.keeps_package else [])]
    shim = RUNC_SHIM if suite.needs_runc_shim and not _machine_has(CAP_SYS_RESOURCE) else ""
    mended = () if suite.has_systemd else LIMITS
    key = f"{suite.name}-{cache.digest(*command, *MASKED, shim, *mended)}"

    def build(target: Path) -> None:
        run([*command, suite.release or suite.name, target, mirror.mirror()])
        _finish(target)
        if not suite.has_systemd:
            _mend_sysvinit(target)
        if shim:
            _divert_runc(target, shim)

    with cache.entry("base", key, build, keep=2) as path:
        yield Base(suite, key, path)


@contextmanager
def _given(suite: Suite, layout: Layout) -> Iterator[Base]:
    """The release's own root file system, with the engine that is given."""
    if not given.is_given():
        raise HostError(given.LACKING)
    with base(SUITES[suite.release]) as of:
        key = f"{suite.name}-{cache.digest(of.key, *given.parts())}"

        def build(target: Path) -> None:
            copy_content(of.path, target)
            given.install(target, layout)

        with cache.entry("base", key, build, keep=2) as path:
            yield Base(suite, key, path)


def bootstrap(suite: Suite, variant: str = "minbase", packages: tuple[str, ...] | None = None) -> list[str]:
    """mmdebstrap up to the suite; the mirror is left out, as its name says nothing about the content."""
    included = suite.all_packages if packages is None else packages
    return [
        "mmdebstrap",
        "--quiet",
        f"--variant={variant}",
        *([f"--include={','.join(included)}"] if included else []),
        *[f"--aptopt={option}" for option in (*mirror.options(), *suite.apt_options)],
        *[f"--dpkgopt={option}" for option in SLIM],
    ]


def _finish(root: Path) -> None:
    # mmdebstrap copies these two from the outer machine.
    for name in ("hostname", "resolv.conf"):
        (root / "etc" / name).unlink(missing_ok=True)
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _mend_sysvinit(root: Path) -> None:
    """Its limits are more than this machine gives, and a new /sys would hide the control groups."""
    script = root / "etc/init.d/docker"
    text = script.read_text()
    for limit in LIMITS:
        text = text.replace(limit, f"{limit} || :")
    script.write_text(text)
    (root / "etc/fstab").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec 0 0\n")


def _divert_runc(root: Path, shim: str) -> None:
    runc = run(["chroot", root, "sh", "-c", "command -v runc"]).strip()
    run(["chroot", root, "dpkg-divert", "--local", "--rename", "--divert", f"{runc}.real", "--add", runc])
    program = root / runc.lstrip("/")
    program.write_text(shim)
    program.chmod(0o755)


def _machine_has(capability: int) -> bool:
    status = Path("/proc/self/status").read_text()
    bounding = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding.split()[1], 16) >> capability & 1)

"""Whether the host's packages are being changed, or were changed in a way that wants a reboot."""

from pathlib import Path

from entrypoint.host.host import Host

REBOOT = "/run/reboot-required"  # update-notifier-common(7), unattended-upgrades, needrestart
PROGRAMS = frozenset(
    {"dpkg", "apt-get", "apt", "aptitude", "unattended-upgr", "rpm", "dnf", "dnf5", "yum", "zypper", "transactional-up",
     "rpm-ostree", "pacman"}
)  # fmt: skip


def at_work(processes: Path = Path("/proc")) -> tuple[str, ...]:
    """The programs that change packages and are running; the kernel keeps 15 characters of a name."""
    return tuple(sorted({name for place in processes.glob("[0-9]*/comm") if (name := _name(place)) in PROGRAMS}))


def _name(comm: Path) -> str:
    try:
        return comm.read_text(errors="replace").strip()
    except OSError:
        return ""  # it has ended meanwhile


def wants_reboot(host: Host) -> bool:
    return host.path(host.resolve(REBOOT)).exists()

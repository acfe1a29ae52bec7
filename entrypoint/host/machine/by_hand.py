"""Service managers other than systemd: which one a host has, and the steps that move a data root there by hand.

A real move would need what systemd gives: somebody outside the engine who carries on when it stops, a start that can be
held, and the knowledge when it is up. A double fork into the host's namespaces and the engine's pid file could stand
for them; it is not done.
"""

from enum import StrEnum
from pathlib import Path

from entrypoint.console.errors import PreflightError

SYSTEMD_RUNS = "run/systemd/system"  # sd_booted(3)


class Init(StrEnum):
    SYSTEMD = "systemd"
    OPENRC = "OpenRC"
    SYSVINIT = "sysvinit"
    OTHER = "unknown"


def find(root: Path) -> Init:
    """What manages the services of the host whose files are below `root`."""
    if (root / SYSTEMD_RUNS).is_dir():
        return Init.SYSTEMD
    if (root / "run/openrc").is_dir() or (root / "lib/rc/init.d").is_dir():
        return Init.OPENRC
    return Init.SYSVINIT if (root / "etc/init.d/docker").exists() else Init.OTHER


def options_file(root: Path, init: Init) -> str:
    """Where the init script takes the engine's flags from."""
    if init is Init.OPENRC:
        return "/etc/conf.d/docker"
    return "/etc/sysconfig/docker" if (root / "etc/sysconfig/docker").exists() else "/etc/default/docker"


def steps(root: Path, init: Init) -> str:
    """What to type there, in order."""
    control = "rc-service docker" if init is Init.OPENRC else "service docker"
    file = options_file(root, init)
    variable = "other_args" if file.startswith("/etc/sysconfig") else "DOCKER_OPTS"
    return "\n".join([
        "Move it by hand, as root:",
        "  docker ps --quiet | xargs --no-run-if-empty docker stop    # what runs now has to be started again later",
        f"  {control} stop",
        "  grep /var/lib/docker/ /proc/mounts; pgrep containerd-shim  # both must print nothing before you go on",
        "  mkdir -p /new/path && cp -a /var/lib/docker/. /new/path/",
        f'  in {file}: {variable}="--data-root=/new/path", with the options that are there (-g before Docker 17.05)',
        f"  {control} start && docker info --format '{{{{.DockerRootDir}}}}'",
        "  remove /var/lib/docker only when everything runs from the new path",
    ])  # fmt: skip


def require_systemd(root: Path, process: str) -> None:
    """Raises PreflightError on a host that systemd does not run; `process` is the name of its first process."""
    init = find(root)
    if init is not Init.SYSTEMD:
        raise PreflightError(
            "The host's service manager is not systemd. Nothing was changed.",
            details=f"It is {init}; process 1 is `{process}`. relocator moves an engine only where systemd starts and "
            "stops it.",
            resolution=steps(root, init),
        )

"""Service managers other than systemd, as a table: which a host has, and the steps that move a data root there by hand.

A real move would need what systemd gives: somebody outside the engine who carries on when it stops, a start that can be
held, and the knowledge when it is up. A double fork into the host's namespaces and the engine's pid file could stand
for them; it is not done.
"""

from dataclasses import dataclass
from pathlib import Path

from entrypoint.console.errors import PreflightError


@dataclass(frozen=True)
class Init:
    """A service manager: one of the `signs`, below the host's root, tells it.

    `control` comes before `stop` and `start`. `options` are the files that the engine's flags may be in, each with its
    variable: the first that is there, or the last.
    """

    name: str
    signs: tuple[str, ...] = ()
    control: str = "service docker"
    options: tuple[tuple[str, str], ...] = (
        ("/etc/sysconfig/docker", "other_args"),
        ("/etc/default/docker", "DOCKER_OPTS"),
    )


SYSTEMD = Init("systemd", ("run/systemd/system",))  # sd_booted(3)
OPENRC = Init(
    "OpenRC",
    ("run/openrc", "lib/rc/init.d"),
    control="rc-service docker",
    options=(("/etc/conf.d/docker", "DOCKER_OPTS"),),
)
SYSVINIT = Init("sysvinit", ("etc/init.d/docker",))
OTHER = Init("unknown")
INITS = (SYSTEMD, OPENRC, SYSVINIT)


def find(root: Path) -> Init:
    """What manages the services of the host whose files are below `root`."""
    return next((init for init in INITS if any((root / sign).exists() for sign in init.signs)), OTHER)


def steps(root: Path, init: Init) -> str:
    """What to type there, in order."""
    there = (option for option in init.options if (root / option[0].lstrip("/")).exists())
    file, variable = next(there, init.options[-1])
    return "\n".join([
        "Move it by hand, as root:",
        "  docker ps --quiet | xargs --no-run-if-empty docker stop    # what runs now has to be started again later",
        f"  {init.control} stop",
        "  grep /var/lib/docker/ /proc/mounts; pgrep containerd-shim  # both must print nothing before you go on",
        "  mkdir -p /new/path && cp -a /var/lib/docker/. /new/path/",
        f'  in {file}: {variable}="--data-root=/new/path", with the options that are there (-g before Docker 17.05)',
        f"  {init.control} start && docker info --format '{{{{.DockerRootDir}}}}'",
        "  remove /var/lib/docker only when everything runs from the new path",
    ])  # fmt: skip


def require_systemd(root: Path, process: str) -> None:
    """Raises PreflightError on a host that systemd does not run; `process` is the name of its first process."""
    init = find(root)
    if init is not SYSTEMD:
        raise PreflightError(
            "The host's service manager is not systemd. Nothing was changed.",
            details=f"It is {init.name}; process 1 is `{process}`. relocator moves an engine only where systemd starts "
            "and stops it.",
            resolution=steps(root, init),
        )

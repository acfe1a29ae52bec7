"""The units that systemd stops along with the engine: those that run, and those that are yet to be started.

A stop of what a unit requires takes away the job that was to start it, too. So at boot, what waits for us (for
cloud-init, or for a unit that calls us) would never be started.
"""

from collections.abc import Iterable

from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.units import RUNNING, Unit


def active(systemd: ServiceManager, names: Iterable[str]) -> tuple[str, ...]:
    """The units that run now and that systemd stops along with the named ones, through however many others."""
    return tuple(one.name for one in _along(systemd, tuple(names)) if one.active_state in RUNNING)


def awaited(systemd: ServiceManager, names: Iterable[str]) -> tuple[str, ...]:
    """Those of them that do not run yet, and are to be started."""
    return tuple(one.name for one in _along(systemd, tuple(names)) if one.is_awaited)


def _along(systemd: ServiceManager, own: tuple[str, ...]) -> tuple[Unit, ...]:
    found: dict[str, Unit] = {}
    todo = list(own)
    while todo:
        for name in systemd.unit(todo.pop()).dependents:
            if name in own or name in found:
                continue
            unit = systemd.unit(name)
            if unit.active_state in RUNNING or unit.is_awaited:
                found[name] = unit
                todo.append(name)
    return tuple(found.values())

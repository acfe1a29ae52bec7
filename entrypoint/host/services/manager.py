"""The port: what is asked of a host's service manager, whichever it is. systemd's is in `systemd.py`."""

from collections.abc import Iterable
from typing import Any, Protocol

from entrypoint.host.services.units import Unit


class ServiceManager(Protocol):
    """Units that are looked at, started and stopped. Every call may raise SystemdError."""

    def close(self) -> None: ...

    def unit(self, name: str) -> Unit:
        """A unit's state, read now; a unit that does not exist has load_state "not-found"."""
        ...

    def is_busy(self, name: str) -> bool:
        """Whether a unit runs, starts or stops; one that is not there does not."""
        ...

    def services_at_work(self) -> tuple[str, ...]:
        """The names of the services that run, or are being started or stopped."""
        ...

    def unit_of(self, pid: int) -> str | None:
        """The name of the unit that a process belongs to, none of its aliases; nothing if it belongs to none."""
        ...

    def variables(self) -> dict[str, str]:
        """Those that it gives to every service, before the service's own."""
        ...

    def stop(self, names: Iterable[str]) -> None:
        """Stop units as one operation, in the order given, and wait until each is down."""
        ...

    def start(self, names: Iterable[str]) -> None:
        """Start units as one operation, and wait until each is started."""
        ...

    def reset_failed(self, names: Iterable[str]) -> None:
        """Forget failures and start counts."""
        ...

    def reload(self) -> None:
        """Read unit files again."""
        ...

    def is_stopping(self) -> bool:
        """Whether the host is going down."""
        ...

    def start_transient(self, name: str, properties: dict[str, tuple[str, Any]]) -> None:
        """Create a unit that exists only in memory, start it, and wait until it is started."""
        ...

"""Where and when, as the host tells it: its name, and its local time."""

from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from entrypoint.console.errors import RelocatorError
from entrypoint.host.host import Host

LOCALTIME, ZONES = "/etc/localtime", "/usr/share/zoneinfo"


def name(host: Host) -> str:
    """As its processes see it; this container has a name of its own."""
    with suppress(RelocatorError):
        return host.run(["uname", "-n"], check=False).stdout.strip()
    return ""


def zone(host: Host) -> tzinfo:
    """Its time zone; UTC where it has set none."""
    try:
        with host.path(host.resolve(LOCALTIME)).open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def named(host: Host, name: str) -> tzinfo:
    """A zone by its name, as the host knows it, or by its offset; without one, the host's own. Raises ValueError."""
    if not name:
        return zone(host)
    if name == "Z" or name[0] in "+-":
        return datetime.fromisoformat(f"2000-01-01T00:00{name}").tzinfo or UTC
    try:
        with host.path(host.resolve(f"{ZONES}/{name}")).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except OSError as error:
        raise ValueError(f"This host knows no zone {name}.") from error


def moment(at: float | None, where: tzinfo = UTC) -> str:
    """An instant (seconds since 1970) by ISO 8601, to the second, with the zone's offset; empty for none."""
    return "" if at is None else datetime.fromtimestamp(at, where).isoformat(timespec="seconds")


def there(written: str, where: tzinfo) -> str:
    """The same instant in another zone."""
    return datetime.fromisoformat(written).astimezone(where).isoformat() if written else ""

"""When a held run goes by itself is told by the host's clock and zone; what has passed is refused."""

import struct
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from entrypoint.console.errors import UsageError
from entrypoint.host.machine import locality
from entrypoint.plan.when import When, seconds
from tests.unit.support.fakes import make_host

NOW = datetime(2026, 11, 30, 22, 15, tzinfo=UTC).timestamp()
BERLIN = ZoneInfo("Europe/Berlin")
# Three hours ahead of UTC, as tzfile(5) has it.
ZONE = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 3 * 3600, 0, 0) + b"MSK\0"


def zone_of(name: str) -> tzinfo:
    if name == "Z" or name[:1] == "+":
        return datetime.fromisoformat(f"2000-01-01T00:00{name}").tzinfo or UTC
    return BERLIN if name == "Europe/Berlin" else UTC


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("23:00", "2026-11-30T23:00+00:00"),
        ("03:00", "2026-12-01T03:00+00:00"),
        ("22:15", "2026-12-01T22:15+00:00"),
        ("03:00 Europe/Berlin", "2026-12-01T02:00+00:00"),
        ("23:30 Europe/Berlin", "2026-11-30T22:30+00:00"),
        ("03:00+02:00", "2026-12-01T01:00+00:00"),
        ("2026-12-24 03:00", "2026-12-24T03:00+00:00"),
        ("2026-12-24T03:00:30Z", "2026-12-24T03:00:30+00:00"),
        ("2026-07-01 03:00 Europe/Berlin", ""),
        ("2026-11-30 22:15", ""),
        ("2026-11-29 23:00", ""),
    ],
)
def test_a_time_is_the_next_such_one_or_that_of_its_day(text: str, instant: str) -> None:
    if instant:
        assert When.of(text).instant(NOW, zone_of) == datetime.fromisoformat(instant).timestamp()
    else:
        with pytest.raises(UsageError, match="has passed"):
            When.of(text).instant(NOW, zone_of)


@pytest.mark.parametrize(
    "text", ["", "3", "3:00", "25:00", "03:61", "2026-13-01 03:00", "tomorrow", "03:00 ../etc/passwd", "03:00 /x"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        When.of(text)


@pytest.mark.parametrize(("text", "length"), [("30s", 30), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("0.5s", 0.5)])
def test_a_length_of_time_is_read(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "30", "0s", "-3s", "fast", "3d", "s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no length"):
        seconds(text)


def test_a_zone_is_the_hosts_by_its_name_or_its_own(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    place = host.path(f"{locality.ZONES}/Europe/Berlin")
    place.parent.mkdir(parents=True)
    place.write_bytes(ZONE)
    assert locality.named(host, "") is UTC
    assert datetime.fromtimestamp(NOW, locality.named(host, "Europe/Berlin")).hour == 1
    assert datetime.fromtimestamp(NOW, locality.named(host, "-05:00")).hour == 17
    with pytest.raises(ValueError, match="knows no zone"):
        locality.named(host, "Europe/Atlantis")

"""A version is compared by its first number, and one that has none is neither new nor old."""

import pytest

from entrypoint.engine.versions import is_at_least, is_older, major


@pytest.mark.parametrize(
    ("version", "number", "at_least", "older"),
    [
        ("28.5.2", 28, True, False),
        ("28.0.0-rc.1", 28, True, False),
        ("27.5.1+dfsg4", 27, False, True),
        ("29", 29, True, False),
        ("dev", None, False, False),
        ("", None, False, False),
        ("v28.1", None, False, False),
    ],
)
def test_versions(version: str, number: int | None, at_least: bool, older: bool) -> None:
    assert (major(version), is_at_least(version, 28), is_older(version, 28)) == (number, at_least, older)

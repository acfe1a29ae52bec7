"""Events go nowhere: the console's pretty tracebacks would take most of the time of these tests."""

import io

import pytest

from entrypoint import log


@pytest.fixture(autouse=True)
def _quiet() -> None:
    log.configure(io.StringIO())

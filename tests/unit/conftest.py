"""Events go nowhere: the console's pretty tracebacks would take most of the time of these tests.

Nor is the root file system of whatever runs them put into memory: it may be a container.
"""

import io

import pytest

from entrypoint.console import events


@pytest.fixture(autouse=True)
def _quiet() -> None:
    events.configure(io.StringIO())


@pytest.fixture(autouse=True)
def _stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoint.move.worker.memory.move_into", lambda **_: None)

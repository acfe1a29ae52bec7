"""Trying again, with an end: what a busy host refuses now, it may do in a moment.

systemd is re-executed by its own upgrade, somebody else's job takes ours away, the engine is killed and started again,
an API answers 500 once. None of that is a reason to turn back, or to leave a container down.
"""

from collections.abc import Callable
from typing import TypeVar

import tenacity

from entrypoint.console.errors import EngineError, SystemdError
from entrypoint.console.events import log

TRYING = 60.0  # seconds
ATTEMPTS = 5
PAUSES = (0.25, 4.0)  # seconds between two, the first and the longest

T = TypeVar("T")


def persistently(
    act: Callable[[], T], *, doing: str, attempts: int = ATTEMPTS, pauses: tuple[float, float] = PAUSES
) -> T:
    """Do it; again, if the engine or systemd fails. Raises the last failure."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((EngineError, SystemdError)),
        stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_after_delay(TRYING),
        wait=tenacity.wait_exponential(*pauses),
        before_sleep=lambda state: _told(state, doing),
        reraise=True,
    )
    return retrying(act)


def _told(state: "tenacity.RetryCallState", doing: str) -> None:
    failure = state.outcome.exception() if state.outcome else None
    log.warning("again", doing=doing, attempt=state.attempt_number, why=str(failure))

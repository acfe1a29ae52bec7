"""Trying again, and waiting, with an end: what a busy host refuses now, it may do in a moment.

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


def until(
    condition: Callable[[], bool],
    *,
    waiting_for: str,
    seconds: float,
    interval: float = 0.1,
    late: tuple[type[BaseException], ...] = (EngineError,),
) -> None:
    """Ask again until `condition` holds; for what is known to come late, with an end.

    Only the exceptions in `late` are waited through. Raises EngineError when the time is over.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(interval),
        retry=tenacity.retry_if_exception_type(late) | tenacity.retry_if_result(lambda held: not held),
        before_sleep=lambda state: _waiting(state, waiting_for),
    )
    try:
        retrying(condition)
    except tenacity.RetryError as over:
        last = over.last_attempt.exception()
        details = str(last) if last else ""
        raise EngineError(f"Waited {seconds:g} s for {waiting_for}; it did not happen.", details=details) from last


def _waiting(state: "tenacity.RetryCallState", waiting_for: str) -> None:
    log.debug("retry", waiting_for=waiting_for, attempt=state.attempt_number)

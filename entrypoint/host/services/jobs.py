"""How systemd's jobs end, and what of that is no answer: then it is asked again.

A `systemctl start` of somebody else takes the job of our stop away ("canceled"), and is refused by the hold when it has
its turn (hold.py): what it asserts is looked at when a job is run, not when it is enqueued. A systemd that is executed
anew, as its own upgrade does, is away from the bus for a moment, and the signal of a job that ends then is lost.
"""

import asyncio

from sdbus import exceptions
from sdbus.sd_bus_internals import SdBusLibraryError

from entrypoint.console.errors import SystemdError

# A job must be given longer than the longest stop that systemd itself allows (DefaultTimeoutStopSec is 90 s, some
# distributions ship docker.service with no limit at all), or we would call failed what is only slow.
JOB_TIMEOUT = 600.0
AWAY = 30.0  # seconds that systemd may be away from the bus
MISSED = 2.0  # seconds without a word of a job, after which it is looked for
AGAIN = 0.1  # seconds until what was taken away is asked for again, and
TAKEN_AWAY = 100  # times
GOOD_RESULTS = frozenset({"done", "skipped"})
CANCELED = "canceled"
UNREACHABLE = (
    exceptions.DbusDisconnectedError,
    exceptions.DbusNameHasNoOwnerError,
    exceptions.DbusNoReplyError,
    exceptions.DbusServiceUnknownError,
    SdBusLibraryError,
    ConnectionError,
)


def is_away(failure: BaseException) -> bool:
    """Whether a call has reached nobody who could refuse it."""
    return isinstance(failure, SystemdError) and isinstance(failure.__cause__, UNREACHABLE)


def job_failed(name: str, method: str, result: str) -> SystemdError:
    """systemd's own word for how the job ended, and where it says why."""
    return SystemdError(
        f'{method} of {name} ended with "{result}".',
        details=f"The host says why in: journalctl -u {name} -n 50",
    )


async def cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

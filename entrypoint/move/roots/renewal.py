"""A copy that cannot be trusted any more, because the clock was set: everything is looked at anew before the freeze.

What has changed is known by its ctime. A clock that is set back, and forward again, gives what changes between a time
from before the last pass, and no later look at the clock tells it. The kernel does (timer.py). The front and the worker
each have it tell them; the front's word reaches to after the worker has begun to listen, so that there is no gap.
"""

from entrypoint.console.errors import MoveError
from entrypoint.console.events import log
from entrypoint.journal.record import Event, Run
from entrypoint.move.context import Move
from entrypoint.plan.plan import Direction

MOST = 5


def renew(move: Move) -> None:
    """Copy again, with the engine up, as long as the clock was set since. Raises MoveError if that does not end."""
    if move.plan.direction is not Direction.FORTH:
        return
    doubtful = not move.renewed and is_doubtful(move.run)  # what the front saw is looked at once
    for _ in range(MOST):
        found = list(move.copies())
        if not (doubtful or any(copied.clock_was_set for _, copied in found)):
            return
        log.warning("clock.set")
        move.renew([copier.again(copied) for copier, copied in found])
        doubtful = False
    raise MoveError(
        "The clock of this host is set again and again.",
        details="What changes is known by its time; while the clock is set, nobody can tell.",
        resolution="See that one program sets it, and no more than once (timedatectl; chronyc tracking), then run "
        "again.",
    )


def is_doubtful(run: Run) -> bool:
    """Whether the front has seen the clock set, or has not lived to tell."""
    told = [record for record in run.records() if record["event"] == Event.HANDED_OVER]
    return not told or bool(told[-1].get("clock_set", True))


def settle(move: Move) -> None:
    """The engine is down, and nothing changes any more."""
    move.renew([copied.settle() for _, copied in move.copies()])

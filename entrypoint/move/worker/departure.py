"""Before the engine is stopped every container of ours leaves by itself: stopped with it, it could not say how.

The one that hands over is waited for (`migration.wait_for_departure`). Others, which wait for the outcome, learn from
the journal that a worker is there and the engine not yet stopped; then they end with the code of a hand-over.
"""

from collections.abc import Iterable
from contextlib import suppress

from entrypoint.console.errors import EngineError
from entrypoint.console.events import Phase
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.engine.inventory import Container, Status
from entrypoint.host.machine.persistence import until
from entrypoint.host.services.units import RUNNING
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event, Record
from entrypoint.move.context import Move
from entrypoint.move.worker import hold


def _of_last(journal: Journal) -> list[Record]:
    runs = journal.runs()
    return runs[-1].records() if runs else []


def is_handed_over(journal: Journal) -> bool:
    """Whether a worker has the last run, which has not ended."""
    events = {record["event"] for record in _of_last(journal)}
    return bool(events & {Event.HANDED_OVER, Event.TOOK_OVER}) and Event.OUTCOME not in events


def is_engine_going(journal: Journal) -> bool:
    """Whether a worker is about to stop the engine, or has stopped it and not yet started it again."""
    started = (Event.INTENT, Phase.START)
    return (
        is_handed_over(journal)
        and not hold.is_waiting(_of_last(journal))
        and all((record["event"], record.get("step")) != started for record in _of_last(journal))
    )


def await_others(move: Move) -> None:
    """Let other containers of this image go: they see that a worker is there. One that stays is stopped as any is."""

    def have_left() -> bool:
        if move.systemd.unit(move.plan.service).active_state not in RUNNING:
            return True  # asking would start it
        with Engine.opened(socket_of(move.host)) as engine:
            return not any(staying(engine.containers(), move.ours))

    with suppress(EngineError):
        until(have_left, waiting_for="other relocator containers to end", seconds=move.patience.others, late=())


def staying(containers: Iterable[Container], ours: frozenset[str]) -> Iterable[Container]:
    """Those of this image that run; one with --rm leaves by being removed, for its client waits for that."""
    for one in containers:
        is_leaving = one.auto_remove and one.status is not Status.CREATED
        if one.is_relocator and one.id not in ours and (one.is_alive or is_leaving):
            yield one

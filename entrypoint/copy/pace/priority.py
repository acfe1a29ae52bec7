"""While containers run, the copy comes behind them as a whole, not only among the programs of its own container.

The kernel divides the processor between groups first: control groups, or sessions where no control group divides it
(sched(7), "The autogroup feature"). A container is one of either. So a copy at `nice 19` gets as much as each of the
containers that it is to leave alone, until its group counts for less as well.
"""

from contextlib import suppress
from pathlib import Path

from entrypoint.console.errors import EngineError
from entrypoint.engine.docker import Engine, socket_of
from entrypoint.host.host import Host
from entrypoint.host.machine.standing import own_container

SESSION = Path("/proc/self/autogroup")
LAST = 19  # as nice(1): 15 parts where others have 1024
LEAST = 2  # CPU shares where others have 1024, and the least that the engine takes


def come_last(host: Host) -> None:
    """For the rest of this container's life; CPU shares that the operator gave it are left as they are."""
    container = own_container()
    if container is None:
        return
    with suppress(OSError):  # a kernel without autogroups
        SESSION.write_text(str(LAST))
    with suppress(EngineError), Engine.opened(socket_of(host)) as engine:
        engine.limit_processor(container, LEAST)

"""A unit of the host, the states that one can be in, and what a transient one of ours runs."""

from dataclasses import dataclass
from enum import StrEnum


class UnitState(StrEnum):
    """systemd's ActiveState."""

    ACTIVE = "active"
    RELOADING = "reloading"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    MAINTENANCE = "maintenance"
    REFRESHING = "refreshing"


RUNNING = frozenset({UnitState.ACTIVE, UnitState.RELOADING, UnitState.REFRESHING})
STOPPED = frozenset({UnitState.INACTIVE, UnitState.FAILED})
CHANGING = frozenset({UnitState.ACTIVATING, UnitState.DEACTIVATING})


@dataclass(frozen=True)
class Unit:
    """A unit as systemd has it loaded; `dependents` are those that a stop of it stops along.

    `command` are the words of its only `ExecStart=`, before variables are put in (empty if it has several), `commands`
    those of each, `before` those of each `ExecStartPre=`; it starts in a `folder`. `starting` is when its last start
    began and was done, in seconds, `left` when it was up last before that, and `ran` when its program was last run: a
    start that an `ExecStartPre=` refuses does not come to that. It `has_job` while systemd is to start or stop it.
    """

    name: str
    load_state: str
    active_state: UnitState
    result: str
    main_pid: int
    fragment: str
    drop_ins: tuple[str, ...]
    needs_reload: bool = False
    dependents: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    environment_files: tuple[str, ...] = ()
    triggered_by: tuple[str, ...] = ()
    starting: tuple[float, float] = (0.0, 0.0)
    left: float = 0.0
    ran: float = 0.0
    has_job: bool = False
    commands: tuple[tuple[str, ...], ...] = ()
    folder: str = ""

    @property
    def exists(self) -> bool:
        return self.load_state == "loaded"

    @property
    def is_awaited(self) -> bool:
        """Whether it is being started, or is to be: a stop of what it needs takes that job away for good."""
        return self.active_state is UnitState.ACTIVATING or (self.has_job and self.active_state in STOPPED)


@dataclass(frozen=True)
class Command:
    """One `Exec…=` line of a transient unit, as D-Bus wants it; `ignore_failure` is the `-` of unit files."""

    argv: tuple[str, ...]
    ignore_failure: bool = False

    def to_dbus(self) -> tuple[str, list[str], bool]:
        return self.argv[0], list(self.argv), self.ignore_failure

"""How the last run stands, and the exit code that says so."""

from enum import StrEnum

from entrypoint.console.errors import ExitCode


class State(StrEnum):
    NONE = "none"
    WORKING = "working"
    HELD = "held"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    BROKEN = "rollback-failed"
    MOVED = "moved"
    INTERRUPTED = "interrupted"
    CUT_OFF = "cut-off"
    ABANDONED = "abandoned"


EXIT_CODES = {
    State.NONE: ExitCode.DONE,
    State.WORKING: ExitCode.HANDED_OVER,
    State.HELD: ExitCode.HANDED_OVER,
    State.COMMITTED: ExitCode.DONE,
    State.ROLLED_BACK: ExitCode.ROLLED_BACK,
    State.BROKEN: ExitCode.BROKEN,
    State.MOVED: ExitCode.AMISS,
    State.INTERRUPTED: ExitCode.INTERRUPTED,
    State.CUT_OFF: ExitCode.BROKEN,
    State.ABANDONED: ExitCode.INTERRUPTED,
}

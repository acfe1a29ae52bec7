"""What can go wrong, by what the operator does next.

RelocatorError            brief, details, resolution, exit code
├── UsageError            the command line is wrong                          exit 2
├── ContainerError        the container was not given what it needs          exit 2
├── PreflightError        refused before anything was touched                exit 3
├── Interrupted           a signal before the hand-over                      exit 130
├── Aborted               the operator has ended a run before it switched      exit 130
├── Left                  the engine took this container along at a move     exit 10
└── MoveError             a step failed; the driver rolls back               exit 4
    ├── HostCommandError  a program failed
    ├── SystemdError      a job did not end as it must
    ├── EngineError       the engine did not answer, or answered otherwise
    ├── CopyError         the copy is not, or cannot become, the source
    │   └── FullError     the target has no room
    ├── VerificationError the new root does not hold what the old one held
    ├── NeedsStop         what is left to do would stop the engine, and whoever does it may not
    ├── JournalError      the record of the run cannot be written or read (where nothing can be undone: exit 5)
    └── RollbackError     the way back failed too                            exit 5
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; they are an interface and do not change meaning."""

    DONE = 0
    USAGE = 2
    REFUSED = 3
    ROLLED_BACK = 4
    BROKEN = 5
    AMISS = 6
    HANDED_OVER = 10
    INTERRUPTED = 130


class RelocatorError(Exception):
    """An expected failure, with text that is ready for the operator.

    `brief` says what failed, `details` why or with what, `resolution` what to do next.
    Anything that is not a `RelocatorError` is a bug and keeps its traceback.
    """

    exit_code = ExitCode.ROLLED_BACK

    def __init__(self, brief: str, details: str = "", resolution: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.resolution = resolution

    def text(self) -> str:
        """All there is to say, a line or paragraph each."""
        return "\n".join(part for part in (self.brief, self.details, self.resolution) if part)


class UsageError(RelocatorError):
    exit_code = ExitCode.USAGE


class ContainerError(RelocatorError):
    exit_code = ExitCode.USAGE


class PreflightError(RelocatorError):
    exit_code = ExitCode.REFUSED


class Interrupted(RelocatorError):
    exit_code = ExitCode.INTERRUPTED


class Aborted(RelocatorError):
    exit_code = ExitCode.INTERRUPTED
    keeps = False  # the copy, for the same command


class Left(RelocatorError):
    exit_code = ExitCode.HANDED_OVER


class MoveError(RelocatorError):
    """A step between preflight and commit failed; what was done can be undone."""


class HostCommandError(MoveError):
    pass


class SystemdError(MoveError):
    pass


class EngineError(MoveError):
    pass


class CopyError(MoveError):
    pass


class FullError(CopyError):
    pass


class VerificationError(MoveError):
    pass


class NeedsStop(MoveError):
    pass


class JournalError(MoveError):
    exit_code = ExitCode.BROKEN


class RollbackError(MoveError):
    exit_code = ExitCode.BROKEN

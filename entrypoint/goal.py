"""What the operator wants to be where."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from entrypoint.errors import UsageError
from entrypoint.target_checks import parse_target


class Only(StrEnum):
    """Which root is to move alone."""

    DATA_ROOT = "data-root"


@dataclass(frozen=True)
class Goal:
    """The new data root, and that of containerd, if it was named: it is beside the other else."""

    target: PurePosixPath
    containerd: PurePosixPath | None = None
    only: Only | None = None

    @classmethod
    def of(cls, target: str, containerd: str = "", only: Only | None = None) -> "Goal":
        """From words of the command line. Raises UsageError."""
        if containerd and only:
            raise UsageError("Either --containerd-root or --only.", resolution="See: relocator --help")
        return cls(parse_target(target), parse_target(containerd) if containerd else None, only)

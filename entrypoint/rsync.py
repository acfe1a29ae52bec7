"""rsync: its arguments, built purely, and what its exit codes mean to us.

While the engine runs, files may vanish (24) or turn into something else (23) under its eyes; a later pass mends that,
and one that is not mended by the last is an error. With the engine down nothing but 0 is good.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoint.errors import CopyError
from entrypoint.host import Result, polite_command, run

PARTIAL = 23
VANISHED = 24
NO_SPACE_HINTS = ("No space left on device", "Disk quota exceeded")

# -a -H -A -X -S: everything a layer or volume can hold, trusted.* xattrs and sparse files included.
# --modify-window=-1: compare times to the nanosecond. Databases such as bolt keep their size, and rsync's usual whole
#   seconds would take a change for none.
# --one-file-system: a volume mounted from elsewhere is not our data.
# --no-inc-recursive: with -H and the list of files made as it goes, rsync waits for itself for ever when names of a
#   hard-linked file come and go meanwhile (3.4.1 and 3.5.0, one run in seven on a directory where that happens).
# --filter: XFS shows every ACL a second time under these names, and a second pass would delete the ACLs with them
#   (RsyncProject/rsync issue 301; seen on the way from ext4 to xfs).
FIDELITY = (
    "-aHAXS",
    "--numeric-ids",
    "--one-file-system",
    "--modify-window=-1",
    "--no-inc-recursive",
    "--filter=-x trusted.SGI_ACL_*",
    "--delete",
    "--stats",
    "--no-human-readable",
)


@dataclass(frozen=True)
class TransferStats:
    """What one rsync did, from its `--stats`."""

    files: int
    size: int
    partial: str = ""  # what rsync said of files it could not copy, while the engine runs

    def __add__(self, other: "TransferStats") -> "TransferStats":
        return TransferStats(self.files + other.files, self.size + other.size, self.partial + other.partial)

    @classmethod
    def parse(cls, output: str) -> "TransferStats":
        facts = dict(line.split(":", 1) for line in output.splitlines() if ":" in line)
        return cls(
            files=_number(facts.get("Number of regular files transferred", "0")),
            size=_number(facts.get("Total transferred file size", "0")),
        )


def _number(text: str) -> int:
    return int(text.split()[0].replace(",", ""))


def pass_command(
    source: Path, target: Path, excludes: Iterable[str], *, bwlimit: str = "", anew: bool = False
) -> list[str]:
    """The argv that makes `target` equal to `source`, but for what `excludes` names (anchored rsync patterns).

    With `anew` every file is copied, whatever its size and times in the target say.
    """
    limit = [f"--bwlimit={bwlimit}"] if bwlimit else []
    left_out = [f"--exclude={pattern}" for pattern in excludes]
    times = ["--ignore-times"] if anew else []
    return ["rsync", *FIDELITY, *times, *limit, *left_out, "--", f"{source}/", f"{target}/"]


def forced_command(source: Path, target: Path, *, live: bool) -> list[str]:
    """The argv that copies the files named on standard input again, whatever their size and times say.

    `--force`: a directory in the way of a file gives way, as it does with `--delete`. While the engine runs a file
    may be gone again.
    """
    kept = ["--force" if option == "--delete" else option for option in FIDELITY]
    gone = ["--ignore-missing-args"] if live else []
    return ["rsync", *kept, *gone, "--ignore-times", "--from0", "--files-from=-", "--", f"{source}/", f"{target}/"]


def copy(argv: Sequence[str], names: bytes | None = None, *, live: bool) -> TransferStats:
    """Run a pass: while the engine runs behind everybody else's work, with the engine down at full speed.

    `names` are for standard input. Raises CopyError.
    """
    command, allowed = (polite_command(argv), (0, PARTIAL, VANISHED)) if live else (argv, (0,))
    return _finished(run(command, timeout=None, check=False, stdin=names), allowed)


def _finished(result: Result, allowed: tuple[int, ...]) -> TransferStats:
    full = any(hint in result.stderr for hint in NO_SPACE_HINTS)
    if result.code in allowed and not full:
        partial = result.stderr if result.code == PARTIAL else ""
        return replace(TransferStats.parse(result.stdout), partial=partial)
    raise copy_failed(f"rsync ended with code {result.code}.", result)


def copy_failed(brief: str, result: Result) -> CopyError:
    """The error of a copying program; a full disk is told apart, for that the operator can mend."""
    said = result.stderr.strip()
    if any(hint in said for hint in NO_SPACE_HINTS):
        return CopyError(
            "The target's file system is full.",
            details=said[-1000:],
            resolution="Free space there or choose a larger target, then run the same command again.",
        )
    return CopyError(brief, details=said[-2000:] or os.linesep.join(result.stdout.splitlines()[-5:]))

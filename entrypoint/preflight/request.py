"""What the operator asks for: one object, from the command line to the plan."""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from entrypoint.console.errors import UsageError

# limits.h has 4096 for a path; a quarter is left for what an engine has below its root.
LONGEST, LONGEST_NAME = 3072, 255
UNFIT = ("Cc", "Cs", "Zl", "Zp")  # categories of Unicode
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class Only(StrEnum):
    """Which root is to move alone."""

    DATA_ROOT = "data-root"
    CONTAINERD = "containerd"


@dataclass(frozen=True)
class Request:
    """What the operator asks to be where, and how.

    `target` is the new data root, and `containerd` that of containerd, if it was named: it is beside the other else.
    Where `only` containerd's is to move, `target` is where it goes. `bwlimit` is a rate as it was typed, or empty;
    `accepted` are the ids of findings that are agreed to, and what is to become of a root in the target. Where it
    `holds`, the copy is kept up to date until the operator says go, or it is time, `at`; it does not go where
    the downtime would be longer than `longest`. Both are as typed.
    """

    target: PurePosixPath
    containerd: PurePosixPath | None = None
    only: Only | None = None
    bwlimit: str = ""
    checksum: bool = False
    accepted: frozenset[str] = frozenset()
    holds: bool = False
    at: str = ""
    longest: str = ""

    @property
    def waits(self) -> bool:
        """Whether the copy, when it is ready, waits for something."""
        return bool(self.holds or self.at or self.longest)

    @classmethod
    def of(
        cls,
        target: str,
        containerd: str = "",
        only: Only | None = None,
        *,
        bwlimit: str = "",
        checksum: bool = False,
        accepted: frozenset[str] = frozenset(),
        adopts: bool = False,
        holds: bool = False,
        at: str = "",
        longest: str = "",
    ) -> "Request":
        """From words of the command line. Raises UsageError."""
        if containerd and only:
            raise UsageError("Either --containerd-root or --only.", resolution="See: relocator --help")
        if adopts and only is Only.CONTAINERD:
            raise UsageError("Either --adopt or --only containerd.",
                             resolution="Alone, a root of containerd's is copied. To use one that is there, stop the "
                             "engine and containerd, set its root by hand, and start them.")  # fmt: skip
        beside = parse_target(containerd) if containerd else None
        return cls(parse_target(target), beside, only, bwlimit, checksum, accepted, holds, at, longest)


def parse_target(text: str) -> PurePosixPath:
    """The operator's word for the target as a path. Raises UsageError for what cannot be one anywhere."""
    path = parse_path(text, "target", "/mnt/data/docker")
    if path == PurePosixPath("/"):
        raise UsageError("The target must be a directory of its own, not `/`.")
    return path


def parse_path(text: str, what: str, example: str) -> PurePosixPath:
    """A path of the host, for `what`. Raises UsageError for what cannot be one anywhere."""
    shown = text.encode("unicode_escape").decode()
    if not text.startswith("/"):
        raise UsageError(
            f"The {what} must be an absolute path, not `{shown[:80]}`.",
            resolution=f"Name it from the host's root, such as {example}. `~` and variables are for your shell to "
            "replace.",
        )
    if any(map(_is_unfit, text)):
        raise UsageError(
            f"The {what} `{shown}` holds control characters or is not UTF-8.",
            resolution="Name it with characters that can be seen.",
        )
    if len(text.encode()) > LONGEST or any(len(part.encode()) > LONGEST_NAME for part in text.split("/")):
        raise UsageError(
            f"The {what} `{shown[:40]}…` is too long.",
            resolution=f"A name can have {LONGEST_NAME} bytes, and the whole {LONGEST}, for there are names below.",
        )
    path = PurePosixPath("/" + text.strip("/"))
    if str(path) != str(path).rstrip():
        raise UsageError(
            f"The {what} `{shown}` ends with white space.",
            resolution="systemd cannot wait for a disk at such a path; name it without.",
        )
    if ".." in path.parts:
        raise UsageError(f"The {what} `{shown}` goes up with `..`.", resolution="Name it without.")
    return path


def _is_unfit(char: str) -> bool:
    """A control character, the end of a line, half a character, one that turns others around (`LRO`, `RLO` …), or what
    the engine puts in the place of bytes that are no UTF-8: then it is not what was typed."""
    return unicodedata.category(char) in UNFIT or unicodedata.bidirectional(char) in TURNING or char == "\ufffd"

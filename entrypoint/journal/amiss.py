"""What does not stand as it stood before a move, though the engine is up on a complete root."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What it is about, and so how it is looked at again."""

    CONTAINER = "container"
    HEALTH = "health"
    UNIT = "unit"
    HELD = "held"  # something that the engine held and does not hold
    UNPROVEN = "unproven"  # the proof itself did not come to its end, or found the root wanting
    OTHER = "other"


@dataclass(frozen=True)
class Amiss:
    """A sentence for people; `key` is the id of the container, or the name of the unit; `tried`: it was tried to mend
    it."""

    kind: Kind
    text: str
    key: str = ""
    tried: bool = True

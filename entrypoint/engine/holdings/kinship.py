"""How a data root without a record of ours is related to the one in use: of two copies one may be older.

It is a copy of the one in use, or that one of it, if both have a container or a layer in common, whose ids are random;
or the engine's id, where there is no container: hosts that are made from one image have that in common, too. Then two
things are looked at.

own      files of volumes and containers in it whose content and inode were changed last at the same instant, as a write
         does. What was copied was given the time of its content after that: so somebody has worked on it there
since    what was written to the root in use after the last file was made in the other

own   since   it is
no    no      equal
no    yes     older: whoever used it would lose what was written since
yes   no      newer
yes   yes     divided: each has what the other has not
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from entrypoint.engine.drivers import MOVED
from entrypoint.engine.holdings.holdings import Holdings
from entrypoint.engine.holdings.written_since import MEASURING, Written
from entrypoint.host.children import run

SAME = 0.001  # seconds


class Kinship(StrEnum):
    UNRELATED = "unrelated"
    EQUAL = "equal"
    OLDER = "older"
    NEWER = "newer"
    DIVIDED = "divided"


@dataclass(frozen=True)
class Kin:
    """`own` are how many files, `since` is what was written to the root in use; `made` when the last file was made in
    the other, in seconds since 1970."""

    kinship: Kinship
    own: int
    since: tuple[Written, ...]
    made: float


def are_related(one: Path, other: Path, held: Holdings, known: Sequence[str], engine_id: str) -> bool:
    """`held` is in the one; the other is an engine's with this id, and has `known` containers."""
    if {*held.containers} & {*known} or {*_layers(one)} & {*_layers(other)}:
        return True
    return bool(held.engine_id) and held.engine_id == engine_id and not held.containers


def of(related: bool, own: int, since: tuple[Written, ...], lacks: bool, made: float) -> Kin:
    """`lacks`: the engine has containers or volumes that are not in the other root."""
    if not related:
        return Kin(Kinship.UNRELATED, own, since, made)
    if since or lacks:
        return Kin(Kinship.DIVIDED if own else Kinship.OLDER, own, since, made)
    return Kin(Kinship.NEWER if own else Kinship.EQUAL, own, since, made)


def made_at(root: Path) -> float:
    """When the last file was made in a root; where the file system does not note that, when one was last changed."""
    newest = 0.0
    for born, changed in _times([str(root)], "%B@ %C@"):
        newest = max(newest, born or changed)
    return newest


def own_files(root: Path) -> int:
    """How many files of volumes and containers were written there."""
    places = [str(root / "volumes"), *(str(place) for place in _of_containers(root))]
    there = [place for place in places if Path(place).is_dir()]
    return sum(abs(content - inode) < SAME for content, inode in _times(there, "%T@ %C@")) if there else 0


def _times(places: Sequence[str], form: str) -> Iterator[tuple[float, float]]:
    search = ["find", *places, "-xdev", "-type", "f", "-printf", f"{form}\\n"]
    for line in run(search, timeout=MEASURING, check=False).stdout.splitlines():
        first, _, second = line.partition(" ")
        yield _number(first), _number(second)


def _number(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    return 0.0


def _layers(root: Path) -> Iterator[str]:
    for driver in MOVED:
        for place in (root / driver.database).glob("*/cache-id"):
            with suppress(OSError, ValueError):
                yield place.read_text().strip()


def _of_containers(root: Path) -> Iterator[Path]:
    for driver in MOVED:
        for place in (root / driver.mounts).glob("*/mount-id"):
            with suppress(OSError, ValueError):
                yield root / driver.content(place.read_text().strip())

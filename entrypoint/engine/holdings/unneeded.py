"""What a data root keeps that nothing needs, or that grows without an end: images that no container is made of, build
cache, and logs of containers. A move copies it as it copies everything; nothing of it is removed by us.

Sizes are those of `docker system df`: of an image what no other image shares with it, of the build cache what no build
uses, so a removal gives back this much at least.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrypoint.engine.inventory import Container

LOGS = "{id}-json.log*"  # moby daemon/logger/jsonfilelog, with those rotated; the driver `local` has a limit of its own


@dataclass(frozen=True)
class Unneeded:
    """Bytes: of images without a name, of others that no container is made of, of build cache; and of the logs of
    containers, by their names."""

    untagged: int = 0
    unused: int = 0
    cache: int = 0
    logs: Mapping[str, int] = field(default_factory=dict)


def look(root: Path, containers: Iterable[Container], usage: Mapping[str, Any]) -> Unneeded:
    """In a data root (the directory that the engine works in), by what the engine tells of its `usage`."""
    spare = [one for one in usage.get("Images") or () if one.get("Containers") == 0]
    cache = [one for one in usage.get("BuildCache") or () if not (one.get("InUse") or one.get("Shared"))]
    return Unneeded(
        untagged=sum(_own(one) for one in spare if not one.get("RepoTags")),
        unused=sum(_own(one) for one in spare if one.get("RepoTags")),
        cache=sum(one.get("Size", 0) for one in cache),
        logs={one.name: sum(_sizes(root / "containers" / one.id, one.id)) for one in containers},
    )


def _own(image: Mapping[str, Any]) -> int:
    """What no other image has, too; the engine says -1 where it has not counted."""
    return max(0, int(image.get("Size", 0)) - max(0, int(image.get("SharedSize", 0))))


def _sizes(directory: Path, container: str) -> Iterator[int]:
    """Of the log's files, as many of them as are there while we look."""
    for place in directory.glob(LOGS.format(id=container)):
        with suppress(FileNotFoundError):
            yield place.lstat().st_size

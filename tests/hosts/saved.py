"""An image as `docker save` writes it: its configuration, and its files as a container would see them."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True)
class Entry:
    """A name in a layer; `content` only of a regular file."""

    info: tarfile.TarInfo
    content: bytes = b""

    @property
    def mode(self) -> int:
        return self.info.mode


@dataclass(frozen=True)
class Saved:
    """`layers` from the lowest to the highest, each by the names in it, without the leading slash."""

    config: dict[str, Any]
    layers: tuple[dict[str, Entry], ...]

    @cached_property
    def files(self) -> dict[str, Entry]:
        """Every name that is there in the end."""
        found: dict[str, Entry] = {}
        for layer in self.layers:
            for name in [name for name in layer if Path(name).name.startswith(WHITEOUT)]:
                hide(found, name)
            found |= {name: one for name, one in layer.items() if not Path(name).name.startswith(WHITEOUT)}
        return found


def hide(found: dict[str, Entry], mark: str) -> None:
    """Take away what a whiteout of a higher layer says is gone."""
    place = Path(mark)
    gone = place.parent if place.name == OPAQUE else place.with_name(place.name.removeprefix(WHITEOUT))
    for name in [name for name in found if Path(name).is_relative_to(gone)]:
        if place.name != OPAQUE or Path(name) != gone:
            del found[name]


def read(archive: Path) -> Saved:
    with tarfile.open(archive) as saved:
        (manifest,) = json.loads(_bytes(saved, "manifest.json"))
        config = json.loads(_bytes(saved, manifest["Config"]))
        return Saved(config, tuple(_layer(saved, name) for name in manifest["Layers"]))


def _layer(saved: tarfile.TarFile, name: str) -> dict[str, Entry]:
    found = {}
    with _opened(saved, name) as file, tarfile.open(fileobj=file) as layer:
        for info in layer:
            content = layer.extractfile(info) if info.isreg() else None
            found[info.name.removeprefix("./").strip("/")] = Entry(info, content.read() if content else b"")
    return found


def _bytes(saved: tarfile.TarFile, name: str) -> bytes:
    with _opened(saved, name) as file:
        return file.read()


@contextmanager
def _opened(saved: tarfile.TarFile, name: str) -> Iterator[IO[bytes]]:
    file = saved.extractfile(name)
    assert file is not None
    with file:
        yield file

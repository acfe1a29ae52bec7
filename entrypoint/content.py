"""The content of layers, read and compared: with `--checksum`, while the engine runs; nothing looks at them again."""

import os

from entrypoint.comparison import Comparison, require_none
from entrypoint.copied import Copied
from entrypoint.copying import Copier
from entrypoint.errors import CopyError
from entrypoint.interruption import pool
from entrypoint.layers import immutable_layers


def check(copier: Copier, copied: Copied) -> None:
    """Read the layers that were copied, and compare them with the source; one that vanished meanwhile is none."""

    def check_one(place: str) -> None:
        try:
            require_none(Comparison(copier.source, copier.target, content=True).tree(os.fsencode(place)))
        except (CopyError, OSError):
            if place in {layer.place for layer in immutable_layers(copier.source)}:
                raise

    with pool() as threads:
        for check_of_one in [threads.submit(check_one, place) for place in sorted(copied.layers)]:
            check_of_one.result()

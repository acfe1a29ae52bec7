"""The content of layers, read and compared: with `--checksum`, while the engine runs; nothing looks at them again."""

import os

from entrypoint.console.errors import CopyError
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking.comparison import Comparison, require_none
from entrypoint.engine.drivers.layers import immutable_layers


def check(copier: Copier, copied: Copied) -> None:
    """Read the layers that were copied, and compare them with the source; one that vanished meanwhile is none."""

    def check_one(place: str) -> None:
        try:
            require_none(Comparison(copier.source, copier.target, content=True).tree(os.fsencode(place)))
        except (CopyError, OSError):
            if place in {layer.place for layer in immutable_layers(copier.source)}:
                raise

    with copier.programs.signals.pool() as threads:
        for check_of_one in [threads.submit(check_one, place) for place in sorted(copied.layers)]:
            check_of_one.result()

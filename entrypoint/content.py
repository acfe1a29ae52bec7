"""The content of layers, read and compared: with `--checksum`, while the engine runs; nothing looks at them again."""

from entrypoint.comparison import Comparison, require_equal
from entrypoint.copying import Copied, Copier
from entrypoint.errors import CopyError
from entrypoint.interruption import pool
from entrypoint.layers import immutable_layers


def check(copier: Copier, copied: Copied) -> None:
    """Read the layers that were copied, and compare them with the source; one that vanished meanwhile is none."""

    def check_one(place: str) -> None:
        try:
            require_equal(Comparison(copier.source / place, copier.target / place, content=True))
        except (CopyError, OSError):
            if place in {layer.place for layer in immutable_layers(copier.source)}:
                raise

    with pool() as threads:
        for check_of_one in [threads.submit(check_one, place) for place in sorted(copied.layers)]:
            check_of_one.result()

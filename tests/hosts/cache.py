"""What is expensive to make, kept outside the checkout.

    CACHE/KIND/KEY          complete: it was renamed into place
    CACHE/KIND/.KEY.partial being built, or left behind by a build that was killed
    CACHE/KIND/.KEY.lock    shared while KEY is in use, exclusive while it is built or removed

KEY ends with a hash of everything that decides the content, so that nothing ever goes stale.
Lock files stay for good: removing one would let two processes lock two different files.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.hosts.command import remove_tree


def root() -> Path:
    explicit = os.environ.get("RELOCATOR_CACHE")
    if explicit:
        return Path(explicit).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "relocator"


def digest(*parts: str | bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        # With its length in front of each part, ("ab", "c") and ("a", "bc") differ.
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


@contextmanager
def lock(path: Path, operation: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, operation)
        yield


@contextmanager
def entry(kind: str, key: str, build: Callable[[Path], None], keep: int = 3) -> Iterator[Path]:
    """The path of KEY, made by `build` if need be, and safe from removal while in the block."""
    final = root() / kind / key
    while True:
        with lock(lock_of(final), fcntl.LOCK_SH):
            if final.exists():
                os.utime(final)
                yield final
                return
        _make(final, build)
        _prune(final, keep)


def lock_of(final: Path) -> Path:
    return final.with_name(f".{final.name}.lock")


def _make(final: Path, build: Callable[[Path], None]) -> None:
    partial = final.with_name(f".{final.name}.partial")
    with lock(lock_of(final), fcntl.LOCK_EX):
        if final.exists():
            return
        remove_tree(partial)
        build(partial)
        os.utime(partial)  # a directory keeps the time of what it was made from, and would be the first to be pruned
        partial.rename(final)


def _prune(final: Path, keep: int) -> None:
    """Of a kind and, where the key begins with a suite's name, of that suite."""
    family = final.name.rpartition("-")[0]
    entries = [path for path in final.parent.iterdir() if not path.name.startswith(".")]
    entries = [path for path in entries if path.name.rpartition("-")[0] == family]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    _remove(entries[keep:])


def clear(kind: str) -> None:
    """Everything of the kind that nobody is using."""
    _remove([path for path in (root() / kind).glob("*") if not path.name.startswith(".")])


def _remove(entries: list[Path]) -> None:
    for path in entries:
        with suppress(BlockingIOError), lock(lock_of(path), fcntl.LOCK_EX | fcntl.LOCK_NB):
            remove_tree(path)

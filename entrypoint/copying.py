"""Making the target hold what the source holds: layers once, the rest in passes, and a last pass that misses nothing.

pre-copy    engine up     each immutable layer once, several at a time; then passes over everything else, until a
                          pass has little to send or does not shrink any more
final sync  engine down   what the layer database says now; files changed since the last pass began are copied
                          whatever their size and times say
"""

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from entrypoint import rsync, unfinished, wording
from entrypoint.comparison import is_equal
from entrypoint.errors import CopyError
from entrypoint.filesystem import flush
from entrypoint.host import polite_command, run
from entrypoint.layers import DRIVER, Layer, immutable_layers
from entrypoint.log import log
from entrypoint.trace import trace
from entrypoint.unfinished import Unfinished, this_boot

# Remade or emptied by dockerd at each start (moby daemon.go, runtime_unix.go, internal/quota/projectquota.go); what is
# mounted at `merged` is the containers' view of the layers, not data.
NEVER_COPIED = (
    "/tmp",  # noqa: S108 - a name in the data root
    "/runtimes",
    f"/{DRIVER}/*/merged",
    f"/{DRIVER}/backingFsBlockDev",
    "/volumes/backingFsBlockDev",
    "/lost+found",
    f"/{unfinished.NAME}",  # the copy's own record, until an engine starts on it
)

# Stop rules of the pre-copy: the next pass would find little, this one found no less than the one before, or enough
# is enough. What one pass sends is about what the next will find, and the last is done with the engine down.
SMALL_ENOUGH = 16 * 1024 * 1024
SHRINKS_BY = 0.8
MOST_PASSES = 6

# A power cut during a copy of hours must not cost all of it.
FLUSH_EVERY = 30.0  # seconds

# A file written in the same clock tick in which a pass read it keeps its size and time. File systems take times from
# the kernel's coarse clock (a tick is at most 10 ms), ext3 whole seconds.
RACY = 2.0


@dataclass(frozen=True)
class Copied:
    """What the pre-copy achieved: layers that need not be looked at again, and since when to look at the rest.

    `since` is the wall clock when the last pass began, `monotonic` the same instant on the clock nobody sets; `target`
    is the device and inode of the directory the copy is in.
    """

    layers: frozenset[str]
    since: float
    monotonic: float
    target: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"layers": sorted(self.layers)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Copied":
        device, inode = stored["target"]
        return cls(frozenset(stored["layers"]), stored["since"], stored["monotonic"], (device, inode))

    def racy_since(self) -> float:
        """Files changed after this instant (seconds since 1970) are copied again; all, if the clock was set."""
        drift = (time.time() - self.since) - (time.monotonic() - self.monotonic)
        return self.since - RACY if abs(drift) < RACY / 2 else 0.0


@dataclass(frozen=True)
class Copier:
    """Source and target data root, as seen from here."""

    source: Path
    target: Path
    same_file_system: bool
    bwlimit: str = ""

    def pre_copy(self, record: Unfinished) -> Copied:
        """Copy all that can be copied with the engine up, and flush it to disk.

        `record` tells what an earlier attempt has left in the target; it is kept up to date.
        """
        trusted = record.passed or record.is_of_this_boot
        layers = self._copy_layers(immutable_layers(self.source), record)
        record = replace(record, boot=this_boot(), passed=False).with_layers(layers)
        record.write(self.target)
        trace("pre-copy.layers")
        copied = self._passes(layers, trusted)
        flush(self.target)
        replace(record, passed=True).write(self.target)
        trace("pre-copy.passed")
        return replace(copied, target=identity(self.target))

    def require_target(self, copied: Copied) -> None:
        """Raises CopyError if the copy is not where it was made, or has lost a layer that is not looked at again."""
        if not self.target.is_dir() or identity(self.target) != copied.target:
            raise CopyError(
                "The target is not the directory that was copied to.",
                details="Its disk was unmounted, or something else was mounted over it.",
            )
        lost = [
            layer
            for layer in self.trusted_layers(copied.layers)
            if not (self.target / DRIVER / layer / "diff").is_dir()
        ]
        if lost:
            raise CopyError("Layers are missing from the copy.", details=", ".join(lost[:5]))

    def final_sync(self, copied: Copied) -> None:
        """Copy what can have changed since, with the engine down, and flush it to disk."""
        began = time.monotonic()
        stats = self._pass(copied, live=False)
        log.info("final_sync.sent", **_told(stats, began))
        trace("final sync.copied")
        flush(self.target)

    def excludes(self, copied_layers: Iterable[str]) -> tuple[str, ...]:
        """What a pass leaves alone: layers that were copied and that the database still names.

        A layer that has vanished is not among them, so that the pass deletes it.
        """
        trusted = self.trusted_layers(copied_layers)
        return NEVER_COPIED + tuple(f"/{DRIVER}/{cache_id}/diff" for cache_id in trusted)

    def trusted_layers(self, copied_layers: Iterable[str]) -> list[str]:
        """The layers that were copied and that the database still names."""
        listed = {layer.cache_id for layer in immutable_layers(self.source)}
        return sorted(listed & set(copied_layers))

    def _copy_layers(self, layers: frozenset[Layer], record: Unfinished) -> frozenset[str]:
        """Copy layers, the largest first, so that no long one is left for the end, and flush them now and then."""
        (self.target / DRIVER).mkdir(mode=0o710, exist_ok=True)
        there = frozenset(layer for layer in layers if self._is_there(layer, record))
        ordered = sorted(layers - there, key=lambda layer: layer.size, reverse=True)
        done = {layer.cache_id for layer in there}
        flushed = time.monotonic()
        with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
            for cache_id in pool.map(self._copy_layer, ordered):
                done |= {cache_id} if cache_id else set()
                if time.monotonic() - flushed > FLUSH_EVERY:
                    flush(self.target)
                    record.with_layers(frozenset(done)).write(self.target)
                    flushed = time.monotonic()
        flush(self.target)
        how = "linked" if self.same_file_system else "copied"
        size = wording.size(sum(one.size for one in ordered))
        log.info("layers.copied", layers=len(ordered), how=how, size=size, there=len(there))
        return frozenset(done)

    def _is_there(self, layer: Layer, record: Unfinished) -> bool:
        """Whether an earlier attempt has copied a layer whole; its attributes are compared again at the end."""
        if not (self.target / layer.diff).is_dir():
            return False
        if layer.cache_id in record.layers:
            return True
        return record.is_of_this_boot and is_equal(self.source / layer.diff, self.target / layer.diff)

    def _copy_layer(self, layer: Layer) -> str | None:
        """Copy one layer's `diff`; nothing if it vanished meanwhile."""
        place = self.target / layer.diff
        place.parent.mkdir(mode=0o700, exist_ok=True)
        result = run(polite_command(layer_command(self.source / layer.diff, place, self.same_file_system)),
                     timeout=None, check=False)  # fmt: skip
        if result.code == 0:
            return layer.cache_id
        if layer not in immutable_layers(self.source):
            return None
        raise rsync.copy_failed(f"Layer {layer.cache_id} cannot be copied.", result)

    def _passes(self, layers: frozenset[str], trusted: bool) -> Copied:
        """Repeat passes until a stop rule holds; the first copies everything anew if what is there is not trusted."""
        before: int | None = None
        copied: Copied | None = None
        partial = ""
        for number in range(1, MOST_PASSES + 1):
            began = Copied(layers, time.time(), time.monotonic())
            stats = self._pass(copied, live=True) if copied else self._first_pass(layers, trusted)
            copied = began
            log.info("pass.finished", number=number, **_told(stats, began.monotonic))
            if number > 1 and is_enough(stats.size, before) and not stats.partial:
                return copied
            before, partial = stats.size, stats.partial
        if partial:
            raise CopyError("Not every file can be copied.", details=partial[-2000:])
        assert copied is not None
        return copied

    def _first_pass(self, layers: frozenset[str], trusted: bool) -> rsync.TransferStats:
        excludes = self.excludes(layers)
        command = rsync.pass_command(self.source, self.target, excludes, bwlimit=self.bwlimit, anew=not trusted)
        return rsync.copy(command, live=True)

    def _pass(self, copied: Copied, *, live: bool) -> rsync.TransferStats:
        """Make the target equal to the source again, whatever happened since the pass before this one began.

        First the files that have changed since, by their ctime, which nobody can set back: size and mtime can be as
        they were. Then everything else, by its attributes; last, because only that sets the times of directories.
        """
        excludes, bwlimit = self.excludes(copied.layers), self.bwlimit if live else ""
        changed = self._changed_since(copied.racy_since(), excludes, live=live)
        forced = rsync.copy(rsync.forced_command(self.source, self.target, live=live), changed, live=live)
        command = rsync.pass_command(self.source, self.target, excludes, bwlimit=bwlimit)
        return forced + rsync.copy(command, live=live)

    def _changed_since(self, instant: float, excludes: Iterable[str], *, live: bool) -> bytes:
        """The names of regular files whose inode changed after `instant`, each ended by a zero byte.

        While the engine runs find ends with an error when a file goes before it has looked at it; one that it misses
        for that is looked at again with the engine down.
        """
        result = run(changed_command(self.source, instant, excludes), timeout=None, check=not live)
        return result.stdout.encode("utf-8", "surrogateescape")


def identity(place: Path) -> tuple[int, int]:
    info = place.stat()
    return info.st_dev, info.st_ino


def is_enough(sent: int, before: int | None) -> bool:
    """Whether another live pass would not pay; `before` is what the pass before this one sent."""
    return sent <= SMALL_ENOUGH or (before is not None and sent > before * SHRINKS_BY)


def layer_command(source: Path, target: Path, link: bool) -> list[str]:
    """The argv that copies one layer with everything it holds, or hard-links its files on the same file system.

    `--remove-destination`, because an interrupted copy may have left half a file.
    """
    how = ["--link"] if link else ["--reflink=auto"]
    return ["cp", "-a", "--one-file-system", "--remove-destination", *how, "-T", "--", str(source), str(target)]


def changed_command(source: Path, instant: float, excludes: Iterable[str]) -> list[str]:
    """The argv that lists, relative to `source`, regular files with a ctime after `instant`, outside `excludes`."""
    pruned = [word for pattern in excludes for word in (*_path_test(source, pattern), "-o")][:-1]
    return [
        *("find", str(source), "-xdev"),
        *("(", *pruned, ")", "-prune", "-o"),
        # "./" because rsync takes a name that begins with "#" or ";" for a comment
        *("-type", "f", "-newerct", f"@{instant:.6f}", "-printf", "./%P\\0"),
    ]


def _path_test(source: Path, pattern: str) -> tuple[str, ...]:
    """find's test for one rsync pattern: `*` is one name there, and any number of names in -path."""
    place = f"{_literal(source)}{pattern}"
    deeper = f"{_literal(source)}{pattern.replace('*', '*/*')}"
    return ("-path", place, "!", "-path", deeper) if "*" in pattern else ("-path", place)


def _literal(path: Path) -> str:
    """A path in which find's -path takes no character for a wildcard."""
    return "".join(f"\\{char}" if char in "\\*?[" else char for char in str(path))


def _told(stats: rsync.TransferStats, began: float) -> dict[str, object]:
    seconds = round(time.monotonic() - began, 3)
    return {"size": wording.size(stats.size), "files": stats.files, "seconds": seconds}


def remove_copy(target: Path) -> None:
    """Remove what was copied into a target that was empty before; the directory itself and lost+found stay."""
    for entry in sorted(os.scandir(target), key=lambda entry: entry.name):
        if entry.name == "lost+found":
            continue
        result = run(["rm", "-rf", "--one-file-system", "--", entry.path], timeout=None, check=False)
        if result.code:
            raise CopyError(f"The unfinished copy {entry.path} cannot be removed.", details=result.stderr[-1000:])

"""The first copy of everything, with the engine running: layers and shards, several at a time, the largest first.

A shard that is finished is written down after it was flushed, and not copied again by a later attempt: also one of
which something could not be copied, for each attempt compares all shards, and copies what is missing. A layer is
compared as soon as it is copied, while others are waited for: it is not looked at again.
"""

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from entrypoint.console.errors import CopyError, FullError, RelocatorError
from entrypoint.console.events import log
from entrypoint.console.progress import Progress, doing, progress
from entrypoint.console.wording import size as in_words
from entrypoint.copy import cp
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking.changes import Change, Look
from entrypoint.copy.looking.comparison import Comparison, Difference, require_none
from entrypoint.copy.looking.left_out import LeftOut
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.looking.shards import Shard, Shards
from entrypoint.copy.transfer import Transfer
from entrypoint.engine.drivers.layers import Layer, immutable_layers
from entrypoint.host.confined.beneath import CHANGED, join
from entrypoint.host.confined.confinement import Roots
from entrypoint.host.confined.entries import made, unlink
from entrypoint.host.confined.tree import Tree
from entrypoint.host.disks.filesystem import flush
from entrypoint.journal.unfinished import Unfinished

# A power cut during a copy of hours must not cost all of it; and what is flushed as it goes is not in the way later.
FLUSH_EVERY = 30.0  # seconds
TICK = 0.5  # seconds between two looks at the progress


@dataclass
class Bulk:
    """One bulk copy. `excludes` are the layers' content and what is never copied.

    `one_mount` are the roots as they are reached through a mount that has both, if they are to be linked: no link can
    be made between two mounts.
    """

    source: Path
    target: Path
    one_mount: Roots | None
    record: Unfinished
    layers: frozenset[Layer]
    excludes: tuple[str, ...]
    found: Shards
    programs: Programs
    workers: int = field(default_factory=lambda: min(8, 2 * (os.cpu_count() or 1)))
    _layers: set[str] = field(default_factory=set)
    _shards: set[str] = field(default_factory=set)

    def copy(self) -> Unfinished:
        """Copy what is not there yet, and flush it; returns what is there then."""
        there = frozenset(layer for layer in self.layers if self._is_there(layer))
        missing = self.layers - there
        rest = [shard for shard in self.found.shards if shard.key not in self.record.shards]
        size = self.found.loose.size + sum(layer.size for layer in missing) + sum(shard.size for shard in rest)
        count = self.found.loose.count + sum(shard.count for shard in rest)
        tree = Tree(self.target)
        for folder in self.found.cut:
            make(tree, folder)
        with progress(self.target, size, count, *self._earlier(there)) as told, self._noted():
            self._run([*self._jobs(missing, there, rest)], told)
            doing("flushing what was copied")
            self._finish()
            self.flush()
        self._tell(missing, there, rest)
        return self.record

    def _earlier(self, there: Iterable[Layer]) -> tuple[int, int]:
        """Bytes and entries that an earlier attempt has copied."""
        done = [shard for shard in self.found.shards if shard.key in self.record.shards]
        size = sum(layer.size for layer in there) + sum(shard.size for shard in done)
        return size, sum(shard.count for shard in done)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """If the block fails, what was finished until then is written down, for the next attempt to go on with."""
        try:
            yield
        except FullError:  # the target is emptied
            raise
        except (RelocatorError, OSError):
            with suppress(RelocatorError, OSError):  # what has failed first is what is told
                self.flush()
            raise

    def flush(self) -> None:
        """Flush what is copied, and then write it down."""
        layers, finished = frozenset(self._layers), frozenset(self._shards)
        flush(self.target, self.programs.signals.children)
        self.record = self.record.with_layers(layers).with_shards(finished)
        self.record.write(self.target)

    def _jobs(
        self, missing: Iterable[Layer], there: Iterable[Layer], rest: Iterable[Shard]
    ) -> Iterator[Callable[[], int]]:
        """The largest first, so that no long one is left for the end."""
        yield self._copy_loose
        yield from (partial(self._check_layer, layer) for layer in there)
        jobs = [(layer.size, partial(self._copy_layer, layer)) for layer in missing]
        jobs += [(shard.size, partial(self._copy_shard, shard)) for shard in rest]
        yield from (job for _, job in sorted(jobs, key=lambda one: one[0], reverse=True))

    def _run(self, jobs: Iterable[Callable[[], int]], told: Progress) -> None:
        """Do all; flush and tell now and then. The first that fails ends the rest."""
        flushed = time.monotonic()
        with self.programs.signals.pool(self.workers) as threads:
            todo: set[Future[int]] = {threads.submit(job) for job in jobs}
            while todo:
                self.programs.signals.check()
                done, todo = wait(todo, TICK, FIRST_COMPLETED)
                told.done(sum(job.result() for job in done))
                told.tell()
                if time.monotonic() - flushed > FLUSH_EVERY:
                    self.flush()
                    flushed = time.monotonic()

    def _is_there(self, layer: Layer) -> bool:
        """Whether an earlier attempt has copied a layer whole; its attributes are compared again at the end."""
        if not (self.target / layer.place).is_dir():
            return False
        if layer.place in self.record.layers:
            return True
        return self.record.is_of_this_boot and next(self._differences(layer), None) is None

    def _copy_layer(self, layer: Layer) -> int:
        """One layer's content."""
        tree, name = Tree(self.target), os.fsencode(layer.place)
        for depth in range(1, name.count(b"/") + 2):
            make(tree, b"/".join(name.split(b"/")[:depth]))
        with self._may_vanish(layer):
            if self.one_mount is None:
                self.programs.copy_layer(self.source, self.target, layer.place)
            elif said := self.programs.link(self.one_mount, [name]):
                raise cp.failed(f"Layer {layer.place} cannot be linked.", said)
        return self._check_layer(layer)

    def _check_layer(self, layer: Layer) -> int:
        """Nothing looks at it again, so the copy is compared now."""
        with self._may_vanish(layer):
            require_none(self._differences(layer))
            self._layers.add(layer.place)
        return 0

    def _differences(self, layer: Layer) -> Iterator[Difference]:
        linked = self.one_mount is not None
        return Comparison(self.source, self.target, linked=linked).tree(os.fsencode(layer.place))

    @contextmanager
    def _may_vanish(self, layer: Layer) -> Iterator[None]:
        """Nothing is wrong with a layer that is gone meanwhile: its name goes first, then its files."""
        try:
            yield
        except (CopyError, OSError):
            if layer in immutable_layers(self.source):
                raise

    def _copy_shard(self, shard: Shard) -> int:
        """What could not be copied is found by the passes after this, or by the comparison at their end."""
        self.programs.copy("trees", self.source, self.target, shard.places)
        self._shards.add(shard.key)
        return shard.count

    def _copy_loose(self) -> int:
        """The files directly in the directories that are cut."""
        self._transfer(self._loose(self.found.cut))
        return self.found.loose.count

    def _finish(self) -> None:
        """What nothing may be written into any more: files with names in several shards, and the cut directories."""
        scattered = self.found.scattered
        look = self._look()
        self._transfer(look.names_of(scattered) if scattered else (), self.found.cut)

    def _transfer(self, changes: Iterable[Change], folders: Iterable[bytes] = ()) -> None:
        transfer = Transfer(self.source, self.target, LeftOut(self.excludes), True, self.programs)
        transfer.apply(changes, self._look(), folders)

    def _look(self) -> Look:
        return Look(self.source, 0.0, self.excludes, Places(), live=True, namespace=self.programs.namespace,
                    children=self.programs.signals.children)  # fmt: skip

    def _loose(self, folders: Iterable[bytes]) -> Iterator[Change]:
        left_out, tree = LeftOut(self.excludes), Tree(self.source)
        for folder in folders:
            try:
                names = tree.names(folder)
            except OSError as error:
                if error.errno not in CHANGED:
                    raise
                continue
            for name in (join(folder, last) for last in names):
                status = tree.found(name)
                if status and not stat.S_ISDIR(status.st_mode) and name not in left_out:
                    yield Change(b"-", status.st_ino, status.st_nlink, 512 * status.st_blocks, name)

    def _tell(self, layers: Collection[Layer], there: frozenset[Layer], rest: list[Shard]) -> None:
        how = "linked" if self.one_mount else "copied"
        size = in_words(sum(one.size for one in layers))
        log.info("layers.copied", layers=len(layers), how=how, size=size, there=len(there))
        log.info("layers.checked", layers=len(self._layers))
        log.info("shards.copied", shards=len(rest), size=in_words(sum(one.size for one in rest)))


def make(tree: Tree, name: bytes) -> None:
    """A directory of the target, for nobody to look into until it is dressed; what it is in is there."""
    if name and not tree.has_directory(name):
        with tree.above(name) as (folder, last):
            if tree.found(name) is not None:
                unlink(folder, last)
            made(folder, last, lambda: os.mkdir(last, 0o700, dir_fd=folder))

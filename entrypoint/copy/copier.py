"""Making the target hold what the source holds: everything once, what changes in passes, and a last pass.

pre-copy    engine up     layers and everything else once, in shards, several at a time (bulk.py); then passes over what
                          has changed meanwhile, until a pass has little to send or does not shrink any more; then
                          everything but the layers is compared
final sync  engine down   what can have changed since the last pass began, and what the layer database says now
check       engine down   the same places are looked for anew, and compared
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from entrypoint.console import wording
from entrypoint.console.errors import CopyError
from entrypoint.console.events import log
from entrypoint.console.progress import doing
from entrypoint.copy import cp
from entrypoint.copy.bulk import Bulk
from entrypoint.copy.confirmation import Confirmation
from entrypoint.copy.copied import Copied
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking import choice
from entrypoint.copy.looking.changes import Look
from entrypoint.copy.looking.comparison import OWN_FILE_SYSTEM, Comparison, Difference, require_none
from entrypoint.copy.looking.left_out import LeftOut, covered_now, left_out
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.looking.shards import cut
from entrypoint.copy.pace.throttle import Pace, Throttle, throttled
from entrypoint.copy.pace.warming import warm
from entrypoint.copy.size_limits import limits
from entrypoint.copy.transfer import Sent, Transfer
from entrypoint.engine.drivers.layers import immutable_layers
from entrypoint.host.children import Children
from entrypoint.host.confined.confinement import Roots, confined
from entrypoint.host.disks.filesystem import flush, mounts
from entrypoint.host.host import Trace, untraced
from entrypoint.journal.unfinished import INDEX, PLACES, Unfinished, this_boot

# Stop rules of the pre-copy: the next pass would find little, this one found no less than the one before, or enough
# is enough. What one pass sends is about what the next will find, and the last is done with the engine down.
SMALL_ENOUGH = 16 * 1024 * 1024
SHRINKS_BY = 0.8
MOST_PASSES = 6


@dataclass(frozen=True)
class Copier:
    """Source and target data root, as seen from here; `path` is the source's on the host, if it has another there.

    `pace` says how fast it may be, each time it is asked. `programs` are those that copy; their signals are those of
    this process. `trace` is told of each instant that has a name.
    """

    source: Path
    target: Path
    same_file_system: bool
    pace: Callable[[], Pace] = Pace
    path: PurePosixPath | None = None
    one_mount: Roots | None = None
    programs: Programs = field(default_factory=Programs, compare=False)
    trace: Trace = untraced

    def pre_copy(self, record: Unfinished) -> Copied:
        """Copy all that can be copied with the engine up, at its `pace`, and flush it to disk.

        `record` tells what an earlier attempt has left in the target; it is kept up to date.
        """
        if not self.source.is_dir():
            raise CopyError("The data root cannot be read.", details=str(self.path or self.source))
        with self._throttled() as inside:
            return inside._pre_copy(record)

    @contextmanager
    def confined(self, throttle: Throttle | None = None) -> Iterator["Copier"]:
        """The same, with nothing in reach but source and target; as they are, they can be linked."""
        with confined(self.source, self.target) as roots:
            one_mount = Roots(self.source, self.target) if self.same_file_system else None
            path = self.path or PurePosixPath(self.source)
            programs = Programs(self.programs.signals, roots.namespace, throttle)
            try:
                yield replace(self, source=roots.source, target=roots.target, path=path, one_mount=one_mount,
                              programs=programs)  # fmt: skip
            finally:
                programs.end()

    @contextmanager
    def _throttled(self) -> Iterator["Copier"]:
        """Confined, and at the pace that is asked for."""
        with throttled(self.pace, self._children) as throttle, self.confined(throttle) as inside:
            yield inside

    @property
    def _children(self) -> Children:
        return self.programs.signals.children

    def _pre_copy(self, record: Unfinished) -> Copied:
        began = self.noting_mounts(Copied(frozenset(), 0.0, 0.0).begin_again())
        self.clean_source()
        layers = immutable_layers(self.source)
        excludes = left_out((layer.place for layer in layers), began.covered)
        found = cut(self.source, excludes, (*began.covered, *(layer.place for layer in layers)),
                    self.programs.namespace)  # fmt: skip
        if record.shards and record.clock_was_set:
            log.warning("clock.set")
            record = replace(record, shards=())
        if record.shards:  # then what has changed since is looked for from where that attempt began
            began, places = began.back_to(record.since), Places.read(self.target / PLACES)
        else:
            places = found.places
            places.write(self.target / PLACES)
            record = replace(record, since=began.since, clock=began.clock)
        record.write(self.target)
        with limits(self.source, self.target, began.covered) as kept:
            kept.begin()
        record = Bulk(self.source, self.target, self.one_mount, record, layers, excludes, found, self.programs).copy()
        self.trace("pre-copy.layers")
        copied_layers = frozenset(record.layers) & {layer.place for layer in layers}
        copied = self.passes(replace(began, layers=copied_layers), places)
        doing("flushing what was copied")
        flush(self.target)
        warm(self.target)
        replace(record, boot=this_boot(), since=copied.since, clock=copied.clock).write(self.target)
        self.trace("pre-copy.passed")
        return replace(copied, target=identity(self.target))

    def again(self, copied: Copied) -> Copied:
        """Look at everything but the layers once more, with the engine up: the clock was set, and hides changes."""
        return self.onward(replace(copied, since=0.0))

    def onward(self, copied: Copied) -> Copied:
        """Copy what has changed since, with the engine up, at its `pace`, compare it, and flush it to disk.

        Raises CopyError where the copy is not there any more: what is below its disk's place is the host's own disk.
        """
        with self._throttled() as inside:
            inside.require_target(copied)
            found = inside.passes(copied, Places.read(inside.target / PLACES))
            flush(inside.target)
            return found

    def clean_source(self) -> None:
        """Write the source's dirty pages to its disk; before anything is read, and after the instant was noted.

        A program that writes to a mapped page gives the file a new ctime only when the page was clean: the kernel sees
        the first write after each writeback, and none that follows (mm/memory.c, do_page_mkwrite). Without this, what
        was written to a page that was dirty when a pass read it could not be found by the next.
        """
        flush(self.source)

    def require_target(self, copied: Copied) -> None:
        """Raises CopyError if the copy is not where it was made, or has lost a layer that is not looked at again."""
        if not self.target.is_dir() or identity(self.target) != copied.target:
            raise CopyError(
                "The target is not the directory that was copied to.",
                details="Its disk was unmounted, or something else was mounted over it.",
            )
        lost = [layer for layer in self.trusted_layers(copied.layers) if not (self.target / layer).is_dir()]
        if lost:
            raise CopyError("Layers are missing from the copy.", details=", ".join(lost[:5]))

    def final_sync(self, copied: Copied) -> None:
        """Copy what can have changed since, with the engine down, and flush it to disk."""
        with self.confined() as inside:
            inside._final_sync(copied)

    def _final_sync(self, copied: Copied) -> None:
        began = time.monotonic()
        look = self.last_look(copied)
        with limits(self.source, self.target) as kept:
            kept.prepare()
            sent = self.transfer(look)
            self._transfer_of(look).link_again(copied.linked, look)
            kept.finish()
        log.info("final_sync.sent", **_told(sent, began))
        self.trace("final sync.copied")
        flush(self.target)

    def check(self, copied: Copied, *, content: bool = False) -> int:
        """Compare what can have changed since with the copy; returns how many entries that were.

        Everything else was compared while the engine ran, and its inodes say that it has not changed. Raises
        CopyError.
        """
        with self.confined() as inside:
            return inside._check(copied, content=content)

    def _check(self, copied: Copied, *, content: bool) -> int:
        comparison = Comparison(self.source, self.target, self.excludes(copied.layers), content=content)
        whole = content or not copied.racy_since()
        found = (
            comparison.differences() if whole else choice.looked_at(self.last_look(copied), comparison, copied.linked)
        )
        require_none(chain(self._mounted(), found))
        return comparison.entries

    def _mounted(self) -> Iterator[Difference]:
        """What is mounted below the source with the engine down: it was not seen, and is nobody's view of layers."""
        for name in covered_now(self.path or PurePosixPath(self.source), mounts()):
            yield Difference(os.fsencode(name), OWN_FILE_SYSTEM)

    def excludes(self, copied_layers: Iterable[str], covered: Iterable[str] = ()) -> tuple[str, ...]:
        """What a pass leaves alone: what is `covered`, and layers that were copied and that the database still names.

        A layer that has vanished is not among them, so that the pass deletes it.
        """
        return left_out(self.trusted_layers(copied_layers), covered)

    def trusted_layers(self, copied_layers: Iterable[str]) -> list[str]:
        """The layers that were copied and that the database still names."""
        listed = {layer.place for layer in immutable_layers(self.source)}
        return sorted(listed & set(copied_layers))

    def passes(self, copied: Copied, places: Places) -> Copied:
        """Repeat passes until a stop rule holds, and compare what they have made equal; returns where the last began.

        A pass that could not copy a file has not made the target equal; the next looks as far back as it did.
        """
        before: int | None = None
        partial = ""
        for number in range(1, MOST_PASSES + 1):
            doing("looking for what has changed meanwhile")
            copied = self.noting_mounts(copied)
            began = copied.begin_again()
            self.clean_source()
            look = self.look(copied, places, live=True)
            with limits(self.source, self.target, copied.covered) as kept:
                kept.prepare()
            sent = self.transfer(look)
            log.info("pass.finished", number=number, **_told(sent, began.monotonic))
            partial = sent.partial
            if not partial:
                copied, places = replace(began, sent=sent.size, files=sent.files), Places.of(look.seen)
                if is_enough(sent.size, before):
                    break
            before = sent.size
        if partial:
            raise cp.failed("Not every file can be copied.", partial)
        copied = self.noting_mounts(copied)  # and they are kept: what the comparison leaves out is in no index
        (self.target / INDEX).unlink(missing_ok=True)  # that of another pass, beside these places, would hide changes
        places.write(self.target / PLACES)
        doing("comparing the copy with the source")
        look = self.look(copied, places, live=True)
        draft = choice.draft_for(self.source, self.programs.namespace)
        found = Confirmation(self.source, self.target, look, self.programs, draft).confirm()
        found.places.write(self.target / PLACES)
        choice.keep(draft, self.source, self.target / INDEX, copied.since, found.places)
        return replace(self.noting_mounts(copied), doubtful=found.doubtful, linked=found.linked)

    def noting_mounts(self, copied: Copied) -> Copied:
        """The same, with the places on which something is mounted now.

        What is mounted on one that was not noted yet, and is on the same file system, a copy has taken for the root's
        own. The last pass, with nothing mounted, removes that again.
        """
        now = covered_now(self.path or PurePosixPath(self.source), mounts())
        return replace(copied, covered=tuple(sorted({*copied.covered, *now})))

    def look(self, copied: Copied, places: Places, *, live: bool) -> Look:
        """A walk over what can have changed since a pass began that left the directories at these places."""
        excludes = self.excludes(copied.layers, copied.covered if live else ())
        unseen = () if live else (*copied.covered, *copied.doubtful)
        return Look(self.source, copied.racy_since(), excludes, places, live, unseen, self.programs.namespace,
                    self._children)  # fmt: skip

    def last_look(self, copied: Copied) -> Look:
        """The same with the engine down, by whatever takes less time; anew each time."""
        walk = self.look(copied, Places.read(self.target / PLACES), live=False)
        unlisted = copied.layers - {*self.trusted_layers(copied.layers)}
        return choice.chosen(walk, self.target / INDEX, copied.since, unlisted)

    def transfer(self, look: Look) -> Sent:
        """Make the target equal to the source where it has changed; the root itself holds our own record."""
        transfer = self._transfer_of(look)
        sent = transfer.apply(look.changes(), look, folders=[b""])
        return transfer.apply(look.uncovered(), look) if look.covered else sent

    def _transfer_of(self, look: Look) -> Transfer:
        return Transfer(self.source, self.target, LeftOut(look.excludes), look.live, self.programs)


def identity(place: Path) -> tuple[int, int]:
    info = place.stat()
    return info.st_dev, info.st_ino


def is_enough(sent: int, before: int | None) -> bool:
    """Whether another live pass would not pay; `before` is what the pass before this one sent."""
    return sent <= SMALL_ENOUGH or (before is not None and sent > before * SHRINKS_BY)


def _told(stats: Sent, began: float) -> dict[str, object]:
    seconds = round(time.monotonic() - began, 3)
    return {"size": wording.size(stats.size), "files": stats.files, "seconds": seconds}

"""Comparing the copy while the engine runs: which directories were seen to be equal, and what has yet to be looked at.

A directory that somebody exchanges with another one, or with a link, is now at its place and now is not: what is in it
may have been copied half, or compared never, and nothing of it has a new ctime, for only the directory that was renamed
gets one. So only what was opened here and found equal is noted as known for the last look, and what was copied anew is
opened again: at a place where one directory was equal, the copy may by then be that of another. Where a directory could
not be opened, or differs though what differs has not changed, all is looked at anew once nothing changes any more: the
place is *doubtful*. Nor is one known that the last pass has not found there: two directories may be equal in all that
is compared, and hold other content. Who renames his directories all the time makes that longer, and nothing worse.

A file of several names is the same: where one of them was compared by itself, or copied anew, the others may have been
elsewhere just then. They are made names of one file once more at the end, wherever they are by then.
"""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from entrypoint.console.events import log
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking.changes import EVERY, Look, parent
from entrypoint.copy.looking.comparison import OWN_FILE_SYSTEM, Comparison, Difference, require_none
from entrypoint.copy.looking.index import Draft
from entrypoint.copy.looking.left_out import LeftOut
from entrypoint.copy.looking.marks import Marks, Places
from entrypoint.copy.transfer import Transfer
from entrypoint.host.confined.beneath import join
from entrypoint.host.confined.entries import TO_LOOK, TO_READ
from entrypoint.host.confined.tree import Names, Tree

DEEPEST = 6  # names; a doubt about what is deeper is one about what is above it, so that there are not too many
MOST_LINKED = 100_000  # files; if there are more, all that have several names are looked at
MOST = 1000  # places; more are put together to those of a volume or a layer, which have three names
OWNER = 3


@dataclass(frozen=True)
class Confirmed:
    """The places that are known, those that are doubtful, and the inodes of files whose names are to be made one."""

    places: Places
    doubtful: tuple[str, ...]
    linked: tuple[int, ...]


@dataclass
class Confirmation:
    """One comparison of everything outside the look's `excludes`; what is seen is noted in the `draft` of an index, if
    there is one. Raises CopyError for what cannot be copied."""

    source: Path
    target: Path
    look: Look
    programs: Programs
    draft: Draft | None = None
    _doubts: set[bytes] = field(default_factory=set)

    def confirm(self) -> Confirmed:
        """Compare, and copy once more what differs."""
        compared = self._comparison()
        kept = Names()
        numbers = dict.fromkeys(kept.put(difference.name) for difference in compared.differences() if difference.name)
        if self.programs.namespace is not None:  # no mount is seen there: it is a subvolume, made since the preflight
            require_none(Difference(name, OWN_FILE_SYSTEM) for name in compared.apart)
        log.info("rest.compared", entries=compared.entries, again=len(numbers))
        transfer = Transfer(self.source, self.target, LeftOut(self.look.excludes), True, self.programs)
        said = transfer.apply_names(map(kept.name, numbers), self.look).partial if numbers else ""
        dressed = {*map(kept.put, transfer.folders)}
        folders = dressed | {kept.put(parent(kept.name(number))) for number in {*numbers, *dressed}}
        known = Places.of(_but_for(compared, map(kept.name, folders)))
        again = self._comparison(notes_all=True)
        anew = chain(self._anew(again, kept, folders, known), _unseen(again, compared.unseen))
        require_none(self._lasting(anew), said)
        for name in again.unseen:
            self._doubt(name)
        linked = transfer.linked | again.of_several_names
        return Confirmed(
            places=Places.of(mark for mark in chain(known.marks, again.seen) if mark in self.look.places),
            doubtful=tuple(map(os.fsdecode, sorted(self._doubts))),
            linked=tuple(sorted(linked)) if len(linked) <= MOST_LINKED else (EVERY,),
        )

    def _comparison(self, *, notes_all: bool = False) -> Comparison:
        return Comparison(self.source, self.target, self.look.excludes, live=True, notes_all=notes_all,
                          draft=self.draft)  # fmt: skip

    def _anew(self, again: Comparison, kept: Names, folders: Collection[int], known: Places) -> Iterator[Difference]:
        """Of directories in which something differed, or was copied anew, and of what is in them and is not known: who
        is known brings along that all in it is, for the last look does not look into what has not changed itself."""
        tree, marks = Tree(self.source), Marks()
        for folder in map(kept.name, folders):
            inside: list[bytes] = []
            yield from again.directory(folder, inside)
            for name in (join(folder, last) for last in inside):
                status = tree.found(name)
                is_known = status is not None and marks.mark(status.st_ino, name) in known
                if not is_known and kept.put(name) not in folders:
                    yield from again.below(name)

    def _lasting(self, differences: Iterable[Difference]) -> Iterator[Difference]:
        """What differs though neither it nor anything above it has changed: that is not left to the last look."""
        tree = Tree(self.source)
        for difference in differences:
            status = tree.found(difference.name)
            if status is not None and status.st_ctime > self.look.since:
                continue  # the last look finds it by itself
            if status is None or self._is_stirred(tree, difference.name) or _is_held(tree, difference.name):
                self._doubt(difference.name)
            else:
                yield difference

    def _is_stirred(self, tree: Tree, name: bytes) -> bool:
        """Whether a directory above it has changed: it may be elsewhere by now, or have been."""
        while name:
            name = name.rpartition(b"/")[0]
            status = tree.found(name)
            if status is None or status.st_ctime > self.look.since:
                return True
        return False

    def _doubt(self, name: bytes) -> None:
        self._doubts.add(_above(name, DEEPEST))
        if len(self._doubts) > MOST:
            self._doubts = {_above(one, OWNER) for one in self._doubts}


def _but_for(compared: Comparison, folders: Iterable[bytes]) -> Iterator[int]:
    """The directories that were seen to be equal, but for those in which the copy was changed since: whatever was there
    then, what is in the copy now may be that of another directory, which has been there meanwhile."""
    changed = {*map(Marks().place, folders)}
    return (mark for mark, place in zip(compared.seen, compared.places, strict=True) if place not in changed)


def _unseen(again: Comparison, names: Iterable[bytes]) -> Iterator[Difference]:
    """Of directories that could not be looked into, with all they hold."""
    for name in names:
        yield from again.entry(name)
        yield from again.below(name)


def _is_held(tree: Tree, name: bytes) -> bool:
    """Whether it is a file under a lease (fcntl(2)), which nobody can read at once: the stop ends its holder."""
    with suppress(OSError), tree.above(name) as (folder, last):
        looked = os.open(last, TO_LOOK, dir_fd=folder)
        try:
            if stat.S_ISREG(os.fstat(looked).st_mode):
                os.close(os.open(f"/proc/self/fd/{looked}", TO_READ & ~os.O_NOFOLLOW))
        except BlockingIOError:
            return True
        finally:
            os.close(looked)
    return False


def _above(name: bytes, most: int) -> bytes:
    return b"/".join(name.split(b"/", most)[:most])

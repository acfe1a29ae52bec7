"""Checking the copy: the target holds what the source holds, entry by entry, before anything points at it.

Compared are names, types, modes, owners, sizes, times to the nanosecond, device numbers, symbolic links, extended
attributes (ACLs, capabilities and the overlay's own among them) and which names are the same file. Content is read
only if that is asked for: cp has its own words for a failed read or write, and the flush after the copy the disk's.

Memory does not grow with the trees, whatever a directory holds: only files of several names are remembered.
"""

import os
import stat
from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from entrypoint.console.errors import CopyError
from entrypoint.copy.looking.changes import DEEPEST, require_shallow
from entrypoint.copy.looking.equality import facts, have_same_content, in_words, is_carried
from entrypoint.copy.looking.index import Draft
from entrypoint.copy.looking.left_out import LeftOut
from entrypoint.copy.looking.marks import Marks
from entrypoint.host.confined.beneath import CHANGED, LONGEST, join, place
from entrypoint.host.confined.entries import attributes
from entrypoint.host.confined.tree import Tree

SHOWN = 20  # differences that are shown; more say nothing new
OWN_FILE_SYSTEM = " is a file system of its own, and none of it was copied"


class Difference(NamedTuple):
    """One entry, by its name relative to the roots, and what of it differs."""

    name: bytes
    what: str

    def __str__(self) -> str:
        return f"{show(self.name)}{self.what}"


@dataclass
class Comparison:
    """Two trees side by side; `entries` counts what was compared.

    `excludes` are anchored patterns in which `*` stands for one name. With `content` files are read as well. While the
    source is in use (`live`), what goes while it is looked at is no difference. Where the target was `linked` to the
    source, a name that stands for the same inode in both is the same file, and no more is asked of it.

    While the source is in use, the directories that were looked into and are equal are noted in `seen`, by number and
    place, and at the same index in `places` by place alone; with `notes_all` those that differ, too. In `unseen` are
    those that could not be looked into: they were gone, at least for a moment, or the target has none there. What was
    listed to its end is noted in the `draft` of an index, equal or not.
    """

    source: Path
    target: Path
    excludes: Iterable[str] = ()
    content: bool = False
    live: bool = False
    linked: bool = False
    notes_all: bool = False
    draft: Draft | None = None
    entries: int = 0
    seen: "array[int]" = field(default_factory=lambda: array("Q"))
    places: "array[int]" = field(default_factory=lambda: array("Q"))
    unseen: list[bytes] = field(default_factory=list)
    apart: list[bytes] = field(default_factory=list)
    _twins: dict[int, int] = field(default_factory=dict)
    _origins: dict[int, int] = field(default_factory=dict)
    _marks: Marks = field(default_factory=Marks)

    def __post_init__(self) -> None:
        self._left_out = LeftOut(self.excludes)
        self._trees = Tree(self.source), Tree(self.target)
        self._device = os.fstat(self._trees[0].root).st_dev

    @property
    def of_several_names(self) -> frozenset[int]:
        """The inodes of the source's files of several names, here or there, that were compared."""
        return frozenset(self._twins)

    def differences(self) -> Iterator[Difference]:
        """What is not equal, as it is found."""
        yield from self.tree(b"")

    def tree(self, where: bytes) -> Iterator[Difference]:
        """What is not equal of one directory and all that is in it."""
        yield from self._entry(where)
        yield from self.below(where)

    def below(self, where: bytes) -> Iterator[Difference]:
        """What is not equal inside one directory, however deep.

        What is next to be looked at is kept by its last name, for it is in what was looked at just before, or in
        something above that.
        """
        todo, above = [(0, where)], list[bytes]()
        while todo:
            depth, last = todo.pop()
            above[depth:] = [last]
            if depth >= DEEPEST:
                require_shallow(b"/".join(above))
            inside: list[bytes] = []
            yield from self.directory(b"/".join(above if where else above[1:]), inside)
            todo += [(depth + 1, name) for name in inside]

    def directory(self, where: bytes, inside: list[bytes] | None = None) -> Iterator[Difference]:
        """What is not equal among the entries of one directory; the directories in it are added to `inside`.

        Without `inside` only the names are compared, not what they stand for.
        """
        with self._vanishing(where), ExitStack() as stack:
            ours = stack.enter_context(self._trees[0].folder(where))
            if not self._trees[1].has_directory(where):
                self._pass_over(where)
                yield Difference(where, " is missing")
                return
            theirs = stack.enter_context(self._trees[1].folder(where))
            count = 0
            for difference in self._entries(where, ours, theirs, inside):
                count += 1
                yield difference
            if os.fstat(ours).st_dev != self._device:
                yield Difference(where, OWN_FILE_SYSTEM)
            elif self.live and (self.notes_all or not count):
                self.seen.append(self._marks.mark(os.fstat(ours).st_ino, where))
                self.places.append(self._marks.place(where))

    def _entries(self, where: bytes, ours: int, theirs: int, inside: list[bytes] | None) -> Iterator[Difference]:
        common = yield from self._common(where, ours, theirs, inside)
        yield from self._extra(where, ours, theirs, common)

    def _common(
        self, where: bytes, ours: int, theirs: int, inside: list[bytes] | None
    ) -> Generator[Difference, None, int]:
        """What is not equal among the entries that the source has; returns how many the target has of them."""
        common, noted = 0, (array("Q"), array("Q"))
        draft = self.draft if self.draft is not None and self.draft.takes(where) else None
        files = _files(theirs) if self.linked else {}
        leaves_out = self._left_out.is_in(where)
        with os.scandir(ours) as listing:
            for entry in listing:
                if not leaves_out and files.get(entry.name) == entry.inode():
                    self.entries += 1
                    common += 1
                    continue
                last = os.fsencode(entry.name)
                name = join(where, last)
                if leaves_out and name in self._left_out:
                    continue
                if draft is not None:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    noted[is_folder].append(self._marks.mark(entry.inode(), name) if is_folder else entry.inode())
                try:
                    one = os.stat(last, dir_fd=ours, follow_symlinks=False)
                    other = _status(theirs, last)
                    if stat.S_ISDIR(one.st_mode) and (other is None or not stat.S_ISDIR(other.st_mode)):
                        self._pass_over(name)
                    if other is None:
                        yield Difference(name, " is missing")
                        continue
                    common += 1
                    if inside is None:
                        continue
                    yield from self._compare(name, (ours, theirs), one, other)
                    if stat.S_ISDIR(one.st_mode) and one.st_dev != self._device and self.live:
                        self.apart.append(name)
                    elif stat.S_ISDIR(one.st_mode) and one.st_dev != self._device:
                        yield Difference(name, OWN_FILE_SYSTEM)
                    elif stat.S_ISDIR(one.st_mode) and stat.S_ISDIR(other.st_mode) and one.st_dev == self._device:
                        inside.append(last)
                except OSError as error:  # of what goes, this directory tells by its own time
                    if not self._is_vanishing(error):
                        yield Difference(name, f" cannot be looked at: {error.strerror}")
        if draft is not None:
            draft.note(where, os.fstat(ours).st_ino, *noted)
        return common

    def _extra(self, where: bytes, ours: int, theirs: int, common: int) -> Iterator[Difference]:
        """What the target has besides; asked name by name only if it has more than it shares."""
        leaves_out = self._left_out.is_in(where)
        with os.scandir(theirs) as listing:
            counted = (one for one in listing if join(where, os.fsencode(one.name)) not in self._left_out)
            count = sum(1 for _ in (counted if leaves_out else listing))
        if count == common:
            return
        with os.scandir(theirs) as listing:
            for last in (os.fsencode(entry.name) for entry in listing):
                if (name := join(where, last)) not in self._left_out and _status(ours, last) is None:
                    yield Difference(name, " is not in the source")

    def entry(self, name: bytes) -> Iterator[Difference]:
        """What is not equal of one entry that the source has."""
        with self._vanishing(name):
            yield from self._entry(name)

    def _entry(self, name: bytes) -> Iterator[Difference]:
        with ExitStack() as stack:
            ours, last = stack.enter_context(self._trees[0].above(name))
            one = os.stat(last, dir_fd=ours, follow_symlinks=False)
            if self._trees[1].found(name) is None:
                yield Difference(name, " is missing")
                return
            theirs, _ = stack.enter_context(self._trees[1].above(name))
            other = os.stat(last, dir_fd=theirs, follow_symlinks=False)
            yield from self._compare(name, (ours, theirs), one, other)

    def _compare(
        self, name: bytes, folders: tuple[int, int], one: os.stat_result, other: os.stat_result
    ) -> Iterator[Difference]:
        self.entries += 1
        if (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev):
            return  # a layer's file on the same file system: it is one
        equal = facts(one) == facts(other)
        if not equal:
            told = in_words(other)
            for what, ours in in_words(one).items():
                if ours != told[what]:
                    yield Difference(name, f": {what} is {told[what]}, in the source {ours}")
        last = name.rpartition(b"/")[2] or b"."
        if stat.S_ISLNK(one.st_mode) and stat.S_ISLNK(other.st_mode):
            ours, theirs = (os.readlink(last, dir_fd=folder) for folder in folders)
            if ours != theirs:
                yield Difference(name, ": points elsewhere")
        if not is_carried(attributes(place(folders[0], last)), attributes(place(folders[1], last))):
            yield Difference(name, ": extended attributes differ")
        if (one.st_nlink > 1 or other.st_nlink > 1) and not stat.S_ISDIR(one.st_mode):
            yield from self._links(name, one.st_ino, other.st_ino)
        if self.content and equal and stat.S_ISREG(one.st_mode) and not have_same_content(folders, last):
            yield Difference(name, ": content differs")

    def _links(self, name: bytes, ours: int, theirs: int) -> Iterator[Difference]:
        """Names of one file in the source must be names of one file in the target, and of two files names of two."""
        if self._twins.setdefault(ours, theirs) != theirs:
            yield Difference(name, ": is no longer a hard link of its other names")
        elif self._origins.setdefault(theirs, ours) != ours:
            yield Difference(name, ": is a hard link of what is another file in the source")

    def _pass_over(self, name: bytes) -> None:
        """By what is above it, if it lies deeper than a path can tell: there may be thousands in one."""
        if self.live:
            short = name if len(name) <= LONGEST else name[: name.rindex(b"/", 0, LONGEST)]
            if short not in self.unseen[-1:]:
                self.unseen.append(short)

    @contextmanager
    def _vanishing(self, name: bytes) -> Iterator[None]:
        """What is asked by its name in an open directory changes that directory when it goes; but the way to it, if it
        is asked by its `name` from the root, can be another one for a moment only, and nothing there has changed."""
        try:
            yield
        except OSError as error:
            if not self._is_vanishing(error):
                raise CopyError(f"{show(name)} cannot be looked at.", details=error.strerror or str(error)) from error
            self._pass_over(name)

    def _is_vanishing(self, error: OSError) -> bool:
        return self.live and error.errno in CHANGED


def _status(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _files(folder: int) -> dict[str, int]:
    """The inode of each name in an open directory that is no directory itself."""
    with os.scandir(folder) as listing:
        return {entry.name: entry.inode() for entry in listing if not entry.is_dir(follow_symlinks=False)}


def show(name: bytes) -> str:
    """A name that may hold any byte, on one line."""
    return name.decode("utf-8", "backslashreplace").encode("unicode_escape").decode() or "the data root itself"


def require_equal(comparison: Comparison) -> int:
    """Raises CopyError when the trees differ; returns how many entries were compared."""
    require_none(comparison.differences())
    return comparison.entries


def require_none(differences: Iterable[Difference], said: str = "") -> None:
    """Raises CopyError if there is a difference; with what was `said` when it was copied, a line each."""
    found = []
    for difference in differences:
        found.append(str(difference))
        if len(found) > SHOWN:
            found[-1] = "and more"
            break
    if found:
        details = "\n".join((*found, *said.splitlines()[:SHOWN]))
        raise CopyError("The copy does not hold what the source holds.", details=details)

"""What can have changed in a tree since an instant, found without looking at the copy.

Every change of a file, a directory or its names gives the inode concerned a new ctime, which no program can set back:
writing, truncating, chmod, setxattr, linking, and renaming, which touches both directories and what is renamed. So an
entry with an old ctime in a directory that was at this place before is as it was. What a directory brings along when it
is itself renamed keeps its ctime; hence every pass notes which directory, by its inode number, was at which place, and
below one that was not there before everything counts as changed.

The walk is find's: the unchanged are passed over without a line of Python.
"""

import os
import stat
from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from entrypoint.console.errors import CopyError
from entrypoint.copy.looking.marks import Marks, Places
from entrypoint.host.children import Children, polite_command
from entrypoint.host.confined.beneath import CHANGED, join
from entrypoint.host.confined.confinement import place
from entrypoint.host.confined.tree import Tree

DIRECTORY = b"d"
EVERY = 0  # in the place of an inode, which has never this number: whatever has several names


class Change(NamedTuple):
    """An entry whose inode changed; `whole` if it is a directory below which everything counts as changed."""

    kind: bytes
    inode: int
    links: int
    size: int
    name: bytes
    whole: bool = False

    @classmethod
    def parse(cls, record: bytes) -> "Change":
        kind, inode, links, blocks, _ctime, name = record.split(b" ", 5)
        return cls(kind, int(inode), int(links), 512 * int(blocks), name)


FIND = ("env", "LC_ALL=C", "find")  # names are bytes; elsewhere what is no UTF-8 is no character of an expression
DEEPEST, SHOWN = 20_000, 200  # names below each other; bytes of a name that are shown
FORMAT = "%y %i %n %b %C@ %P\\0"


@dataclass
class Look:
    """One walk over a tree. `since` is in seconds since 1970; `excludes` are anchored patterns (`*` is one name).

    `covered` are places of which an earlier look has seen nothing, or nothing to rely on, because something was mounted
    there or they came and went: all of it is `uncovered`, though it may have an old ctime.

    While the tree is in use (`live`) the walk gives way to other work, what goes while it is looked at is passed over,
    and the places of all directories are noted in `seen`, for the look after this. find runs in the roots' `namespace`,
    if they have one, as one of the `children`.
    """

    root: Path
    since: float
    excludes: tuple[str, ...]
    places: Places
    live: bool
    covered: tuple[str, ...] = ()
    namespace: int | None = None
    children: Children = field(default_factory=Children)
    seen: "array[int]" = field(default_factory=lambda: array("Q"))
    _marks: Marks = field(default_factory=Marks)

    def changes(self, where: bytes = b"") -> Iterator[Change]:
        """Parents come before what is in them. `where` is a directory of the tree that has not changed itself."""
        inside: bytes | None = None
        for record in self._inside(where, self.since):
            change = Change.parse(record)
            if where:
                change = change._replace(name=join(where, change.name) if change.name else where)
            if inside is not None and change.name.startswith(inside):
                if change.kind == DIRECTORY:
                    self._see(change)
                continue
            inside = None
            if change.kind != DIRECTORY:
                yield change
                continue
            known = self._see(change) in self.places
            if known and not is_after(record, self.since):
                continue
            yield change._replace(whole=not known)
            if not known:
                inside = change.name + b"/" if change.name else b""
                yield from self.below(change.name)

    def uncovered(self) -> Iterator[Change]:
        """Everything at the places that were covered. Not at once with what else has changed: it may be the same."""
        tree = Tree(self.root)
        for name in map(os.fsencode, self.covered):
            if (status := tree.found(name)) is None:  # the copy may have it all the same
                while status is None and name:
                    name = name.rpartition(b"/")[0]
                    status = tree.found(name)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    yield Change(DIRECTORY, status.st_ino, status.st_nlink, 0, name)
                continue
            if not stat.S_ISDIR(status.st_mode):  # a file can be mounted on a file, and is no more than its name
                yield Change(b"-", status.st_ino, status.st_nlink, 512 * status.st_blocks, name)
                continue
            yield Change(DIRECTORY, status.st_ino, status.st_nlink, 0, name, whole=True)
            if tree.names(name):  # there may be hundreds that are empty
                yield from self.below(name)

    def below(self, where: bytes) -> Iterator[Change]:
        """Everything inside a directory, changed or not."""
        for record in self._inside(where, None):
            change = Change.parse(record)
            yield change._replace(name=join(where, change.name), whole=change.kind == DIRECTORY)

    def names_of(self, inodes: Collection[int]) -> Iterator[Change]:
        """Every name of some files, or of all that have several."""
        wanted = frozenset(inodes)
        for record in self._find(changed_command(None, self.excludes)) if wanted else ():
            change = Change.parse(record)
            is_wanted = change.inode in wanted or (EVERY in wanted and change.links > 1)
            if is_wanted and change.kind != DIRECTORY:
                yield change

    def _inside(self, where: bytes, since: float | None) -> Iterator[bytes]:
        """What find says of a directory.

        What lies deeper than all that is left out is looked at from there: its path may be longer than the kernel
        takes.
        """
        directories = self.live and since is not None
        if where and where.count(b"/") >= max((pattern.count("/") for pattern in self.excludes), default=0):
            return self._find(changed_command(since, (), directories=directories), where)
        return self._find(changed_command(since, self.excludes, where=where, directories=directories))

    def _see(self, change: Change) -> int:
        mark = self._marks.mark(change.inode, change.name)
        if self.live:
            self.seen.append(mark)
        return mark

    def _find(self, command: list[str], where: bytes = b"") -> Iterator[bytes]:
        try:
            yield from listed(
                self.root, command, where, live=self.live, namespace=self.namespace, children=self.children
            )
        except OSError as error:
            if not self.live or error.errno not in CHANGED:
                raise


def parent(name: bytes) -> bytes:
    return name.rpartition(b"/")[0]


@dataclass
class Found:
    """By which names files of several names were found: a directory brings those it holds, and not the others."""

    _found: dict[int, set[int]] = field(default_factory=dict)
    _links: dict[int, int] = field(default_factory=dict)

    def note(self, change: Change) -> None:
        if change.links > 1 and change.kind != DIRECTORY:
            self._found.setdefault(change.inode, set()).add(Places.mark(change.inode, change.name))
            self._links[change.inode] = change.links

    def others(self, look: Look) -> Iterator[Change]:
        """The names that were not found; nothing is looked for as long as all were."""
        if inodes := {inode for inode, names in self._found.items() if len(names) < self._links[inode]}:
            for change in look.names_of(inodes):
                if Places.mark(change.inode, change.name) not in self._found[change.inode]:
                    self.note(change)
                    yield change


def listed(
    root: Path,
    command: list[str],
    where: bytes = b"",
    *,
    live: bool,
    namespace: int | None = None,
    children: Children | None = None,
) -> Iterator[bytes]:
    """What find says of a directory below a root, started there; behind everybody else's work while that is in use.

    Raises OSError if the directory cannot be opened, and HostCommandError.
    """
    with place(root, where, namespace) as start:
        argv = [*start.prefix, *(polite_command(command) if live else command)]
        for record in (children or Children()).stream(argv, check=not live, cwd=start.cwd, handles=start.handles):
            if len(record) > DEEPEST:  # so many names have more bytes
                require_shallow(join(where, record.split(b" ", 5)[5]))
            yield record


def require_shallow(name: bytes) -> None:
    """Raises CopyError for a name below too many others: who adds one to the last would keep us walking for ever."""
    if name.count(b"/") + 1 >= DEEPEST:
        raise CopyError(
            f"There are {DEEPEST:,} directories in each other.",
            details=f"They begin with {name[:SHOWN].decode('utf-8', 'backslashreplace')!r}.",
            resolution="Nobody has so many on purpose. See who makes them, and remove them: rm -rf",
        )


def is_after(record: bytes, since: float) -> bool:
    return float(record.split(b" ", 5)[4]) > since


def changed_command(
    since: float | None, excludes: Iterable[str], *, where: bytes = b"", directories: bool = False
) -> list[str]:
    """The argv that lists what has a ctime after `since`, outside `excludes`; without an instant, all.

    It is for the root as the working directory: find opens by single names from there, and follows none. With
    `directories` these are listed whatever their ctime. `where` is a directory of the tree to look into; it is not
    listed itself.
    """
    place = "./" + os.fsdecode(where) if where else "."
    pruned = _pruned(excludes)
    newer = [] if since is None else ["-newerct", f"@{since:.6f}"]
    # The root of a btrfs subvolume always: what is in it is not looked at from here, and has times of its own.
    shown = ["-type", "d"] if directories else ["-type", "d", "-inum", "256"]
    wanted = ["(", *newer, "-o", *shown, ")"] if newer else []
    below = ["-mindepth", "1"] if since is None else []
    return [*FIND, place, "-maxdepth", str(DEEPEST), *below, "-xdev", *pruned, *wanted, "-printf", FORMAT]


def _pruned(excludes: Iterable[str]) -> list[str]:
    """What find does not look into. The last name is asked first: there may be hundreds of layers to leave out.

    By one expression for all of a name, not by a list of `-path`: behind the first alternative find 4.10 asks these
    before the name, all of them for each file, which takes ten times as long. And of nothing that lies deeper than all
    of them: most files do, and an expression takes many times as much memory as the path has bytes.
    """
    by_name: dict[str, list[str]] = {}
    for pattern in excludes:
        by_name.setdefault(pattern.rpartition("/")[2], []).append(pattern)
    words: list[str] = []
    for name, patterns in by_name.items():
        places = "|".join(map(_expression, patterns))
        asked = [] if name == "*" else ["-name", _literal(name)]
        words += [*asked, "-regex", f"\\.({places})", "-prune", "-o"]
    if not words:
        return []
    deeper = "./*" + "/*" * max(pattern.count("/") for patterns in by_name.values() for pattern in patterns)
    return ["-regextype", "posix-extended", "-not", "-path", deeper, "(", *words[:-1], ")", "-o"]


def _expression(pattern: str) -> str:
    """find's regular expression for a pattern, in which `*` is one name."""
    return "[^/]*".join(map(_escaped, pattern.split("*")))


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\.[]{}()*+?^$|" else char for char in text)


def _literal(name: str) -> str:
    """A name in which find takes no character for a wildcard."""
    return "".join(f"\\{char}" if char in "\\*?[" else char for char in name)

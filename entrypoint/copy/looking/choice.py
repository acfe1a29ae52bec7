"""The last looks: whether they go by the inode table or walk, by what either costs, decided while the engine runs.

The table is read once then, so that it is in memory when the engine is down. Wherever there is a doubt, it is a walk.
"""

import os
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from entrypoint.console.events import log
from entrypoint.copy.looking.changes import DIRECTORY, Found, Look
from entrypoint.copy.looking.comparison import Comparison, Difference
from entrypoint.copy.looking.index import Draft, Index, Whose
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.looking.table_look import TableLook
from entrypoint.host.disks.filesystem import flush
from entrypoint.host.disks.inodes.table import InodeTable, inode_table, keeps_back
from entrypoint.host.disks.inodes.unfit import UnfitError

MOST_CHANGED = 500_000  # inodes; a walk does not keep them in memory
MOST_UNSURE = 1_000  # directories


def draft_for(root: Path, namespace: int | None) -> Draft | None:
    """What to note an index in, where there is a table, and no mount is seen below the root."""
    if namespace is None:
        return None
    with inode_table(root) as table:
        return Draft() if table is not None else None


def keep(draft: Draft | None, root: Path, place: Path, since: float, places: Places) -> None:
    """Write the index for the pass that began at `since`, if the table takes less time than a walk, and if there is
    room for it."""
    if draft is None:
        return
    with inode_table(root) as table:
        if table and is_cheaper(table, len(draft)) and _is_written(draft, place, whose(root, since), places):
            began = time.monotonic()
            _read(table, time.time())
            log.info("inode_table.warmed", inodes=table.count, seconds=round(time.monotonic() - began, 3))


def is_cheaper(table: InodeTable, entries: int) -> bool:
    """Than a walk over a tree of so many: the table is of all that the file system holds."""
    return table.count <= table.times * entries


def chosen(walk: Look, place: Path, since: float, unlisted: Collection[str]) -> Look:
    """The same look by the inode table, read now, if there is an index of the pass that began at `since`."""
    index = Index.read(place, whose(walk.root, since)) if walk.since > 0 and walk.namespace is not None else None
    if index is None or len(index.unsure) > MOST_UNSURE or not _is_root_known(walk):
        return walk
    began = time.monotonic()
    with inode_table(walk.root) as table:
        if table is not None and keeps_back(walk.root):
            flush(walk.root, walk.children)
        changed = None if table is None else _read(table, walk.since)
        if table is None or changed is None:
            return walk
        log.info("inode_table.read", inodes=table.count, changed=len(changed), of=len(index),
                 seconds=round(time.monotonic() - began, 3))  # fmt: skip
    return TableLook(walk.root, walk.since, walk.excludes, walk.places, walk.live, walk.covered, walk.namespace,
                     walk.children, index=index, changed=changed, unlisted=[*map(os.fsencode, unlisted)])  # fmt: skip


def looked_at(look: Look, comparison: Comparison, linked: Iterable[int]) -> Iterator[Difference]:
    """The differences where something can have changed: entries, the names in directories, and those of one file."""
    yield from comparison.entry(b"")
    found = Found()
    for change in chain(look.changes(), look.uncovered()):
        found.note(change)
        if change.name:
            yield from comparison.entry(change.name)
        if change.kind == DIRECTORY:
            yield from comparison.directory(change.name)
    for change in chain(found.others(look), look.names_of(set(linked))):
        yield from comparison.entry(change.name)


def whose(root: Path, since: float) -> Whose:
    status = root.stat()
    return Whose(since, status.st_dev, status.st_ino)


def _is_written(draft: Draft, place: Path, of: Whose, places: Places) -> bool:
    try:
        return draft.write(place, of, places)
    except OSError as error:
        log.warning("inode_table.unfit", why=str(error))
        return False


def _is_root_known(walk: Look) -> bool:
    return Places.mark(walk.root.stat().st_ino, b"") in walk.places


def _read(table: InodeTable, since: float) -> set[int] | None:
    try:
        return table.changed(since, MOST_CHANGED)
    except (OSError, UnfitError) as error:
        log.warning("inode_table.unfit", why=str(error))
        return None

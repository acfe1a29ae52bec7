"""Removing the copies of a move on which no engine was started, unless another attempt can go on with them."""

import errno
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from entrypoint.console.errors import CopyError, FullError
from entrypoint.console.events import log
from entrypoint.host.confined.beneath import FOLDER
from entrypoint.host.confined.removal import remove_beneath
from entrypoint.host.disks.filesystem import remove_durably
from entrypoint.host.host import Host
from entrypoint.journal.unfinished import LOST, NAME, Unfinished
from entrypoint.plan.plan import Plan
from entrypoint.settings.edits import remove_empty

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
LEAST = 1 << 20  # bytes; with less nobody can work on a disk


def discard(host: Host, plan: Plan) -> str:
    """Remove each copy that says of itself that it is one, and what was made for it; why one stays, if it does.

    Raises CopyError for one that cannot be removed.
    """
    left = ""
    for root in plan.roots:
        target = host.path(root.target)
        record = Unfinished.read(target)
        if record and record.is_of(root.source, plan.engine_id):
            distrust(target, record)
            host.trace("discard.distrusted")
            remove_copy(target)
            host.trace("discard.emptied")
            give_back(target, record)
            log.info("target.removed", target=root.target)
        elif not target.is_dir():
            left = LOST
        else:
            left = f"{root.target} does not say of itself that it is an unfinished copy"
        remove_empty(host, reversed(root.created))
    return left


def may_go_on(host: Host, plan: Plan, failure: BaseException) -> bool:
    """Whether the same command, run again, could do better with what is copied: hours of work may be in it.

    Whatever has failed, no engine was started on it, and the next attempt compares all of it, as after a death. Only a
    disk that is full is given back, for others may need it.
    """
    if isinstance(failure, FullError) or (isinstance(failure, OSError) and failure.errno in NO_ROOM):
        return False
    targets = [host.path(root.target) for root in plan.roots]
    records = [Unfinished.read(target) for target in targets]
    return any(one and (one.layers or one.shards) for one in records) and not any(map(is_full, targets))


def is_full(place: Path) -> bool:
    """Whether a file system has no room left, whoever was told so: what has failed may be a record beside the copy."""
    with suppress(OSError):
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize < LEAST
    return False


def distrust(target: Path, record: Unfinished) -> None:
    """From here on nothing of the copy is to be relied on: an attempt may find it half removed."""
    try:
        replace(record, layers=(), shards=()).write(target)
    except OSError:  # the disk is full, which may be why it is removed
        remove_durably(target / NAME)


def remove_copy(target: Path) -> None:
    """Remove what was copied into a target that was empty before; the directory itself and lost+found stay.

    The record goes last: without it nobody would take for ours what a removal that is cut off has left.
    """
    folder = os.open(target, FOLDER)
    try:
        for name in sorted(os.listdir(folder), key=lambda name: (name == NAME, name)):
            if name != "lost+found" and (problems := remove_beneath(folder, [name])):
                raise CopyError(f"{name} in the unfinished copy cannot be removed.", details="\n".join(problems))
    finally:
        os.close(folder)


def give_back(target: Path, record: Unfinished) -> None:
    """A directory that was there before is as it was, but for its times."""
    if record.found:
        folder = os.open(target, FOLDER)
        try:
            record.found.give_back(folder)
        finally:
            os.close(folder)

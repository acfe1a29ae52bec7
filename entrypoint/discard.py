"""Removing the copies of a move that did not come to its switch, unless another attempt can go on with them."""

import os
from dataclasses import replace
from pathlib import Path

from entrypoint.beneath import FOLDER
from entrypoint.edits import remove_empty
from entrypoint.errors import CopyError, FullError, MoveError
from entrypoint.filesystem import remove_durably
from entrypoint.host import Host
from entrypoint.log import log
from entrypoint.plan import Plan
from entrypoint.removal import remove_beneath
from entrypoint.trace import trace
from entrypoint.unfinished import NAME, Unfinished


def discard(host: Host, plan: Plan) -> str:
    """Remove each copy that says of itself that it is one, and what was made for it; why one stays, if it does.

    Raises CopyError for one that cannot be removed.
    """
    left = ""
    for one in plan.each():
        target = host.path(one.target)
        record = Unfinished.read(target)
        if record and record.is_of(one.source, one.engine_id):
            distrust(target, record)
            trace("discard.distrusted")
            remove_copy(target)
            trace("discard.emptied")
            give_back(target, record)
            log.info("target.removed", target=one.target)
        else:
            left = f"{one.target} does not say of itself that it is an unfinished copy"
        remove_empty(host, reversed(one.created))
    return left


def may_go_on(host: Host, plan: Plan, failure: BaseException) -> bool:
    """Whether the same command, run again, could do better with what is copied: hours of work may be in it.

    Not on a disk that is full, which others may need, and not where something is wrong that nobody thought of.
    """
    if not isinstance(failure, MoveError) or isinstance(failure, FullError):
        return False
    records = [Unfinished.read(host.path(one.target)) for one in plan.each()]
    return any(record and (record.layers or record.shards) for record in records)


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
    """A directory that was there before belongs to whom it belonged, with the mode that it had."""
    if record.found:
        folder = os.open(target, FOLDER)
        os.fchown(folder, record.found.owner, record.found.group)
        os.fchmod(folder, record.found.mode)
        os.close(folder)

"""Removing the copies of a move that did not come to its switch."""

import os
from pathlib import Path

from entrypoint.edits import remove_empty
from entrypoint.errors import CopyError
from entrypoint.host import Host, run
from entrypoint.log import log
from entrypoint.plan import Plan
from entrypoint.unfinished import Unfinished


def discard(host: Host, plan: Plan) -> str:
    """Remove each copy that says of itself that it is one, and what was made for it; why one stays, if it does.

    Raises CopyError for one that cannot be removed.
    """
    left = ""
    for one in plan.each():
        target = host.path(one.target)
        if Unfinished.marks(target, one.source, one.engine_id):
            remove_copy(target)
            log.info("target.removed", target=one.target)
        else:
            left = f"{one.target} does not say of itself that it is an unfinished copy"
        remove_empty(host, reversed(one.created))
    return left


def remove_copy(target: Path) -> None:
    """Remove what was copied into a target that was empty before; the directory itself and lost+found stay."""
    for entry in sorted(os.scandir(target), key=lambda entry: entry.name):
        if entry.name == "lost+found":
            continue
        result = run(["rm", "-rf", "--one-file-system", "--", entry.path], timeout=None, check=False)
        if result.code:
            raise CopyError(f"The unfinished copy {entry.path} cannot be removed.", details=result.stderr[-1000:])

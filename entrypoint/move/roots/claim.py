"""Taking the target: it is still what was looked at, it is empty, and from then on nobody else writes into it."""

import errno
import os
from pathlib import PurePosixPath

from entrypoint.console.errors import CopyError, PreflightError
from entrypoint.copy.copier import identity
from entrypoint.host.disks.filesystem import existing_ancestor, make_directories
from entrypoint.host.host import Host
from entrypoint.journal.unfinished import Found, Unfinished
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.roots import Target

ACCESS_LISTS = ("system.posix_acl_default", "system.posix_acl_access")
COPY_MODE = 0o700  # until the copy gives the target the data root's own mode: nobody is to look into a half copy
AGAIN = "then run the same command again."


def require_as_seen(host: Host, *targets: Target) -> None:
    """Between the look and the act a link may have been put in the way, a disk unmounted, or another mounted over it.

    Raises PreflightError.
    """
    for seen in targets:
        resolved = host.resolve(seen.path)
        ancestor = existing_ancestor(host, resolved)
        is_same = identity(host.path(ancestor)) == seen.identities[0]
        if (resolved, ancestor) != (seen.resolved, seen.ancestor) or not is_same:
            raise PreflightError(
                f"{seen.path} is not any more what it was when it was looked at. Nothing was changed.",
                details=f"It led to {seen.resolved}, of which {seen.ancestor} was there.",
                resolution=f"See who changes it (ls -ld {seen.ancestor}, findmnt), {AGAIN}",
            )


def require_still_empty(host: Host, root: RootMove, engine_id: str) -> None:
    """Asked again under the lock: what has come into the target since would be taken for ours, and removed."""
    if has_strangers(host, root, engine_id):
        raise PreflightError(
            f"{root.target} is not empty any more. Nothing was changed.", resolution=f"Look at what is in it, {AGAIN}"
        )


def has_strangers(host: Host, root: RootMove, engine_id: str) -> bool:
    """Whether something is in the target that we have not put there."""
    target = host.path(root.target)
    if Unfinished.marks(target, root.source, engine_id) or not target.is_dir():
        return False
    return bool(set(os.listdir(target)) - {"lost+found"})


def take(host: Host, root: RootMove, engine_id: str) -> Found:
    """Make the target ours alone: whoever could write into it could have cp follow a link to somewhere else.

    Returns what it was until now. Raises CopyError if somebody was there first.
    """
    target = host.path(root.target)
    make_directories(target, COPY_MODE)
    try:  # never through a link that was put there just now: what it leads to would be taken from its owner
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:  # a link, too (open(2))
        raise changed(root) from None
    try:
        _require_itself(host, root, engine_id)
        was = Found.at(handle)
        os.fchown(handle, os.geteuid(), os.getegid())  # first: its owner could give the mode back
        os.fchmod(handle, COPY_MODE)
        _shed(handle)
    finally:
        os.close(handle)
    _require_itself(host, root, engine_id)
    return was


def _shed(handle: int) -> None:
    """Lists of who else may do something, which a share gives to every directory that is made in it: the old root has
    none, and all below the new one would get them."""
    for name in ACCESS_LISTS:
        try:
            os.removexattr(handle, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise


def _require_itself(host: Host, root: RootMove, engine_id: str) -> None:
    if host.resolve(root.target) != PurePosixPath(root.target) or has_strangers(host, root, engine_id):
        raise changed(root)


def changed(root: RootMove) -> CopyError:
    return CopyError(f"{root.target} was changed by somebody else just now.", details="Nothing was copied to it.")

"""Edits of the host's configuration: made, taken back, and never at the cost of what somebody else has written."""

from collections.abc import Iterable
from pathlib import Path

from entrypoint import daemon_config
from entrypoint.errors import MoveError, PreflightError, RollbackError
from entrypoint.filesystem import atomic_write, make_directories, remove_durably
from entrypoint.host import Host
from entrypoint.log import log
from entrypoint.plan import FileEdit


def write(host: Host, edit: FileEdit) -> None:
    """Make an edit, unless somebody else has changed the file since the plan was made."""
    require_unedited(host, edit)
    put(host.path(edit.path), edit.after)


def require_unedited(host: Host, edit: FileEdit) -> None:
    now = content(host.path(edit.path))
    if now not in (edit.before, edit.after):
        raise MoveError(
            f"{edit.path} was changed by somebody else during the move.",
            details="It is left as it is now.",
            resolution="Run the same command again; it takes the new content into account.",
        )


def restore(host: Host, edit: FileEdit, data_root: str) -> None:
    """Take an edit back, if it was made.

    If somebody else has changed the file since, all they wrote stays; only a setting of `data_root` goes back to what
    it was. Raises RollbackError if even that cannot be done.
    """
    place = host.path(edit.path)
    now = content(place)
    if now == edit.after:
        put(place, edit.before)
    elif now is not None and now != edit.before:
        _put_setting_back(place, now, edit, data_root)
    remove_empty(host, reversed(edit.created))


def content(place: Path) -> bytes | None:
    return place.read_bytes() if place.exists() else None


def put(place: Path, wanted: bytes | None) -> None:
    """Give a file its content, or remove it; one that is right already is not touched: the disk may be full."""
    if content(place) == wanted:
        return
    if wanted is None:
        remove_durably(place)
    else:
        make_directories(place.parent)
        atomic_write(place, wanted)


def _put_setting_back(place: Path, now: bytes, edit: FileEdit, data_root: str) -> None:
    log.warning("edit.foreign", path=edit.path)
    try:
        if daemon_config.parse(now, edit.path).get(daemon_config.KEY) == data_root:
            atomic_write(place, daemon_config.with_setting_of(now, edit.before, edit.path))
    except PreflightError as error:
        raise RollbackError(
            f"{edit.path} was changed by somebody else and cannot be put back.", details=error.text()
        ) from error


def take_back(host: Host, edit: FileEdit) -> None:
    """Take back a file that is ours alone, whatever it holds now."""
    put(host.path(edit.path), edit.before)
    remove_empty(host, reversed(edit.created))


def remove_empty(host: Host, directories: Iterable[str]) -> None:
    """Remove directories that were made for the move, the innermost first, if nobody has put anything there."""
    for directory in directories:
        place = host.path(directory)
        if not place.is_dir() or any(place.iterdir()):
            return
        place.rmdir()

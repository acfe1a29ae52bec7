"""Edits of the host's configuration: made, taken back, and never at the cost of what somebody else has written."""

from collections.abc import Callable, Iterable
from pathlib import Path

from entrypoint.console.errors import MoveError, PreflightError, RollbackError
from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import atomic_write, make_directories, remove_durably
from entrypoint.host.host import Host
from entrypoint.settings import formats
from entrypoint.settings.file_edit import FileEdit


def write(host: Host, edit: FileEdit) -> None:
    """Make an edit, unless somebody else has changed the file since the plan was made."""
    require_unedited(host, edit)
    make(host, edit)


def make(host: Host, edit: FileEdit) -> None:
    """Make an edit of a file that is ours, whatever it holds now."""
    put(host.path(edit.path), edit.after)
    if edit.after is None:
        remove_empty(host, reversed(edit.created))


def require_unedited(host: Host, edit: FileEdit) -> None:
    now = content(host.path(edit.path))
    if now not in (edit.before, edit.after):
        raise MoveError(
            f"{edit.path} was changed by somebody else during the move.",
            details="It is left as it is now.",
            resolution="Run the same command again; it takes the new content into account.",
        )


def restore(host: Host, edit: FileEdit, is_target: Callable[[str | None], bool]) -> None:
    """Take an edit back, if it was made.

    If somebody else has changed the file since, all they wrote stays; only the setting of the data root goes back to
    what it was, if it still leads to the target. Raises RollbackError if even that cannot be done.
    """
    place = host.path(edit.path)
    now = content(place)
    if now == edit.after:
        put(place, edit.before)
    elif now is not None and now != edit.before:
        _put_setting_back(place, now, edit, is_target)
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


def _put_setting_back(place: Path, now: bytes, edit: FileEdit, is_target: Callable[[str | None], bool]) -> None:
    log.warning("edit.foreign", path=edit.path)
    try:
        if is_target(formats.root_in(now, edit.setting, edit.path)):
            atomic_write(place, formats.with_old_root(now, edit.before, edit.setting, edit.path))
    except PreflightError as error:
        raise RollbackError(
            f"{edit.path} was changed by somebody else and cannot be put back.", details=error.text()
        ) from error


def take_back(host: Host, edit: FileEdit) -> None:
    """Take back a file that is ours alone, whatever it holds now."""
    put(host.path(edit.path), edit.before)
    remove_empty(host, reversed(edit.created))


def make_lines(host: Host, edit: FileEdit) -> None:
    """Make an edit of a file of rules, a line each; what others have written into it since the plan stays."""
    place = host.path(edit.path)
    put(place, merged(content(place), edit.before, edit.after))


def take_lines_back(host: Host, edit: FileEdit) -> None:
    place = host.path(edit.path)
    put(place, merged(content(place), edit.after, edit.before))


def merged(now: bytes | None, before: bytes | None, after: bytes | None) -> bytes | None:
    """A file's content after a change of some of its lines, whatever else it holds by now."""
    if now == before:
        return after
    old, new = _lines(before), _lines(after)
    kept = [line for line in _lines(now) if line in new or line not in old]
    lines = [*kept, *(line for line in new if line not in (*old, *kept))]
    return b"".join(line + b"\n" for line in lines) if lines or after is not None else None


def _lines(content: bytes | None) -> list[bytes]:
    return (content or b"").splitlines()


def remove_empty(host: Host, directories: Iterable[str]) -> None:
    """Remove directories that were made for the move, the innermost first, if nobody has put anything there."""
    for directory in directories:
        place = host.path(directory)
        if not place.is_dir() or any(place.iterdir()):
            return
        place.rmdir()

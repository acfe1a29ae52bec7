"""An edit of one file of the host's configuration, as a plan holds it and a journal keeps it."""

import base64
import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from entrypoint.host_file import HostFile
from entrypoint.settings import Setting


@dataclass(frozen=True)
class FileEdit:
    """One file of the host's configuration: its content before and after; None where it is not to be there.

    `created` are the directories that have to be made for it, the outermost first. `setting` says where in the file
    the data root is set, if it is the one that sets it.
    """

    path: str
    before: bytes | None
    after: bytes | None
    created: tuple[str, ...] = ()
    setting: Setting = field(default_factory=Setting)

    def diff(self) -> str:
        """A unified diff, for people."""
        old = (self.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
        new = (self.after or b"").decode("utf-8", "replace").splitlines(keepends=True)
        origin, result = (self.path if content is not None else "/dev/null" for content in (self.before, self.after))
        lines = difflib.unified_diff(old, new, origin, result)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"before": encode(self.before), "after": encode(self.after)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FileEdit":
        setting = Setting.from_json(stored["setting"])
        return cls(stored["path"], decode(stored["before"]), decode(stored["after"]), tuple(stored["created"]), setting)


def does(edit: FileEdit) -> str:
    return "write" if edit.after is not None else "remove"


def encode(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def edit(file: HostFile, after: bytes | None) -> FileEdit:
    created = missing_directories(file.path.parent, file.ancestor)
    return FileEdit(str(file.path), file.content, after, created)


def missing_directories(target: PurePosixPath, ancestor: PurePosixPath) -> tuple[str, ...]:
    """The directories between the nearest existing one and the target, with the target, the outermost first."""
    steps = (target, *target.parents)
    return tuple(str(step) for step in reversed(steps) if ancestor in step.parents)

"""An edit of one file of the host's configuration, as a plan holds it and a journal keeps it."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.host.disks.host_file import HostFile
from entrypoint.settings import formats, masked
from entrypoint.settings.formats import daemon_json
from entrypoint.settings.setting import Kind, Setting


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
        """A unified diff, for people: of the files as they are, told as they may be shown (masked.py)."""
        origin, result = (self.path if content is not None else "/dev/null" for content in (self.before, self.after))
        head = f"--- {origin}\n+++ {result}\n" if self.before != self.after else ""
        before, after = self._shown(self.before), self._shown(self.after)
        old, new = (masked.LINE.findall((one or b"").decode("utf-8", "replace")) for one in (self.before, self.after))
        groups = difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(3)
        return head + "".join(line for group in groups for line in _hunk(group, before, after))

    def _shown(self, content: bytes | None) -> list[str]:
        roots = {self.setting.was}
        for one in (self.before, self.after):
            with suppress(PreflightError):
                roots.add(formats.root_in(one, self.setting, self.path) or "")
        return formats.lines(content, self._kind(content), self.setting.name, roots - {""})

    def _kind(self, content: bytes | None) -> Kind | None:
        """What a file is read as; none of them is one that sets no root, which is ours or one of SELinux's rules."""
        if self.setting.kind is Kind.JSON and not self.path.endswith(".json"):
            with suppress(PreflightError):
                daemon_json.parse(content, self.path)
                return Kind.JSON
            return None
        return self.setting.kind


def _hunk(group: Sequence[tuple[str, int, int, int, int]], old: list[str], new: list[str]) -> Iterator[str]:
    """Some changes that stand close together, in the form of `diff -u`."""
    (_, first, _, second, _), (_, _, first_end, _, second_end) = group[0], group[-1]
    yield f"@@ -{_range(first, first_end)} +{_range(second, second_end)} @@\n"
    for tag, one, one_end, two, two_end in group:
        if tag == "equal":
            yield from (_line(" ", line) for line in old[one:one_end])
            continue
        yield from (_line("-", line) for line in old[one:one_end])
        yield from (_line("+", line) for line in new[two:two_end])


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _line(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def does(edit: FileEdit) -> str:
    return "write" if edit.after is not None else "remove"


def edit(file: HostFile, after: bytes | None) -> FileEdit:
    created = missing_directories(file.path.parent, file.ancestor)
    return FileEdit(str(file.path), file.content, after, created)


def missing_directories(target: PurePosixPath, ancestor: PurePosixPath) -> tuple[str, ...]:
    """The directories between the nearest existing one and the target, with the target, the outermost first."""
    steps = (target, *target.parents)
    return tuple(str(step) for step in reversed(steps) if ancestor in step.parents)

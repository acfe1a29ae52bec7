"""The formats in which a root is set, a file each: where it stands, the content with another one, and the way back.

Face: `root_in`, `with_root`, `with_old_root`, for whatever kind of file; `daemon_json`, `config_toml`, `unit`,
`environment` for what else a file says. `text` is a setting among words, `words` is how systemd divides a line. One
more format is a module with the same functions, a word in `setting.Kind`, and a row in `FORMATS`.
"""

from collections.abc import Mapping
from typing import Protocol

from entrypoint.settings.formats import config_toml, daemon_json, environment, unit
from entrypoint.settings.setting import Kind, Setting


class Format(Protocol):
    """How a kind of file is read and written. Each raises PreflightError for what cannot be read, or edited safely."""

    def root_in(self, content: bytes | None, setting: Setting, place: str) -> str | None:
        """The root that the setting names, as it is written there; None if it names none."""

    def with_root(self, content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
        """The content with the setting naming `root`, everything else byte for byte as it was."""

    def with_old_root(self, content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
        """A content that somebody else has edited, with only the root as it was in `before`, or without one."""


FORMATS: Mapping[Kind, Format] = {
    Kind.JSON: daemon_json,
    Kind.TOML: config_toml,
    Kind.COMMAND: unit.COMMAND,
    Kind.VARIABLE: unit.VARIABLE,
    Kind.ENVIRONMENT: environment.FORMAT,
}


def root_in(content: bytes | None, setting: Setting, place: str) -> str | None:
    return FORMATS[setting.kind].root_in(content, setting, place)


def with_root(content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
    return FORMATS[setting.kind].with_root(content, root, setting, place)


def with_old_root(content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
    return FORMATS[setting.kind].with_old_root(content, before, setting, place)

"""The formats in which a root is set, a file each: where it stands, the content with another one, and the way back.

Face: `root_in`, `with_root`, `with_old_root`, `lines` (for people), for whatever kind of file; `daemon_json`,
`config_toml`, `unit`, `environment` for what else a file says. `text` is a setting among words, `words` is how systemd
divides a line. One more format is a module with the same functions, a word in `setting.Kind`, and a row in `FORMATS`.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from entrypoint.console.discretion import told
from entrypoint.settings.formats import config_toml, daemon_json, environment, unit
from entrypoint.settings.masked import LINE
from entrypoint.settings.setting import Kind, Setting


class Format(Protocol):
    """How a kind of file is read and written. Each raises PreflightError for what cannot be read, or edited safely."""

    def root_in(self, content: bytes | None, setting: Setting, place: str) -> str | None:
        """The root that the setting names, as it is written there; None if it names none."""

    def with_root(self, content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
        """The content with the setting naming `root`, everything else byte for byte as it was."""

    def with_old_root(self, content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
        """A content that somebody else has edited, with only the root as it was in `before`, or without one."""

    def shown(self, text: str, name: str, roots: Collection[str], /) -> str:
        """The text for people, as many lines as it has, with `***` for what may be secret (masked.py).

        `name` is the variable that a root is set in, `roots` are what it is set to.
        """


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


def lines(content: bytes | None, kind: Kind | None, name: str = "", roots: Collection[str] = ()) -> list[str]:
    """The content's lines for people. Without a kind it is a file of which nobody else has written a value."""
    text = (content or b"").decode("utf-8", "replace")
    return LINE.findall(FORMATS[kind].shown(text, name, roots) if kind else told(text))

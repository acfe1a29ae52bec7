"""containerd's configuration file: where its root is, and the smallest edit that sets it anew.

The file is TOML, which Python reads and does not write, and tomlkit writes a line here and there that nobody asked for
(test_config_toml.py). So it is edited as text: the value of the top `root` changes, or a line is added, and what else
is named below the old root (Debian's file names `opt`, a snapshotter may have a `root_path`) is named below the new
one; everything else stays byte for byte. The edit is checked by what it means.

A flag `--root` wins over the file, and a file that it imports does too (containerd cmd/containerd/server/config).
"""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath
from typing import Any

from entrypoint.console.discretion import HIDDEN, told
from entrypoint.console.errors import PreflightError
from entrypoint.settings import masked
from entrypoint.settings.setting import Kind, Setting

DEFAULT_ROOT = "/var/lib/containerd"
KEY = "root"
SETTING = Setting(Kind.TOML, KEY)
# Without a version a file counts as one of an older kind; in this one all else means what it means without a file.
NEW = "version = 2\n"
TABLE = re.compile(r"^[ \t]*\[")
ROOT_LINE = re.compile(r"""^(?P<key>[ \t]*(?:root|"root"|'root')[ \t]*=[ \t]*)(?P<value>"[^"\n]*"|'[^'\n]*')""")
BEFORE = re.compile(r"^[ \t]*(?:version|#[ \t]*root)[ \t]*=")  # a line that ours is to follow
EQUALS = re.compile(r"[ \t]*=")
TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''.*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|#[^\n]*|[\[\]{}=,\n]|[^\s\[\]{}=,#\"']+",
    re.DOTALL,
)
VALUE = re.compile(r""""[^"\\\n]*"|'[^'\n]*'""")


def parse(content: bytes | None, place: str) -> dict[str, Any]:
    """The file's table; a missing one sets nothing. Raises PreflightError for what containerd would refuse."""
    try:
        return tomllib.loads((content or b"").decode("utf-8"))
    except ValueError as error:
        raise PreflightError(
            f"{place} is not valid TOML.",
            details=str(error),
            resolution="containerd would not start with it. Correct it, see that it restarts, and run again.",
        ) from error


def root_in(content: bytes | None, setting: Setting, place: str) -> str | None:
    """containerd takes an empty one for none."""
    value = parse(content, place).get(setting.name)
    return str(value) if value else None


def with_root(content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
    """What the file names below the old root is named below the new one."""
    before = parse(content, place)
    old = str(before.get(KEY) or DEFAULT_ROOT)
    text = (content or NEW.encode()).decode("utf-8")
    edited = _with_value(_renamed(text, old, root), json.dumps(root, ensure_ascii=False))
    expected = {**(_mapped(before, old, root) if content else parse(NEW.encode(), place)), KEY: root}
    return _checked(edited, expected, place, root)


def with_old_root(content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
    wanted, now = root_in(before, setting, place), root_in(content, setting, place) or DEFAULT_ROOT
    if wanted:
        return with_root(content, wanted, setting, place)
    text = _renamed(content.decode("utf-8"), now, DEFAULT_ROOT)
    lines = text.splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines) if not (number < _top(lines) and ROOT_LINE.match(line))]
    expected = _mapped(parse(content, place), now, DEFAULT_ROOT)
    expected.pop(KEY, None)
    return _checked("".join(kept), expected, place, DEFAULT_ROOT)


def renamed(content: bytes | None, old: str, new: str, place: str) -> bytes | None:
    """A file that does not set the root, with what it names below the old root below the new. Raises PreflightError."""
    parsed = parse(content, place)
    expected = _mapped(parsed, old, new)
    if content is None or expected == parsed:
        return content
    return _checked(_renamed(content.decode("utf-8"), old, new), expected, place, new)


def snapshots_in(content: bytes | None, place: str, snapshotters: Collection[str]) -> str:
    """The place that a file gives to a snapshotter; empty if it gives none. Raises PreflightError."""
    for name, one in _tables(parse(content, place).get("plugins")):
        if name.rpartition(".")[2] in snapshotters and (path := one.get("root_path")):
            return str(path)
    return ""


def _tables(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in table.items() if isinstance(table, dict) else ():
        if isinstance(one, dict):
            yield name, one


def _top(lines: list[str]) -> int:
    """How many lines come before the first table."""
    return next((number for number, line in enumerate(lines) if TABLE.match(line)), len(lines))


def _with_value(text: str, value: str) -> str:
    """The text with the top `root` set: where it stands, or in a line before the first table."""
    lines = text.splitlines(keepends=True)
    top = _top(lines)
    for number in range(top):
        if match := ROOT_LINE.match(lines[number]):
            lines[number] = match["key"] + value + lines[number][match.end() :]
            return "".join(lines)
    place = next((number + 1 for number in range(top) if BEFORE.match(lines[number])), None)
    if place is None:  # before the first key, and behind what is said above it
        place = next((number for number in range(top) if lines[number].strip(" \t\r\n#")
                      and not lines[number].lstrip().startswith("#")), top)  # fmt: skip
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += "\n"
    lines.insert(place, f"{KEY} = {value}\n")
    return "".join(lines)


def _renamed(text: str, old: str, new: str) -> str:
    """The text with every value that is a path below a root below another; comments stay."""

    def follow(match: "re.Match[str]") -> str:
        path = _below(match[0][1:-1], old, new)
        return match[0] if path == match[0][1:-1] else json.dumps(path, ensure_ascii=False)

    lines = text.splitlines(keepends=True)
    return "".join(line if line.lstrip().startswith("#") else VALUE.sub(follow, line) for line in lines)


def _below(path: str, old: str, new: str) -> str:
    """A path below a root as one below another; the root itself is left to its own key."""
    pure = PurePosixPath(path)
    inside = pure.is_absolute() and pure != PurePosixPath(old) and pure.is_relative_to(old)
    return str(PurePosixPath(new) / pure.relative_to(old)) if inside else path


def _mapped(value: Any, old: str, new: str) -> Any:
    """A table in which the same has happened to every text."""
    follow: Callable[[Any], Any] = lambda one: _mapped(one, old, new)
    match value:
        case dict():
            return {key: follow(one) for key, one in value.items()}
        case list():
            return [follow(one) for one in value]
        case str():
            return _below(value, old, new)
        case _:
            return value


def _checked(edited: str, expected: dict[str, Any], place: str, root: str) -> bytes:
    try:
        if tomllib.loads(edited) == expected:
            return edited.encode()
    except tomllib.TOMLDecodeError:
        pass
    raise PreflightError(f"{place} cannot be edited safely.", resolution=f'Set root = "{root}" at its top by hand.')


def shown(text: str, name: str, roots: Collection[str]) -> str:
    return masked.checked(tomllib.loads, text, _masked)


def _masked(text: str) -> str:
    """The text as it may be shown: keys, tables, and the values of some keys."""
    key, depth, is_head, is_value = "", 0, False, False

    def mask(found: "re.Match[str]") -> str:
        nonlocal key, depth, is_head, is_value
        word = found[0]
        if word[0] == "#":
            return f"# {HIDDEN}"
        if word == "\n":
            if not depth or is_head:
                key, depth, is_head, is_value = "", 0, False, False
            return word
        if word in "[{":
            is_head = is_head or not (depth or is_value)
            depth += 1
        elif word in "]}":
            depth -= 1
        elif word == "=":
            is_value = True
        elif is_head or EQUALS.match(text, found.end()):
            key, is_value = key if is_head else word.strip("\"'"), False
            return word
        elif word != "," and word not in masked.NO_SECRET:
            if is_value and key in masked.SHOWN and len(word.splitlines()) == 1:
                return told(word)
            return f'"{HIDDEN}"' + "\n" * word.count("\n")
        return word

    return TOKEN.sub(mask, text)

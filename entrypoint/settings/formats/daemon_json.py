"""dockerd's configuration file: where the data root is set, and the smallest edit that sets it anew.

The file is the administrator's. Its order of keys, its spaces, its mode and its owner stay; one value changes, or one
line is added. dockerd accepts a byte order mark and an empty file, so both are accepted here and kept.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from typing import Any

from entrypoint.console.discretion import HIDDEN, told
from entrypoint.console.errors import PreflightError
from entrypoint.settings import masked
from entrypoint.settings.setting import Setting

KEY = "data-root"
OLD_KEY = "graph"  # the same until 20.10, deprecated since 17.05, an error since 23.0
BOM = "\N{BYTE ORDER MARK}"
WHITESPACE = re.compile(r"[ \t\r\n]*")
DEFAULT_INDENT = "    "
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
COLON = re.compile(r"\s*:")


@dataclass(frozen=True)
class Member:
    """A key of the top object and where its key and value stand in the text."""

    key: str
    key_start: int
    key_end: int
    value_start: int
    value_end: int


def parse(content: bytes | None, place: str) -> dict[str, Any]:
    """The file's object; a missing or empty file sets nothing. Raises PreflightError for what dockerd would refuse."""
    text = _text(content, place)
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except JSONDecodeError as error:
        raise PreflightError(
            f"{place} is not valid JSON.",
            details=f"{error.msg} in line {error.lineno}, column {error.colno}.",
            resolution="The engine would not start with it. Correct it, see that the engine restarts, and run again.",
        ) from error
    if not isinstance(value, dict):
        raise PreflightError(f"{place} holds no JSON object.", resolution="Correct it and run again.")
    return value


def root_in(content: bytes | None, setting: Setting, place: str) -> str | None:
    value = parse(content, place).get(setting.name)
    return None if value is None else str(value)


def with_root(content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
    """Where a flag of the other name would be in conflict with `data-root`, the setting's key is the old one."""
    text = _text(content, place)
    key, value = f'"{setting.name}"', json.dumps(root, ensure_ascii=False)
    expected = others(parse(content, place)) | {setting.name: root}
    if not text.strip():
        mark = BOM if _has_bom(content) else ""
        return f"{mark}{{\n{DEFAULT_INDENT}{key}: {value}\n}}\n".encode()
    return _checked(content, _edit(text, key, value), expected, place)


def with_old_root(content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
    was = parse(before, place)
    value = next((was[name] for name in (KEY, OLD_KEY) if name in was), None)
    if value is not None:
        return with_root(content, str(value), setting, place)
    return _checked(content, _remove(_text(content, place)), others(parse(content, place)), place)


def root_keys(content: bytes | None, place: str) -> dict[str, str]:
    """The keys that set the data root, under whichever name, and their values."""
    parsed = parse(content, place)
    return {key: str(parsed[key]) for key in (KEY, OLD_KEY) if key in parsed}


def others(parsed: dict[str, Any]) -> dict[str, Any]:
    """Everything that is set but the data root."""
    return {key: value for key, value in parsed.items() if key not in (KEY, OLD_KEY)}


def _checked(content: bytes | None, edited: str, expected: dict[str, Any], place: str) -> bytes:
    """The edited text as bytes: an edit of text is checked by what it means."""
    if json.loads(edited) != expected:
        raise PreflightError(f"{place} cannot be edited safely.", resolution=f'Set "{KEY}" in it by hand once.')
    return ((BOM if _has_bom(content) else "") + edited).encode()


def _has_bom(content: bytes | None) -> bool:
    return content is not None and content.startswith(BOM.encode())


def _remove(text: str) -> str:
    """The text without the data root, and without the comma that is one too many then."""
    members = scan(text)
    for position, member in enumerate(members):
        if member.key in (KEY, OLD_KEY):
            if position:
                return text[: members[position - 1].value_end] + text[member.value_end :]
            following = members[1].key_start if len(members) > 1 else member.value_end
            return text[: member.key_start] + text[following:]
    return text


def _text(content: bytes | None, place: str) -> str:
    try:
        return (content or b"").decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise PreflightError(f"{place} is not UTF-8 text.", details=str(error)) from error


def _edit(text: str, key: str, value: str) -> str:
    members = scan(text)
    for member in members:
        if member.key in (KEY, OLD_KEY):
            return f"{text[: member.key_start]}{key}{_between(text, member)}{value}{text[member.value_end :]}"
    if not members:
        opening = text.index("{") + 1
        return f"{text[:opening]}\n{DEFAULT_INDENT}{key}: {value}\n{text[text.rindex('}') :]}"
    last = members[-1]
    lead = text[: members[0].key_start][text.index("{") + 1 :]  # what stands before the first key stands before ours
    return f"{text[: last.value_end]},{lead or ' '}{key}: {value}{text[last.value_end :]}"


def _between(text: str, member: Member) -> str:
    """The colon and the spaces around it, as the administrator wrote them."""
    return text[member.key_end : member.value_start]


def scan(text: str) -> list[Member]:
    """The members of a JSON text's top object, with their positions; the text is known to be valid."""
    decoder = json.JSONDecoder()
    position = _skip(text, text.index("{") + 1)
    members = []
    while text[position] != "}":
        key, key_end = decoder.raw_decode(text, position)
        value_start = _skip(text, _skip(text, key_end) + 1)
        _value, value_end = decoder.raw_decode(text, value_start)
        members.append(Member(key, position, key_end, value_start, value_end))
        position = _skip(text, value_end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return members


def _skip(text: str, position: int) -> int:
    match = WHITESPACE.match(text, position)
    assert match is not None
    return match.end()


def shown(text: str, name: str, roots: Collection[str]) -> str:
    return masked.checked(json.loads, text, _masked)


def _masked(text: str) -> str:
    """The text as it may be shown: values of the top object, and those in its lists."""
    stack: list[str] = []
    top = ""

    def mask(found: "re.Match[str]") -> str:
        nonlocal top
        word = found[0]
        if word in "{[":
            stack.append(word)
        elif word in "}]":
            stack.pop()
        elif word[0] != '"':
            is_shown = len(stack) < 2 or top in masked.SHOWN or word in {*masked.NO_SECRET, ":", ","}
            return word if is_shown else HIDDEN
        elif COLON.match(text, found.end()):
            if len(stack) == 1:
                top = str(json.loads(word))
            return word if masked.PLAIN.fullmatch(word[1:-1]) else f'"{HIDDEN}"'
        elif top not in masked.SHOWN or stack not in (["{"], ["{", "["]):
            return f'"{HIDDEN}"'
        else:
            return told(word)
        return word

    return TOKEN.sub(mask, text)

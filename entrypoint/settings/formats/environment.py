"""Files named by `EnvironmentFile=`, as systemd reads them (src/basic/env-file.c): nearly what a shell would read.

Outside quotes a value ends with its line and blanks inside it stay; quotes count only at its beginning; a backslash at
the end of a line continues it, inside double quotes too.
"""

import re
from collections.abc import Iterator

from entrypoint.settings.formats.words import Char, Traced

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BLANK = " \t\r"
ESCAPED = '"\\`$'  # what a backslash escapes inside double quotes


def values(text: str) -> Iterator[tuple[str, Traced]]:
    """Every name and its value, in the order of the file; later ones win."""
    position = 0
    while position < len(text):
        if text[position] in BLANK + "\n":
            position += 1
        elif text[position] in "#;":
            position = _line_end(text, position)
        else:
            end = _line_end(text, position)
            divide = text.find("=", position, end)
            if divide < 0:
                position = end
                continue
            name = text[position:divide].strip()
            value, position = _value(text, divide + 1)
            if NAME.fullmatch(name):
                yield name, value


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _value(text: str, position: int) -> tuple[Traced, int]:
    chars: list[Char] = []
    while position < len(text) and text[position] != "\n":
        mark = text[position]
        if mark in BLANK:
            position += 1
        elif mark in "\"'":
            position = _quoted(text, position, mark, chars)
        else:
            position = _bare(text, position, chars)
    return tuple(chars), position


def _quoted(text: str, position: int, quote: str, chars: list[Char]) -> int:
    position += 1
    while position < len(text) and text[position] != quote:
        char, length = text[position], 1
        following = text[position + 1 : position + 2]
        if quote == '"' and char == "\\" and following:
            if following == "\n":
                position += 2
                continue
            if following in ESCAPED:
                char, length = following, 2
        chars.append(Char(char, position, position + length, quote))
        position += length
    return position + 1


def _bare(text: str, position: int, chars: list[Char]) -> int:
    begun = len(chars)
    kept = begun  # up to here no blank ends the value
    while position < len(text) and text[position] != "\n":
        char, length = text[position], 1
        if char == "\\":
            following = text[position + 1 : position + 2]
            if following in ("", "\n"):
                position += 1 + len(following)
                continue
            char, length = following, 2
        chars.append(Char(char, position, position + length))
        position += length
        if char not in BLANK or length == 2:
            kept = len(chars)
    del chars[kept:]
    return position


def written(text: str, quote: str) -> str:
    """A text as it is written in such a file, inside a quote or outside any; a shell reads the same."""
    if quote == "'":
        return text.replace("'", "'\"'\"'")
    special = ESCAPED if quote else "\\$`"
    return "".join(f"\\{char}" if char in special else char for char in text)

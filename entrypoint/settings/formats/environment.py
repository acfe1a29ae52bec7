"""Files named by `EnvironmentFile=`, as systemd reads them (src/basic/env-file.c): nearly what a shell would read.

Outside quotes a value ends with its line and blanks inside it stay; quotes count only at its beginning; a backslash at
the end of a line continues it, inside double quotes too.
"""

import re
from collections.abc import Collection, Iterator

from entrypoint.console.discretion import HIDDEN
from entrypoint.settings import masked
from entrypoint.settings.formats.text import Found, Text, in_value
from entrypoint.settings.setting import Setting

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BLANK = " \t\r"
ESCAPED = '"\\`$'  # what a backslash escapes inside double quotes
QUOTE = re.compile("[\"']")


def values(text: str) -> Iterator[tuple[str, str]]:
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


def _value(text: str, position: int) -> tuple[str, int]:
    """The value that begins at a position, and where the text goes on."""
    value = ""
    while position < len(text) and text[position] != "\n":
        mark = text[position]
        if mark in BLANK:
            position += 1
            continue
        part, position = _quoted(text, position, mark) if mark in "\"'" else _bare(text, position)
        value += part
    return value, position


def _quoted(text: str, position: int, quote: str) -> tuple[str, int]:
    part, position = "", position + 1
    while position < len(text) and text[position] != quote:
        char, length = text[position], 1
        following = text[position + 1 : position + 2]
        if quote == '"' and char == "\\" and following:
            if following == "\n":
                char, length = "", 2
            elif following in ESCAPED:
                char, length = following, 2
        part += char
        position += length
    return part, position + 1


def _bare(text: str, position: int) -> tuple[str, int]:
    part, kept = "", 0  # up to here no blank ends the value
    while position < len(text) and text[position] != "\n":
        char, length = text[position], 1
        if char == "\\":
            following = text[position + 1 : position + 2]
            char, length = ("" if following == "\n" else following), 1 + len(following)
        part += char
        position += length
        if char and (char not in BLANK or length == 2):
            kept = len(part)
    return part[:kept], position


def find(text: str, setting: Setting) -> Found | None:
    """The root in the variable's last value."""
    found = None
    pairs = list(values(text))
    for number, (name, value) in enumerate(pairs):
        if name == setting.name and value:
            others = (f"{key}={other}" for key, other in (*pairs[:number], *pairs[number + 1 :]))
            found = in_value(value, setting, others)
    return found


def ways(text: str) -> Iterator[str]:
    """The ways to write a text in such a file; a shell reads the same."""
    bare = "".join(f"\\{char}" if char in "\\$`" else char for char in text)
    yield bare
    yield QUOTE.sub(r"\\\g<0>", bare)  # a quote at the beginning of an assignment would be the file's own
    yield "".join(f"\\{char}" if char in ESCAPED else char for char in text)
    yield text.replace("'", "'\"'\"'")


def _masked(text: str, name: str, roots: Collection[str]) -> Iterator[str]:
    """The lines as they may be shown. A name is one only where no value goes on: in one it may be a part of it."""
    quote, goes_on, words = "", False, masked.Words(roots, name)
    for line in masked.LINE.findall(text):
        start = 0
        if not quote and not goes_on:
            if line.strip()[:1] in ("#", ";"):
                yield masked.comment(line)
                continue
            words = masked.Words(roots, name)
            assigned = masked.ASSIGNED.fullmatch(line)
            start = len(assigned["key"]) if assigned else 0
        yield line[:start] + masked.REPEATED.sub(HIDDEN, words.mask(line[start:]))
        quote, goes_on = _quote_after(line[start:], quote)


def _quote_after(text: str, quote: str) -> tuple[str, bool]:
    """The quote that is open behind a part of a value, and whether a backslash ends it."""
    position, goes_on = 0, False
    body = text.rstrip("\r\n")
    while position < len(body):
        char = body[position]
        if char == "\\" and quote != "'":
            goes_on = position + 1 == len(body)
            position += 2
            continue
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        position += 1
    return quote, goes_on


FORMAT = Text(find, ways, _masked)

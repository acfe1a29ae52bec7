"""Words as systemd divides them, each character with the place in the file that it comes from.

A setting is edited where it stands, and everything around it stays. So a value is not taken apart into strings but into
characters that know their origin, through every layer: a file's quotes and continued lines, then the words of a
command line and their quotes (systemd.syntax(7), systemd.service(5); src/basic/extract-word.c).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

WHITESPACE = " \t\n\r"
QUOTES = "\"'"
C_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
NUMBERED = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
PLAIN = re.compile(r"[^\s\"'\\;]+")


@dataclass(frozen=True)
class Char:
    """A character and its origin, `[start, end)` of the file's text.

    `quote` is the quote it stands in at this layer, `outer` that of the layer below; empty if in none.
    """

    value: str
    start: int
    end: int
    quote: str = ""
    outer: str = ""


Traced = tuple[Char, ...]


@dataclass(frozen=True)
class Word:
    """A word without its quotes; `start` and `end` are those of its text in the file, quotes and all."""

    chars: Traced
    start: int
    end: int
    outer: str = ""

    @property
    def text(self) -> str:
        return text_of(self.chars)


def text_of(chars: Iterable[Char]) -> str:
    return "".join(char.value for char in chars)


def plain(text: str, offset: int = 0) -> Traced:
    return tuple(Char(char, offset + position, offset + position + 1) for position, char in enumerate(text))


def split(value: Traced, *, c_escapes: bool) -> tuple[Word, ...]:
    """The words of a value. Raises ValueError for what systemd would refuse too.

    With `c_escapes` a backslash begins an escape of C, as in unit files; without, the next character stands for
    itself, as where a variable is divided into words.
    """
    words: list[Word] = []
    position = 0
    while (position := _skip(value, position)) < len(value):
        chars, after = _word(value, position, c_escapes)
        words.append(Word(tuple(chars), value[position].start, value[after - 1].end, value[position].quote))
        position = after
    return tuple(words)


def _skip(value: Traced, position: int) -> int:
    while position < len(value) and value[position].value in WHITESPACE:
        position += 1
    return position


def _word(value: Traced, position: int, c_escapes: bool) -> tuple[list[Char], int]:
    chars: list[Char] = []
    quote = ""
    while position < len(value):
        char = value[position]
        if char.value == "\\":
            char, position = _escape(value, position, c_escapes)
        elif quote and char.value == quote:
            quote, position = "", position + 1
            continue
        elif not quote and char.value in QUOTES:
            quote, position = char.value, position + 1
            continue
        elif not quote and char.value in WHITESPACE:
            return chars, position
        else:
            position += 1
        chars.append(replace(char, quote=quote, outer=char.quote))
    if quote:
        raise ValueError(f"a quote {quote} is not closed")
    return chars, position


def _escape(value: Traced, position: int, c_escapes: bool) -> tuple[Char, int]:
    """The character that an escape stands for, and where the text goes on."""
    rest = value[position + 1 :]
    if not rest:
        raise ValueError("a backslash stands at the end")
    found, length = rest[0].value, 1
    if c_escapes and found not in "\\\"'":
        if match := NUMBERED.match(text_of(rest[:9])):
            digits = next(group for group in match.groups() if group)
            found, length = chr(int(digits, 8 if match[4] else 16)), match.end()
        elif found in C_ESCAPES:
            found = C_ESCAPES[found]
        else:
            raise ValueError(f"\\{found} is no escape")
    last = value[position + length]
    return replace(value[position], value=found, end=last.end), position + length + 1


def quotings(text: str, like: str = "") -> Iterator[str]:
    """The ways to write `text` as a word, or a word's end, the one that is written `like` the old text first."""
    styles = ['"', "'"]
    if like[:1] in styles:
        styles.sort(key=lambda style: style != like[0])
    elif PLAIN.fullmatch(text):
        yield text
    if "'" not in text and '"' in text and like[:1] != '"':
        styles.reverse()
    for style in styles:
        yield style + escaped(text, style) + style


def escaped(text: str, quote: str) -> str:
    """A text as it is written inside quotes, or outside any (where only a backslash can keep a blank)."""
    special = "\\" + (quote or WHITESPACE + QUOTES)
    return "".join(f"\\{char}" if char in special else char for char in text)

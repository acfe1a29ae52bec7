"""Words as systemd divides them, and the ways to write one (systemd.syntax(7), systemd.service(5); extract-word.c)."""

import re
from collections.abc import Iterator

WHITESPACE = " \t\n\r"
QUOTES = "\"'"
C_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
NUMBERED = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
PLAIN = re.compile(r"[^\s\"'\\;]+")


def split(text: str, *, c_escapes: bool) -> tuple[str, ...]:
    """The words of a text, without their quotes. Raises ValueError for what systemd would refuse too.

    With `c_escapes` a backslash begins an escape of C, as in unit files; without, the next character stands for
    itself, as where a variable is divided into words.
    """
    words: list[str] = []
    position = _skip(text, 0)
    while position < len(text):
        word, position = _word(text, position, c_escapes)
        words.append(word)
        position = _skip(text, position)
    return tuple(words)


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in WHITESPACE:
        position += 1
    return position


def _word(text: str, position: int, c_escapes: bool) -> tuple[str, int]:
    """The word that begins at a position, and where the text goes on."""
    word = quote = ""
    while position < len(text):
        char = text[position]
        if char == "\\":
            char, position = _escape(text, position + 1, c_escapes)
            word += char
            continue
        if not quote and char in WHITESPACE:
            break
        position += 1
        if char == quote:
            quote = ""
        elif not quote and char in QUOTES:
            quote = char
        else:
            word += char
    if quote:
        raise ValueError(f"a quote {quote} is not closed")
    return word, position


def _escape(text: str, position: int, c_escapes: bool) -> tuple[str, int]:
    """The character that stands behind a backslash, and where the text goes on."""
    char = text[position : position + 1]
    if not char:
        raise ValueError("a backslash stands at the end")
    if not c_escapes or char in "\\\"'":
        return char, position + 1
    if match := NUMBERED.match(text, position):
        digits = next(group for group in match.groups() if group)
        return chr(int(digits, 8 if match[4] else 16)), match.end()
    if char not in C_ESCAPES:
        raise ValueError(f"\\{char} is no escape")
    return C_ESCAPES[char], position + 1


def quotings(text: str) -> Iterator[str]:
    """The ways to write a text as a word, or a word's end."""
    if PLAIN.fullmatch(text):
        yield text
    styles = "'\"" if "'" not in text and '"' in text else QUOTES
    for style in styles:
        yield style + escaped(text, style) + style


def escaped(text: str, quote: str) -> str:
    """A text as it is written inside quotes, or outside any (where only a backslash can keep a blank)."""
    special = "\\" + (quote or WHITESPACE + QUOTES)
    return "".join(f"\\{char}" if char in special else char for char in text)

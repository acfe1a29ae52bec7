"""Unit files of systemd: their assignments, the words of a command, and edits that leave everything else alone.

systemd.syntax(7): a line that ends with a backslash goes on in the next, the two become a space, and comments between
are left out. An empty assignment of a list forgets what was assigned before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from entrypoint.settings.formats.words import Char, Traced, Word, escaped, split, text_of

COMMENT = "#;"
VENDOR = ("/usr/", "/lib/", "/run/", "/nix/", "/snap/")
PREFIXES = "@-:+!|"  # systemd.service(5), special executable prefixes


@dataclass(frozen=True)
class Assignment:
    """`key=value` in a section; blanks around the value are not part of it."""

    section: str
    key: str
    value: Traced

    @property
    def text(self) -> str:
        return text_of(self.value)


def assignments(text: str) -> Iterator[Assignment]:
    """Every assignment of a unit file, in its order."""
    section = ""
    for line in _logical_lines(text):
        written = text_of(line)
        if written.startswith("[") and written.endswith("]"):
            section = written[1:-1]
        elif "=" in written:
            divide = written.index("=")
            yield Assignment(section, written[:divide].strip(), _strip(line[divide + 1 :]))


def _logical_lines(text: str) -> Iterator[Traced]:
    gathered: list[Char] = []
    position = 0
    for raw in text.split("\n"):
        start, position = position, position + len(raw) + 1
        line = raw.strip(" \t\r")
        if line[:1] and line[0] in COMMENT:
            continue  # also in the middle of a continued line
        start += len(raw) - len(raw.lstrip(" \t\r"))
        goes_on = line.endswith("\\")
        kept = line[:-1] if goes_on else line
        gathered += [Char(char, start + number, start + number + 1) for number, char in enumerate(kept)]
        if goes_on:
            gathered.append(Char(" ", start + len(kept), position))
            continue
        yield _strip(tuple(gathered))
        gathered = []
    yield _strip(tuple(gathered))


def _strip(chars: Traced) -> Traced:
    first, last = 0, len(chars)
    while first < last and chars[first].value.isspace():
        first += 1
    while first < last and chars[last - 1].value.isspace():
        last -= 1
    return chars[first:last]


def effective(texts: Sequence[str], key: str) -> list[tuple[int, Assignment]]:
    """The assignments of a list in [Service] that are in force, with the number of the text each stands in."""
    found: list[tuple[int, Assignment]] = []
    for number, text in enumerate(texts):
        for one in assignments(text):
            if (one.section, one.key) == ("Service", key):
                found = [*found, (number, one)] if one.value else []
    return found


def command_words(value: Traced) -> tuple[Word, ...]:
    """The words of an `Exec…=` line: no prefixes, `%%` as `%`; `$$` and other specifiers stay as they are."""
    first = 0
    while first < len(value) and value[first].value in PREFIXES:
        first += 1
    return tuple(_without_doubled(word, "%") for word in split(value[first:], c_escapes=True))


def variables(value: Traced) -> Iterator[tuple[str, Word]]:
    """The names that an `Environment=` line assigns, with the value of each as a part of its word."""
    for word in split(value, c_escapes=True):
        name, equals, _ = word.text.partition("=")
        if equals:
            chars = word.chars[len(name) + 1 :]
            start = chars[0].start if chars else word.end
            inner = _without_doubled(Word(chars, start, word.end, word.outer), "%")
            yield name, inner


def _without_doubled(word: Word, mark: str) -> Word:
    chars: list[Char] = []
    for char in word.chars:
        if chars and char.value == mark == chars[-1].value and chars[-1].end <= char.start:
            chars[-1] = replace(chars[-1], value=mark * 2, end=char.end)
        else:
            chars.append(char)
    return replace(word, chars=tuple(replace(one, value=mark) if one.value == mark * 2 else one for one in chars))


def in_command(text: str) -> str:
    """A text for `Exec…=`, where two marks have a meaning of their own."""
    return text.replace("%", "%%").replace("$", "$$")


def in_environment(text: str, quote: str) -> str:
    """A text inside a word of `Environment=`; a backslash before a blank is no escape of C, the blank's number is."""
    return "".join("\\x20" if char == " " and not quote else escaped(char, quote) for char in text).replace("%", "%%")


def is_vendors(path: str) -> bool:
    """Whether a file belongs to a package, or is made anew at each boot; it is overridden, never edited."""
    return path.startswith(VENDOR)


def drop_in(service: str, name: str) -> str:
    return f"/etc/systemd/system/{service}.d/{name}"


def overriding(lines: Sequence[str], reason: str) -> bytes:
    """A drop-in of ours with lines for [Service]."""
    return "\n".join([f"# Written by relocator: {reason}", "[Service]", *lines, ""]).encode()

"""A setting in a text of words: a flag among the words of a command line, or a variable that holds one.

What differs between files is how the value is found and how a text is written there; `Text` is made of that. Nobody
knows where in the file a value stands: wherever the old root is written, the new one is put in its place, in each way
in which it can be written. The first edit that is read again as the new root, with everything else that the file says
unchanged, is the one.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from entrypoint.console.errors import PreflightError
from entrypoint.settings import flags
from entrypoint.settings.formats.words import QUOTES, escaped, quotings, split
from entrypoint.settings.setting import Form, Setting

BETWEEN = r"""(?:["'\\]|\\\r?\n)*?"""  # quotes that begin or end in a word, escapes, and in some files an end of line
DOUBLED = "%$"  # in units each stands for itself only if it stands twice
BLANK = "/ "  # a root that is read as it stands only inside quotes


@dataclass(frozen=True)
class Found:
    """The root that a setting names, and all else that the file says; `value` is that of the variable it stands in."""

    root: str
    others: tuple[str, ...]
    value: str = field(default="", compare=False)


@dataclass(frozen=True)
class Text:
    """A format of text. `find` reads a setting, and raises ValueError for what is not understood; `ways` are those in
    which a text can be written in the file, each right between other quotes; `masked` gives the lines that may
    be shown, for the arguments of `shown`."""

    find: Callable[[str, Setting], Found | None]
    ways: Callable[[str], Iterable[str]]
    masked: Callable[[str, str, Collection[str]], Iterator[str]]

    def root_in(self, content: bytes | None, setting: Setting, place: str) -> str | None:
        found = self._find(text_of_file(content), setting, place)
        return found.root if found else None

    def with_root(self, content: bytes | None, root: str, setting: Setting, place: str) -> bytes:
        text = text_of_file(content)
        found = self._find(text, setting, place)
        if found is None:
            raise PreflightError(
                f"{place} does not set the data root any more.", resolution="Run the same command again."
            )
        for word, edited in self._edits(text, found, root, setting):
            if self._means(edited, replace(found, root=root), setting, word):
                return edited.encode("utf-8", "surrogateescape")
        raise PreflightError(
            f"{place} cannot be edited safely.", resolution=f"Set the data root to {root} in it by hand."
        )

    def with_old_root(self, content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
        return self.with_root(content, setting.was, setting, place)

    def shown(self, text: str, name: str, roots: Collection[str]) -> str:
        return "".join(self.masked(text, name, roots))

    def _edits(self, text: str, found: Found, root: str, setting: Setting) -> Iterator[tuple[str, str]]:
        """Texts with another root, each with the word that it was written as."""
        for start, end in spans(text, found.root):
            before, after = text[:start], text[end:]
            blanks = (before + blank + after for blank in self.ways(BLANK))
            is_quoted = any(self._means(edited, replace(found, root=BLANK), setting) for edited in blanks)
            words = _words(root, before, setting.form, is_quoted)
            yield from ((word, before + written + after) for word in words for written in self.ways(word))

    def _means(self, text: str, wanted: Found, setting: Setting, word: str = "") -> bool:
        """Whether a text says what is wanted, and a variable holds a word as it was meant."""
        try:
            found = self.find(text, setting)
        except ValueError:
            return False
        return found == wanted and (not found.value or word in found.value)

    def _find(self, text: str, setting: Setting, place: str) -> Found | None:
        try:
            return self.find(text, setting)
        except ValueError as error:
            raise PreflightError(f"{place} cannot be understood.", details=str(error)) from error


def spans(text: str, root: str) -> Iterator[tuple[int, int]]:
    """Where a root may be written in a text, the last place first: alone, and with the quotes around it."""
    pattern = re.compile(rf"""["'\\]*({BETWEEN.join(map(_char, root))})["']*""")
    for match in reversed(list(pattern.finditer(text))):
        yield from dict.fromkeys((match.span(1), match.span()))


def _char(char: str) -> str:
    """A character as it may be written: itself, or its number behind a backslash."""
    code, itself = ord(char), re.escape(char)
    numbers = f"x{code:02x}|u{code:04x}|U{code:08x}|{code:03o}" + ("|s" if char == " " else "")
    return f"(?:{itself}{itself + '?' if char in DOUBLED else ''}|(?i:{numbers}))"


def _words(root: str, before: str, form: Form, is_quoted: bool) -> Iterator[str]:
    """The ways to write a root behind a text; of two quotes it is likelier to stand in that which was written last."""
    if form is Form.VERBATIM:
        yield root
    elif is_quoted:
        yield from (escaped(root, quote) for quote in sorted(QUOTES, key=before.rfind, reverse=True))
    else:
        yield from quotings(root)


def in_words(words: Sequence[str], setting: Setting, others: Iterable[str]) -> Found | None:
    """The value of the root's flag among words."""
    flag = flags.last(words, setting.flags)
    if flag is None or not flag.value:
        return None
    name = words[flag.number][: flag.offset]
    return Found(flag.value, (*words[: flag.number], name, *words[flag.number + 1 :], *others))


def in_value(value: str, setting: Setting, others: Iterable[str]) -> Found | None:
    """The root in a variable's value."""
    if setting.form is Form.VERBATIM:
        return Found(value, tuple(others), value) if value else None
    words = split(value, c_escapes=False)
    if setting.form is Form.WORD:
        return Found(words[0], tuple(others), value) if len(words) == 1 else None
    found = in_words(words, setting, others)
    return replace(found, value=value) if found else None


def text_of_file(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")

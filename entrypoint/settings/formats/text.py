"""A setting in a text of words: a flag among the words of a command line, or a variable that holds one.

What differs between files is how the value is found and how a text is written there; `Text` is made of that. An edit is
checked by what it means: the file is read again, must name the new root, and say nothing else new.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from entrypoint.console.errors import PreflightError
from entrypoint.settings import flags
from entrypoint.settings.formats import environment, unit
from entrypoint.settings.formats.words import Char, Traced, Word, escaped, quotings, split, text_of
from entrypoint.settings.setting import Form, Setting

QUOTE = re.compile("[\"']")


@dataclass(frozen=True)
class Found:
    """A root in a file's text at `[start, end)`, all the ways to write another there, and what stands around it."""

    root: str
    start: int
    end: int
    ways: Callable[[str], Iterator[str]]
    context: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A format of text; `find` tells where in it a setting stands, and raises ValueError for what is not understood."""

    find: Callable[[str, Setting], Found | None]

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
        for written in found.ways(root):
            edited = text[: found.start] + written + text[found.end :]
            now = self._try_find(edited, setting, place)
            if now and now.root == root and now.context == found.context:
                return edited.encode("utf-8", "surrogateescape")
        raise PreflightError(
            f"{place} cannot be edited safely.", resolution=f"Set the data root to {root} in it by hand."
        )

    def with_old_root(self, content: bytes, before: bytes | None, setting: Setting, place: str) -> bytes:
        return self.with_root(content, setting.was, setting, place)

    def _try_find(self, text: str, setting: Setting, place: str) -> Found | None:
        try:
            return self._find(text, setting, place)
        except PreflightError:
            return None

    def _find(self, text: str, setting: Setting, place: str) -> Found | None:
        try:
            return self.find(text, setting)
        except ValueError as error:
            raise PreflightError(f"{place} cannot be understood.", details=str(error)) from error


def text_of_file(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")


def in_command(text: str, setting: Setting) -> Found | None:
    commands = unit.effective([text], "ExecStart")
    if not commands:
        return None
    value = commands[-1][1].value
    words = unit.command_words(value)
    others = _others(text, value)

    def ways(root: str, like: str, quote: str, _start: int) -> Iterator[str]:
        written = unit.in_command(root)
        yield from [escaped(written, quote)] if quote else quotings(written, like)

    return _flag_in(words, value, text, ways, others, lambda one: one.replace("$$", "$"), setting.flags)


def in_variable(text: str, setting: Setting) -> Found | None:
    found = None
    for _, one in unit.effective([text], "Environment"):
        for name, word in unit.variables(one.value):
            if name == setting.name:
                found = _in_value(word.chars, word, text, setting, unit.in_environment, _others(text, one.value))
    return found


def in_environment(text: str, setting: Setting) -> Found | None:
    found = None
    pairs = list(environment.values(text))
    for number, (name, value) in enumerate(pairs):
        if name == setting.name and value:
            others = tuple(f"{key}={text_of(one)}" for at, (key, one) in enumerate(pairs) if at != number)
            whole = Word(value, value[0].start, value[-1].end, value[0].quote)
            found = _in_value(value, whole, text, setting, environment.written, others)
    return found


def _others(text: str, value: Traced) -> tuple[str, ...]:
    """All other assignments of a unit file."""
    return tuple(f"{one.section}.{one.key}={one.text}" for one in unit.assignments(text) if one.value != value)


Encoder = Callable[[str, str], str]


def _in_value(
    value: Traced, whole: Word, text: str, setting: Setting, encode: Encoder, others: tuple[str, ...]
) -> Found | None:
    """The root in a variable's value; `encode` writes a text in the file's own quotes."""
    inner = tuple(Char(char.value, char.start, char.end, char.quote) for char in value)
    if setting.form is Form.VERBATIM:
        quote = inner[0].quote if inner else ""
        return Found(whole.text, whole.chars[0].start, whole.chars[-1].end, lambda root: iter([encode(root, quote)]),
                     others) if inner else None  # fmt: skip

    def ways(root: str, like: str, quote: str, start: int) -> Iterator[str]:
        outer = next((char.quote for char in inner if char.start >= start), "")
        for written in [escaped(root, quote)] if quote else quotings(root, like):
            yield encode(written, outer)
            if not outer:  # a quote at the beginning of an assignment would be the file's own
                yield QUOTE.sub(r"\\\g<0>", encode(written, outer))

    words = split(inner, c_escapes=False)
    if setting.form is Form.WORD:
        if len(words) != 1:
            return None
        word = words[0]
        like = text[word.start : word.end]
        return Found(word.text, word.start, word.end, lambda root: ways(root, like, "", word.start), others)
    return _flag_in(words, inner, text, ways, others, str, setting.flags)


def _flag_in(
    words: tuple[Word, ...],
    value: Traced,
    text: str,
    ways: Callable[[str, str, str, int], Iterator[str]],
    others: tuple[str, ...],
    meaning: Callable[[str], str],
    names: tuple[str, ...],
) -> Found | None:
    """The value of the root's flag among words, without the flag's name and with its quotes where they begin there."""
    texts = [word.text for word in words]
    flag = flags.last(texts, names)
    if flag is None or not flag.value:
        return None
    word = words[flag.number]
    before = word.chars[flag.offset - 1] if flag.offset else None
    quote = before.quote if before else ""
    # not where the flag's name ends: between the two, quotes of the file may end and begin
    start = next(char.start for char in value if char.start >= before.end) if before else word.start
    end = word.chars[-1].end if quote else word.end
    like = text[start:end].lstrip("\\")  # a quote of the word is escaped inside quotes of the file
    context = (*texts[: flag.number], word.text[: flag.offset], *texts[flag.number + 1 :], *others)
    return Found(meaning(flag.value), start, end, lambda root: ways(root, like, quote, start), context)

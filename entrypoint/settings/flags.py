"""dockerd's command line: the flags that say where data and configuration are, as Go programs read flags.

Written `--flag value`, `--flag=value`, `-f value`, `-f=value` or `-fvalue`; of one that is given twice the last counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROOT = ("--data-root", "--graph", "-g")  # the last two until 20.10: deprecated since 17.05, an error since 23.0
CONFIG = ("--config-file",)


@dataclass(frozen=True)
class Flag:
    """A flag as it was given: its value is the argument of this number, from the character `offset` on."""

    name: str
    value: str
    number: int
    offset: int

    @property
    def directive(self) -> str:
        """The key of the configuration file that means the same."""
        return "graph" if self.name in ("--graph", "-g") else self.name.removeprefix("--")


def given(arguments: Sequence[str], names: Sequence[str]) -> Iterator[Flag]:
    """Every occurrence of the named flags; `arguments` are those behind the program's name."""
    for number, word in enumerate(arguments):
        if word == "--":
            return
        name, equals, value = word.partition("=")
        if name in names:
            if equals:
                yield Flag(name, value, number, len(name) + 1)
            elif number + 1 < len(arguments):
                yield Flag(name, arguments[number + 1], number + 1, 0)
        elif short := next((flag for flag in names if len(flag) == 2 and word.startswith(flag)), None):
            yield Flag(short, word.removeprefix(short), number, len(short))


def last(arguments: Sequence[str], names: Sequence[str]) -> Flag | None:
    """The occurrence that counts."""
    found = list(given(arguments, names))
    return found[-1] if found else None

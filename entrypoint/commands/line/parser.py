"""A parser of one verb's words, which ends no process; the words themselves are in cli.py."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from entrypoint.console.errors import UsageError
from entrypoint.console.events import say
from entrypoint.console.wording import printable

HELP = ("--help", "-h")
MORE = "See: relocator --help"

Word = tuple[str, Mapping[str, Any]]


class Answered(Exception):
    """Help was asked for, and told."""


class Form(argparse.RawDescriptionHelpFormatter):
    """The help as it stands, with a first line as everywhere in it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns, 120))

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: " if prefix is None else prefix)


class Parser(argparse.ArgumentParser):
    """A parser of one verb's words that ends no process: what is wrong is a UsageError."""

    def __init__(self, verb: str, words: Sequence[Word], description: str, epilog: str = "") -> None:
        targets = "".join(f" {name}" for name, _how in words if not name.startswith("-"))
        usage = f"relocator {verb} [OPTIONS]{targets}" if verb else "relocator [OPTIONS] VERB"
        super().__init__(usage=usage, description=description, epilog=epilog, formatter_class=Form,
                         allow_abbrev=False, add_help=False)  # fmt: skip
        self.add_argument(*reversed(HELP), action="help", help="Say this, and end.")
        for name, how in words:
            self.add_argument(name, **how)

    def print_help(self, _file: Any = None) -> None:
        say(self.format_help(), sys.stdout, end="")

    def exit(self, _status: int = 0, _message: str | None = None) -> NoReturn:
        raise Answered

    def error(self, message: str) -> NoReturn:
        raise UsageError(printable(f"{message[:1].upper()}{message[1:]}."), resolution=MORE)

"""Every place that sets the data root, and the one that wins.

The engine's command is made of the unit's `ExecStart=` and of variables from `Environment=` and `EnvironmentFile=`; its
flags and the configuration file must not name the same thing. What wins is what has to be changed:

flag    key     the engine
-       -       takes its default; a key in the configuration file sets another
yes     -       takes the flag, the last if there are several
-       yes     takes the key
yes     yes     does not start; up to 20.10 it takes the key where one is called data-root and the other graph
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from entrypoint.host.disks.host_file import HostFile
from entrypoint.settings import flags
from entrypoint.settings.flags import Flag
from entrypoint.settings.formats import daemon_json, unit
from entrypoint.settings.formats import environment as environment_files
from entrypoint.settings.formats.text import text_of_file
from entrypoint.settings.formats.words import split
from entrypoint.settings.setting import Form, Kind, Setting

DEFAULT_ROOT = "/var/lib/docker"
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
WORDS_OF = re.compile(rf"\$({NAME})")  # a word of its own: divided into words
VALUE_OF = re.compile(rf"((?:--data-root|--graph|-g)=)?\$\{{({NAME})\}}")  # nothing else in the word: as it is
SPECIFIER = re.compile(r"%[A-Za-z]")
WITHIN = re.compile(rf"\$\$|\$\{{({NAME})\}}")


@dataclass(frozen=True)
class Variable:
    """A variable of the unit's environment, and the file that has the last word on it."""

    value: str
    kind: Kind
    file: HostFile


@dataclass(frozen=True)
class Argument:
    """An argument of the engine, and where it comes from: the command itself, or a variable in some form."""

    text: str
    kind: Kind
    file: HostFile
    name: str = ""
    form: Form = Form.FLAG


@dataclass(frozen=True)
class Place:
    """A place that sets the data root, or would: `said` is what it says, empty if it says nothing yet."""

    file: HostFile
    setting: Setting
    root: str
    said: str

    def text(self) -> str:
        return f"{self.file.path} ({self.said})" if self.said else str(self.file.path)


@dataclass(frozen=True)
class Decision:
    """The place that wins, those that lose, and whether the engine would refuse to start with all of them."""

    place: Place
    others: tuple[Place, ...] = ()
    conflict: bool = False


def command_line(units: Sequence[HostFile], environment: Sequence[HostFile]) -> tuple[Argument, ...]:
    """The engine's arguments behind the program's name. Raises ValueError for what cannot be understood."""
    known = variables(units, environment)
    return tuple(one for file, word in command_words(units) for one in _arguments(word, file, known))


def command_words(units: Sequence[HostFile]) -> tuple[tuple[HostFile, str], ...]:
    """The words behind the program's name as they are written, and their file. Raises ValueError."""
    commands = unit.effective([text_of_file(file.content) for file in units], "ExecStart")
    if not commands:
        return ()
    if len(commands) > 1:
        raise ValueError("it has several commands")
    number, command = commands[0]
    return tuple((units[number], word) for word in unit.command_words(command.value)[1:])


def is_as_loaded(units: Sequence[HostFile], loaded: Sequence[str]) -> bool:
    """Whether the words are those that systemd has, but for its specifiers. Raises ValueError."""
    words = [word for _file, word in command_words(units)]
    return len(words) == len(loaded) and all(
        one == other or SPECIFIER.search(one) for one, other in zip(words, loaded, strict=True)
    )


def variables(units: Sequence[HostFile], environment: Sequence[HostFile]) -> dict[str, Variable]:
    """What the unit's environment assigns; files win over units, later ones over earlier."""
    texts = [text_of_file(file.content) for file in units]
    found: dict[str, Variable] = {}
    for number, one in unit.effective(texts, "Environment"):
        for name, value in unit.variables(one.value):
            found[name] = Variable(value, Kind.VARIABLE, units[number])
    for file in environment:
        for name, value in environment_files.values(text_of_file(file.content)):
            found[name] = Variable(value, Kind.ENVIRONMENT, file)
    return found


def _arguments(word: str, file: HostFile, known: dict[str, Variable]) -> Iterator[Argument]:
    if match := WORDS_OF.fullmatch(word):
        if variable := known.get(match[1]):
            for one in split(variable.value, c_escapes=False):
                yield Argument(one, variable.kind, variable.file, match[1], Form.WORD)
        return
    if (match := VALUE_OF.fullmatch(word)) and (variable := known.get(match[2])):
        written = (match[1] or "") + variable.value
        yield Argument(written, variable.kind, variable.file, match[2], Form.VERBATIM)
        return
    yield Argument(WITHIN.sub(lambda match: _put_in(match, known), word), Kind.COMMAND, file)


def _put_in(match: "re.Match[str]", known: dict[str, Variable]) -> str:
    if not match[1]:
        return "$"
    return known[match[1]].value if match[1] in known else ""


def decide(config: HostFile, arguments: Sequence[Argument], *, file_wins: bool) -> Decision:
    """The place that wins. Some engines merge a flag and a key under two names, and the file wins (`file_wins`).

    Raises PreflightError if the configuration cannot be read.
    """
    keys = daemon_json.root_keys(config.content, str(config.path))
    given = list(flags.given([one.text for one in arguments], flags.ROOT))
    by_key = [_of_key(config, name, value) for name, value in keys.items()]
    by_flag = [_of_flag(arguments, flag) for flag in given]
    if not by_key:
        return Decision(by_flag[-1], tuple(by_flag[:-1])) if by_flag else Decision(_default(config))
    directives = {flag.directive for flag in given}
    conflict = len(by_key) > 1 or bool(directives & set(keys)) or bool(given and not file_wins)
    return Decision(_kept_apart(by_key[0], directives), (*by_key[1:], *by_flag), conflict)


def of_flag(arguments: Sequence[Argument], names: Sequence[str]) -> Place | None:
    """The place of the flag that counts among those of some names, which are not the engine's."""
    flag = flags.last([one.text for one in arguments], names)
    if flag is None:
        return None
    place = _of_flag(arguments, flag)
    return replace(place, setting=replace(place.setting, flag=flag.name))


def _default(config: HostFile) -> Place:
    return Place(config, Setting(), DEFAULT_ROOT, "")


def _of_key(config: HostFile, name: str, value: str) -> Place:
    return Place(config, Setting(was=value), value, f'"{name}": "{value}"')


def _kept_apart(place: Place, directives: set[str]) -> Place:
    """The old key becomes the new one, unless a flag of the new one's name is given: they would be in conflict."""
    if daemon_json.KEY not in directives:
        return place
    setting = Setting(name=daemon_json.OLD_KEY, was=place.setting.was)
    return Place(place.file, setting, place.root, place.said)


def _of_flag(arguments: Sequence[Argument], flag: Flag) -> Place:
    argument = arguments[flag.number]
    said = f"{flag.name}{'=' if flag.offset else ' '}{flag.value}"
    if argument.kind is Kind.COMMAND:
        setting = Setting(Kind.COMMAND, "ExecStart", Form.FLAG, flag.value)
    else:
        said = f"{said} in ${argument.name}"
        setting = Setting(argument.kind, argument.name, _form(arguments, flag), flag.value)
    return Place(argument.file, setting, flag.value, said)


def _form(arguments: Sequence[Argument], flag: Flag) -> Form:
    """A flag and its value in one variable are words of it; a value in a variable of its own is the variable."""
    value = arguments[flag.number]
    if value.form is Form.VERBATIM:
        return Form.VERBATIM
    together = flag.offset > 0 or arguments[flag.number - 1].name == value.name
    return Form.FLAG if together else Form.WORD

"""Unit files of systemd: their assignments, the words of a command, and edits that leave everything else alone.

systemd.syntax(7): a line that ends with a backslash goes on in the next, the two become a space, and comments between
are left out. An empty assignment of a list forgets what was assigned before.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from entrypoint.console.discretion import HIDDEN, told
from entrypoint.settings import masked
from entrypoint.settings.formats.text import Found, Text, in_value, in_words
from entrypoint.settings.formats.words import escaped, split
from entrypoint.settings.setting import Setting

COMMENT = "#;"
VENDOR = ("/usr/", "/lib/", "/run/", "/nix/", "/snap/")
PREFIXES = "@-:+!|"  # systemd.service(5), special executable prefixes
# Keys whose values are harmless.
SHOWN = masked.names(
    "After AssertPathExists AssertPathIsMountPoint Before BindsTo Conflicts ConditionPathExists "
    "ConditionPathIsMountPoint DefaultDependencies Delegate Description EnvironmentFile IOWeight KillMode "
    "LimitCORE LimitNOFILE LimitNPROC NotifyAccess OOMScoreAdjust PartOf Requires RequiresMountsFor Restart RestartSec "
    "StartLimitBurst StartLimitInterval StartLimitIntervalSec TasksMax TimeoutSec TimeoutStartSec TimeoutStopSec Type "
    "WantedBy Wants Where"
)
NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Assignment:
    """`key=value` in a section, the file's assignment of this number; blanks around the value are not part of it.

    `written` is the value as it stands in the file, over several lines if it is continued.
    """

    number: int
    section: str
    key: str
    value: str
    written: str


def assignments(text: str) -> Iterator[Assignment]:
    """Every assignment of a unit file, in its order."""
    section = ""
    for number, (line, written) in enumerate(_logical_lines(text)):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line:
            key, _, value = line.partition("=")
            ended = written.partition("=")[2].strip().rstrip("\\ \t\r\n")
            yield Assignment(number, section, key.strip(), value.strip(), ended)


def _logical_lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines as they are read, each with all of the file that it is made of."""
    gathered = written = ""
    for raw in text.split("\n"):
        line = raw.strip(" \t\r")
        if line[:1] and line[0] in COMMENT:
            written += f"{raw}\n" if gathered else ""  # also in the middle of a continued line
            continue
        written += f"{raw}\n"
        if line.endswith("\\"):
            gathered += f"{line[:-1]} "
            continue
        yield (gathered + line).strip(), written
        gathered = written = ""
    yield gathered.strip(), written


def effective(texts: Sequence[str], key: str) -> list[tuple[int, Assignment]]:
    """The assignments of a list in [Service] that are in force, with the number of the text each stands in."""
    found: list[tuple[int, Assignment]] = []
    for number, text in enumerate(texts):
        for assignment in assignments(text):
            if (assignment.section, assignment.key) == ("Service", key):
                found = [*found, (number, assignment)] if assignment.value else []
    return found


def command_words(value: str) -> tuple[str, ...]:
    """The words of an `Exec…=` line: no prefixes, `%%` as `%`; `$$` and other specifiers stay as they are."""
    return tuple(word.replace("%%", "%") for word in split(value.lstrip(PREFIXES), c_escapes=True))


def variables(value: str) -> Iterator[tuple[str, str]]:
    """The names that an `Environment=` line assigns, and their values."""
    for word in split(value, c_escapes=True):
        name, equals, text = word.partition("=")
        if equals:
            yield name, text.replace("%%", "%")


def find_in_command(text: str, setting: Setting) -> Found | None:
    """The root in the command that counts."""
    commands = effective([text], "ExecStart")
    if not commands:
        return None
    _, command = commands[-1]
    found = in_words(command_words(command.value), setting, _others(text, command))
    return replace(found, root=found.root.replace("$$", "$")) if found else None


def find_in_variable(text: str, setting: Setting) -> Found | None:
    """The root in the variable's last value."""
    found = None
    for _, line in effective([text], "Environment"):
        pairs = list(variables(line.value))
        for number, (name, value) in enumerate(pairs):
            if name == setting.name:
                beside = (f"{key}={other}" for key, other in (*pairs[:number], *pairs[number + 1 :]))
                found = in_value(value, setting, (*beside, *_others(text, line)))
    return found


def _others(text: str, assignment: Assignment) -> Iterator[str]:
    """All other assignments of a unit file."""
    for other in assignments(text):
        if other.number != assignment.number:
            yield f"{other.section}.{other.key}={other.value}"


def ways_in_command(text: str) -> Iterator[str]:
    """A text for `Exec…=`, where two marks have a meaning of their own."""
    yield text.replace("%", "%%").replace("$", "$$")


def ways_in_variable(text: str) -> Iterator[str]:
    """The ways to write a text in a word of `Environment=`."""
    yield text.replace("\\", "\\\\").replace("%", "%%")
    yield from (in_environment(text, quote) for quote in ('"', "'", ""))


def in_environment(text: str, quote: str) -> str:
    """A text inside a word of `Environment=`; a backslash before a blank is no escape of C, the blank's number is."""
    return "".join("\\x20" if char == " " and not quote else escaped(char, quote) for char in text).replace("%", "%%")


def _masked(text: str, name: str, roots: Collection[str]) -> Iterator[str]:
    """The lines of a unit file as they may be shown; one that goes on in the next is masked as it began."""
    mask: Callable[[str], str] | None = None
    for line in masked.LINE.findall(text):
        bare = line.strip()
        if bare[:1] in ("#", ";"):
            yield masked.comment(line)
            continue
        if mask is None:
            key, mask = _line(line, name, roots)
            yield key + masked.REPEATED.sub(HIDDEN, mask(line[len(key) :]))
        else:
            yield masked.REPEATED.sub(HIDDEN, mask(line))
        if not bare.endswith("\\"):
            mask = None


def _line(line: str, name: str, roots: Collection[str]) -> tuple[str, Callable[[str], str]]:
    """What is shown of a line in any case, and what shows the rest of it."""
    if re.fullmatch(r"\s*\[[\w -]+\]\s*", line):
        return line, str
    assigned = masked.ASSIGNED.fullmatch(line)
    if assigned is None:
        return "", masked.Words().mask
    key = assigned["key"].strip(" \t=")
    if key in SHOWN:
        return assigned["key"], told
    lead, words = re.match(r"\s*[\"']?", assigned["value"]), masked.Words(roots, name)
    start = assigned["key"] + (lead[0] if lead and key == "Environment" else "")
    if key.startswith("Exec") and (program := re.match(r"\s*\S+", assigned["value"])):
        is_known = masked.PROGRAMS.fullmatch(program[0].strip())
        is_path = masked.PLAIN.fullmatch(program[0].strip().lstrip("@:+!|-"))
        start = assigned["key"] + (program[0] if is_known or is_path else "")
        words.shorts = bool(is_known)
    if key == "Environment" and (variable := NAME.match(line, len(start))) and line[variable.end() :][:1] == "=":
        start = line[: variable.end() + 1]
    return start, words.mask


COMMAND = Text(find_in_command, ways_in_command, _masked)
VARIABLE = Text(find_in_variable, ways_in_variable, _masked)


def is_vendors(path: str) -> bool:
    """Whether a file belongs to a package, or is made anew at each boot; it is overridden, never edited."""
    return path.startswith(VENDOR)


def drop_in(service: str, name: str) -> str:
    return f"/etc/systemd/system/{service}.d/{name}"


def overriding(lines: Sequence[str], reason: str) -> bytes:
    """A drop-in of ours with lines for [Service]."""
    return "\n".join([f"# Written by relocator: {reason}", "[Service]", *lines, ""]).encode()

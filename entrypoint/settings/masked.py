"""A file of the host's configuration as it may be shown: what is known to be harmless, and *** for everything else.

Labels, options of logs and storage, proxies, variables and comments may hold a secret, and nobody can tell which do. So
nothing is looked for: a value is shown only where its key, flag or line is in the lists below. Lines stay lines, so
that a difference can be shown in the usual form; where a root is set is always shown.
"""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from entrypoint.console.discretion import HIDDEN, told
from entrypoint.settings.setting import Kind


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keys of daemon.json and config.toml, and dockerd's and containerd's flags.
SHOWN = _names(
    "address api-cors-header bip bridge cgroup-parent config config-file containerd containerd-namespace "
    "containerd-plugins-namespace data-root debug default-gateway default-runtime disabled_plugins dns dns-search "
    "exec-opts exec-root fixed-cidr graph group host hosts imports insecure-registries ip iptables live-restore "
    "log-driver log-format log-level max-concurrent-downloads max-concurrent-uploads mtu oom_score path pidfile "
    "required_plugins root root_path selinux-enabled shutdown-timeout snapshotter state storage-driver userns-remap "
    "version"
)
SHORT = frozenset({"-H", "-g", "-s", "-l", "-G", "-D", "-c", "-a"})  # of the same two programs
PROGRAMS = re.compile(r"[@:+!|-]*(?:/\S*/)?(?:dockerd|containerd)(?:-\w+)?")
LINES = _names(
    "After AssertPathExists AssertPathIsMountPoint Before BindsTo Conflicts ConditionPathExists "
    "ConditionPathIsMountPoint DefaultDependencies Delegate Description EnvironmentFile IOWeight KillMode "
    "LimitCORE LimitNOFILE LimitNPROC NotifyAccess OOMScoreAdjust PartOf Requires RequiresMountsFor Restart RestartSec "
    "StartLimitBurst StartLimitInterval StartLimitIntervalSec TasksMax TimeoutSec TimeoutStartSec TimeoutStopSec Type "
    "WantedBy Wants Where"
)
WORD = re.compile(r"[^\s\"'\\]+")
VARIABLE = re.compile(r"\$\{?\w+\}?")
NAME = re.compile(r"[A-Za-z_]\w*")
FLAG = re.compile(r"(?P<name>--[a-z][a-z0-9-]*)(?P<equals>=?)(?P<value>.*)", re.DOTALL)
ASSIGNED = re.compile(r"(?P<key>\s*[A-Za-z][\w-]*\s*=)(?P<value>.*)", re.DOTALL)
REPEATED = re.compile(r"\*\*\*(?:[ \t]+\*\*\*)+")
JSON = re.compile(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
TOML = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''.*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|#[^\n]*|[\[\]{}=,\n]|[^\s\[\]{}=,#\"']+",
    re.DOTALL,
)
LINE = re.compile(r"[^\n]*\n|[^\n]+")
COLON, EQUALS = re.compile(r"\s*:"), re.compile(r"[ \t]*=")
PLAIN = re.compile(r"[\w./:-]{1,80}")
NO_SECRET = frozenset({"true", "false", "null"})


def lines(content: bytes | None, kind: Kind | None, name: str = "", roots: Collection[str] = ()) -> list[str]:
    """The file's lines for people. `name` is the variable that a root is set in, `roots` are what it is set to.

    Without a kind it is a file of which nobody else has written a value.
    """
    text = (content or b"").decode("utf-8", "replace")
    if kind is Kind.TOML:
        shown = _checked(tomllib.loads, text, _toml)
    elif kind is Kind.JSON:
        shown = _checked(json.loads, text, _json)
    elif kind is Kind.ENVIRONMENT:
        shown = "".join(_environment(text, name, roots))
    else:
        shown = told(text) if kind is None else "".join(_unit(text, name, roots))
    return LINE.findall(shown)


def command(words: Collection[str], *shown: str) -> str:
    """A command as it may be shown; some of its words may be in any case, alone or among others in one."""
    first, *others = words or ("",)
    known = Words(shown, shorts=bool(PROGRAMS.fullmatch(first)))
    return " ".join((first, *(REPEATED.sub(HIDDEN, known.mask(word)) for word in others)))


def _checked(parse: Callable[[str], object], text: str, show: Callable[[str], str]) -> str:
    """A text that is not what it should be is not understood, and none of it is shown."""
    try:
        if isinstance(parse(text.removeprefix("\N{BYTE ORDER MARK}")), dict):
            return show(text)
    except ValueError:
        pass
    return re.sub(r"[^\r\n]+", HIDDEN, text)


@dataclass
class Words:
    """The words of a command line or a variable, one after the other: flags are shown, and the values of some."""

    roots: Collection[str] = ()
    name: str = ""
    shorts: bool = False
    _shows: bool | None = field(default=None)  # whether the next word is a value that is shown; None if it is no value

    def mask(self, text: str) -> str:
        return WORD.sub(lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        shows, self._shows = self._shows, None
        if word in self.roots or VARIABLE.fullmatch(word):
            return word
        if flag := FLAG.fullmatch(word):
            return self._flag(flag["name"], flag["equals"], flag["value"])
        if word[0] == "-" and word[1:2].isalpha():
            return self._short(word[:2], word[2:])
        if self.name and word.startswith(f"{self.name}="):
            return f"{self.name}=" + self.mask(word[len(self.name) + 1 :])
        return told(word) if shows else HIDDEN

    def _flag(self, name: str, equals: str, value: str) -> str:
        is_shown = name[2:] in SHOWN
        if not value:
            self._shows = is_shown
            return name + equals
        return name + equals + (told(value) if is_shown or value in self.roots else HIDDEN)

    def _short(self, name: str, value: str) -> str:
        is_shown = self.shorts and name in SHORT
        if not value:
            self._shows = is_shown
            return name
        return name + (told(value) if is_shown or value.lstrip("=") in self.roots else HIDDEN)


def _unit(text: str, name: str, roots: Collection[str]) -> Iterator[str]:
    """The lines of a unit file; one that goes on in the next is masked as it began."""
    mask: Callable[[str], str] | None = None
    for line in LINE.findall(text):
        bare = line.strip()
        if bare[:1] in ("#", ";"):
            yield _comment(line)
            continue
        if mask is None:
            key, mask = _line(line, name, roots)
            yield key + REPEATED.sub(HIDDEN, mask(line[len(key) :]))
        else:
            yield REPEATED.sub(HIDDEN, mask(line))
        if not bare.endswith("\\"):
            mask = None


def _line(line: str, name: str, roots: Collection[str]) -> tuple[str, Callable[[str], str]]:
    """What is shown of a line in any case, and what shows the rest of it."""
    if re.fullmatch(r"\s*\[[\w -]+\]\s*", line):
        return line, str
    assigned = ASSIGNED.fullmatch(line)
    if assigned is None:
        return "", Words().mask
    key = assigned["key"].strip(" \t=")
    if key in LINES:
        return assigned["key"], told
    lead, words = re.match(r"\s*[\"']?", assigned["value"]), Words(roots, name)
    start = assigned["key"] + (lead[0] if lead and key == "Environment" else "")
    if key.startswith("Exec") and (program := re.match(r"\s*\S+", assigned["value"])):
        is_known = PROGRAMS.fullmatch(program[0].strip())
        is_path = PLAIN.fullmatch(program[0].strip().lstrip("@:+!|-"))
        start = assigned["key"] + (program[0] if is_known or is_path else "")
        words.shorts = bool(is_known)
    if key == "Environment" and (variable := NAME.match(line, len(start))) and line[variable.end() :][:1] == "=":
        start = line[: variable.end() + 1]
    return start, words.mask


def _environment(text: str, name: str, roots: Collection[str]) -> Iterator[str]:
    """The lines of a file of variables. A name is one only where no value goes on: in one it may be a part of it."""
    quote, goes_on, words = "", False, Words(roots, name)
    for line in LINE.findall(text):
        start = 0
        if not quote and not goes_on:
            if line.strip()[:1] in ("#", ";"):
                yield _comment(line)
                continue
            words = Words(roots, name)
            assigned = ASSIGNED.fullmatch(line)
            start = len(assigned["key"]) if assigned else 0
        yield line[:start] + REPEATED.sub(HIDDEN, words.mask(line[start:]))
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


def _comment(line: str) -> str:
    return f"{line[: len(line) - len(line.lstrip())]}# {HIDDEN}" + ("\n" if line.endswith("\n") else "")


def _json(text: str) -> str:
    """A JSON object's text: values of the top object, and those in its lists."""
    stack: list[str] = []
    top = ""

    def mask(found: "re.Match[str]") -> str:
        nonlocal top
        word = found[0]
        if word in "{[":
            stack.append(word)
        elif word in "}]":
            stack.pop()
        elif word[0] != '"':
            is_shown = len(stack) < 2 or top in SHOWN or word in {*NO_SECRET, ":", ","}
            return word if is_shown else HIDDEN
        elif COLON.match(text, found.end()):
            if len(stack) == 1:
                top = str(json.loads(word))
            return word if PLAIN.fullmatch(word[1:-1]) else f'"{HIDDEN}"'
        elif top not in SHOWN or stack not in (["{"], ["{", "["]):
            return f'"{HIDDEN}"'
        else:
            return told(word)
        return word

    return JSON.sub(mask, text)


def _toml(text: str) -> str:
    """A TOML file's text: keys, tables, and the values of some keys."""
    key, depth, is_head, is_value = "", 0, False, False

    def mask(found: "re.Match[str]") -> str:
        nonlocal key, depth, is_head, is_value
        word = found[0]
        if word[0] == "#":
            return f"# {HIDDEN}"
        if word == "\n":
            if not depth or is_head:
                key, depth, is_head, is_value = "", 0, False, False
            return word
        if word in "[{":
            is_head = is_head or not (depth or is_value)
            depth += 1
        elif word in "]}":
            depth -= 1
        elif word == "=":
            is_value = True
        elif is_head or EQUALS.match(text, found.end()):
            key, is_value = key if is_head else word.strip("\"'"), False
            return word
        elif word != "," and word not in NO_SECRET:
            if is_value and key in SHOWN and len(word.splitlines()) == 1:
                return told(word)
            return f'"{HIDDEN}"' + "\n" * word.count("\n")
        return word

    return TOML.sub(mask, text)

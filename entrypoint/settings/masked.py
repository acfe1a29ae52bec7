"""A file of the host's configuration as it may be shown: what is known to be harmless, and *** for everything else.

Labels, options of logs and storage, proxies, variables and comments may hold a secret, and nobody can tell which do. So
nothing is looked for: a value is shown only where its key, flag or line is in a list, here or with its format. Lines
stay lines, so that a difference can be shown in the usual form; where a root is set is always shown.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from entrypoint.console.discretion import HIDDEN, told


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keys of daemon.json and config.toml, and dockerd's and containerd's flags.
SHOWN = names(
    "address api-cors-header bip bridge cgroup-parent config config-file containerd containerd-namespace "
    "containerd-plugins-namespace data-root debug default-gateway default-runtime disabled_plugins dns dns-search "
    "exec-opts exec-root fixed-cidr graph group host hosts imports insecure-registries ip iptables live-restore "
    "log-driver log-format log-level max-concurrent-downloads max-concurrent-uploads mtu oom_score path pidfile "
    "required_plugins root root_path selinux-enabled shutdown-timeout snapshotter state storage-driver userns-remap "
    "version"
)
SHORT = frozenset({"-H", "-g", "-s", "-l", "-G", "-D", "-c", "-a"})  # of the same two programs
PROGRAMS = re.compile(r"[@:+!|-]*(?:/\S*/)?(?:dockerd|containerd)(?:-\w+)?")
WORD = re.compile(r"[^\s\"'\\]+")
VARIABLE = re.compile(r"\$\{?\w+\}?")
FLAG = re.compile(r"(?P<name>--[a-z][a-z0-9-]*)(?P<equals>=?)(?P<value>.*)", re.DOTALL)
ASSIGNED = re.compile(r"(?P<key>\s*[A-Za-z][\w-]*\s*=)(?P<value>.*)", re.DOTALL)
REPEATED = re.compile(r"\*\*\*(?:[ \t]+\*\*\*)+")
LINE = re.compile(r"[^\n]*\n|[^\n]+")
PLAIN = re.compile(r"[\w./:-]{1,80}")
NO_SECRET = frozenset({"true", "false", "null"})


def command(words: Collection[str], *shown: str) -> str:
    """A command as it may be shown; some of its words may be in any case, alone or among others in one."""
    first, *others = words or ("",)
    known = Words(shown, shorts=bool(PROGRAMS.fullmatch(first)))
    return " ".join((first, *(REPEATED.sub(HIDDEN, known.mask(word)) for word in others)))


def checked(parse: Callable[[str], object], text: str, show: Callable[[str], str]) -> str:
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


def comment(line: str) -> str:
    return f"{line[: len(line) - len(line.lstrip())]}# {HIDDEN}" + ("\n" if line.endswith("\n") else "")

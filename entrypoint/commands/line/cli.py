"""What was typed, understood: which verb is meant, also where only a target stands, and what it is given."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from entrypoint import __version__
from entrypoint.commands.line import options
from entrypoint.commands.line.parser import MORE, Answered, Parser, Word
from entrypoint.console import environment
from entrypoint.console.errors import UsageError
from entrypoint.console.events import say
from entrypoint.console.wording import printable
from entrypoint.copy.pace.throttle import bytes_a_second
from entrypoint.move.roots.finishing import FINISH
from entrypoint.plan.when import When, seconds
from entrypoint.preflight.adoption import ADOPT
from entrypoint.preflight.request import Only, Request

WORD = re.compile(r"[A-Za-z][\w-]*")  # a target is a path; this can only be meant for a verb
NONE = "none"  # in the place of a limit


@dataclass(frozen=True)
class Asked:
    """What was typed, understood: a verb, and what it was given of what it takes."""

    verb: str
    request: Request | None = None
    wait: bool = False
    as_json: bool = False
    page: str | None = None
    agreed: bool = False
    run: str = ""
    keeps: bool = False
    rate: str = ""


def parse(arguments: Sequence[str]) -> Asked | None:
    """What was typed; nothing if that was answered: help, or the version. Raises UsageError."""
    verb, *words = with_default_verb(with_help_as_option(arguments)) or [""]
    if verb in options.VERSION:
        say(f"relocator {__version__}", sys.stdout)
        return None
    if not verb:
        raise UsageError("Where to?", resolution="Usage: relocator /new/path   (more with --help)")
    try:
        if verb in options.HELP:
            everything().print_help()
            return None
        text, known = {**options.VERBS, **options.HIDDEN}[verb]
        given, unknown = Parser(verb, known, text).parse_known_args([*by_environment(known, words), *words])
    except Answered:
        return None
    if unknown:
        raise unexpected(unknown[0])
    return understood(verb, given)


def by_environment(known: Sequence[Word], words: Sequence[str]) -> list[str]:
    """The options of a verb that the environment gives."""
    flags = [name for name, how in known if how.get("action") in ("store_true", "append_const")]
    valued = [name for name, _how in known if name.startswith("--") and name not in flags]
    return [*environment.options(flags, valued, words, os.environ)]


def everything() -> Parser:
    verbs = "\n".join(f"  {verb:<10} {text}" for verb, (text, _words) in options.VERBS.items())
    examples = "\n".join(f"  relocator {words}" for words in options.EXAMPLES)
    codes = "\n".join(f"  {code:<10} {text}" for code, text in options.CODES.items())
    return Parser(
        verb="",
        words=((options.VERSION[0], {**options.FLAG, "help": "Print the version, and end."}),),
        description="Move a Docker engine's storage to another path on this host.",
        epilog=f"`relocator TARGET` means `relocator run TARGET`. Verbs, each with --help of its own:\n{verbs}\n\n"
        f"Examples:\n{examples}\n\nExit codes:\n{codes}",
    )


def unexpected(word: str) -> UsageError:
    if word.startswith("-"):
        return UsageError(printable(f"No such option: {word.partition('=')[0]}"), resolution=MORE)
    return UsageError(printable(f"Got an unexpected extra argument: {word}"),
                      resolution=f"A name with spaces is put between quotes. {MORE}")  # fmt: skip


def understood(verb: str, given: argparse.Namespace) -> Asked:
    """Raises UsageError for words that are right alone and do not go together."""
    words = vars(given)
    if missing := next((name for name in ("TARGET", "NUMBER", "RATE") if words.get(name, "") is None), None):
        raise UsageError(f"Missing argument: {missing}", resolution=f"See: relocator {verb} --help")
    if words.get("json") and words.get("html") is not None:
        raise UsageError("Either --json or --html.", resolution="See: relocator status --help")
    return Asked(
        verb="plan" if words.get("dry_run") else verb,
        request=requested(words) if "TARGET" in words else None,
        wait=words.get("wait", False),
        as_json=words.get("json", False),
        page=words.get("html", words.get("FILE")),
        agreed=words.get("yes", False),
        run=words.get("NUMBER", ""),
        keeps=words.get("keep", False),
        rate="" if (rate := words.get("RATE", NONE)) == NONE else limit([rate]),
    )


def requested(words: Mapping[str, Any]) -> Request:
    accepted = frozenset(words["accepted"])
    if {ADOPT, FINISH} <= accepted:
        raise UsageError("Either --adopt or --finish-copy.", resolution=MORE)
    held = {
        "holds": words.get("hold", False),
        "at": once("--at", words.get("at", ()), When.of),
        "longest": once("--max-downtime", words.get("max_downtime", ()), seconds),
    }
    if any(held.values()) and ADOPT in accepted:
        raise UsageError("Either --adopt or --hold: nothing is copied to a root that is adopted.", resolution=MORE)
    only = Only(words["only"]) if words["only"] else None
    return Request.of(words["TARGET"], words["containerd_root"], only, bwlimit=limit(words.get("bwlimit", ())),
                      checksum=words.get("checksum", False), accepted=accepted,
                      adopts=ADOPT in accepted, **held)  # fmt: skip


def with_default_verb(arguments: Sequence[str]) -> list[str]:
    """The arguments with `run` put first where a target or option stands alone.

    Raises UsageError for a word that can only be meant for a verb and is none.
    """
    words = list(arguments)
    if not words or words[0] in (*options.VERBS, *options.HIDDEN, *options.HELP, *options.VERSION):
        return words
    meant = "" if words[0].startswith("/") else similar(words[0])
    if meant or WORD.fullmatch(words[0]):
        raise UsageError(
            f"There is no `{printable(words[0])}`.", resolution=f"Did you mean `{meant}`?" if meant else options.CHOICE
        )
    return ["run", *words]


def with_help_as_option(arguments: Sequence[str]) -> list[str]:
    """`help`, and `help VERB`, as the option that is meant."""
    first, rest = list(arguments[:1]), list(arguments[1:])
    return [*rest, options.HELP[0]] if first == ["help"] else [*first, *rest]


def similar(word: str) -> str:
    """The verb that a word is a misspelling or another name of, if it is one."""
    known = (*options.VERBS, options.HELP[0], options.VERSION[0], *options.MEANT)
    found = next(iter(get_close_matches(word.lower(), known, n=1, cutoff=0.75)), "")
    return options.MEANT.get(found, found)


def once(option: str, given: Sequence[str], read: Callable[[str], object]) -> str:
    """The one that was given, which can be read, or none. Raises UsageError."""
    if len(given) > 1:
        raise UsageError(f"{option} was given more than once.", resolution="Give it once.")
    for one in given:
        read(one)
    return given[0] if given else ""


def limit(given: Sequence[str]) -> str:
    """The one limit that was given, or none. Raises UsageError."""
    if not given:
        return ""
    if len(given) > 1:
        raise UsageError("--bwlimit was given more than once.", resolution="Give it once, as --bwlimit=50m.")
    bytes_a_second(given[0])
    return given[0]


def typed(request: Request) -> str:
    """What was asked of `plan`, as one types it to have it done."""
    words = [
        str(request.target),
        *(option for option, (what, _text) in options.AGREED.items() if what in request.accepted),
    ]
    words += [f"--bwlimit={request.bwlimit}"] * bool(request.bwlimit) + ["--checksum"] * request.checksum
    words += [f"--ignore={id}" for id in sorted(request.accepted - {what for what, _text in options.AGREED.values()})]
    words += ["--hold"] * request.holds + [f"--at={request.at}"] * bool(request.at)
    words += [f"--max-downtime={request.longest}"] * bool(request.longest)
    words += [f"--containerd-root={request.containerd}"] * bool(request.containerd)
    return shlex.join([*words, *([f"--only={request.only}"] if request.only else [])])

"""The command line: verbs, options and how a target without a verb means `run`."""

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
from entrypoint.commands import parser
from entrypoint.commands.parser import MORE, Answered, Parser, Word
from entrypoint.console import environment
from entrypoint.console.errors import ExitCode, UsageError
from entrypoint.console.events import say
from entrypoint.console.wording import printable
from entrypoint.copy.pace.throttle import bytes_a_second
from entrypoint.move.roots.finishing import FINISH
from entrypoint.plan.when import When, seconds
from entrypoint.preflight.adoption import ADOPT
from entrypoint.preflight.checks.containerd.images import USERS
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.checks.target import SAME_DISK
from entrypoint.preflight.request import Only, Request

HELP, VERSION = parser.HELP, ("--version", "-V")
WORD = re.compile(r"[A-Za-z][\w-]*")  # a target is a path; this can only be meant for a verb
MEANT = {
    **dict.fromkeys(("relocate", "move", "migrate", "start", "apply"), "run"),
    **dict.fromkeys(("undo", "revert", "back", "restore"), "rollback"),
    **dict.fromkeys(("switch", "cut-over", "release"), "go"),
    **dict.fromkeys(("continue", "unpause"), "resume"),
    **dict.fromkeys(("throttle", "slow"), "limit"),
    **dict.fromkeys(("cancel", "stop", "end", "kill"), "abort"),
    **dict.fromkeys(("remove", "delete", "prune", "purge"), "cleanup"),
    **dict.fromkeys(("preview", "dry-run", "diff"), "plan"),
    **dict.fromkeys(("verify", "test", "preflight"), "check"),
    **dict.fromkeys(("wait", "show", "progress", "info"), "status"),
    **dict.fromkeys(("pack", "export", "save"), "bundle"),
}
NONE = "none"  # in the place of a limit

FLAG = {"action": "store_true"}
TARGET: Word = ("TARGET", {"nargs": "?", "help": "The new root, an absolute path."})
ROOTS: tuple[Word, ...] = (
    ("--containerd-root", {"metavar": "PATH", "default": "",
                           "help": "Where containerd's root goes; without, beside TARGET."}),
    ("--only", {"choices": [str(one) for one in Only],
                "help": "Move this root alone; with containerd, TARGET is where its root goes."}),
)  # fmt: skip
AGREED: Mapping[str, tuple[str, str]] = {  # what an option agrees to: the id of a finding, or what is in the target
    "--adopt": (ADOPT, "Use the data root that is in TARGET as it is, whoever has made it."),
    "--finish-copy": (FINISH, "Make what is in TARGET a copy; what the root in use has not is removed."),
    "--remove-ephemeral": (EPHEMERAL, "Agree to the loss of containers started with --rm."),
    "--same-disk": (SAME_DISK, "Agree to a TARGET on the same file system: the move frees no space."),
    "--stop-containerd-users": (USERS, "Agree to end what others run with the engine's containerd."),
}
AGREEING: tuple[Word, ...] = tuple(
    (name, {"action": "append_const", "dest": "accepted", "const": what, "default": [], "help": text})
    for name, (what, text) in AGREED.items()
)


def finding_id(word: str) -> str:
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", word) or word in (ADOPT, FINISH):
        raise argparse.ArgumentTypeError(
            f"`{printable(word)}` is no id of a finding; they are in brackets, as [engine-old]"
        )
    return word


IGNORE: Word = ("--ignore", {"metavar": "ID", "type": finding_id, "action": "append", "dest": "accepted", "default": [],
                             "help": "Do not refuse for this finding, or do not tell this warning."})  # fmt: skip
COPYING: tuple[Word, ...] = (
    # A list, so that one that is empty, or given twice, is told from none.
    ("--bwlimit", {"metavar": "RATE", "action": "append", "default": [],
                   "help": "Limit of the copy while the engine runs: 50m is 50 MiB/s."}),
    ("--checksum", {**FLAG, "help": "Compare the content of every file too; the engine is down for longer."}),
)  # fmt: skip
HOLD: Word = ("--hold", {**FLAG, "help": "Keep the copy up to date, and stop the engine when you say `go`."})
AT: Word = ("--at", {"metavar": "TIME", "action": "append", "default": [],
                  "help": "Hold, and go by itself: 03:00, or '2027-01-31 03:00'; with a zone, too."})  # fmt: skip
LONGEST: Word = ("--max-downtime", {"metavar": "TIME", "action": "append", "default": [],
                                    "help": "Hold rather than have the engine away for longer: 30s."})  # fmt: skip
RATE: Word = ("RATE", {"nargs": "?", "help": "50m is 50 MiB/s."})
KEEP: Word = ("--keep", {**FLAG, "help": "Leave the copy: the same command goes on with it."})
HOLDING: tuple[Word, ...] = (HOLD, AT, LONGEST)
DRY: Word = ("--dry-run", {**FLAG, "help": "Change nothing: do what `plan` does."})
JSON: Word = ("--json", {**FLAG, "help": "One JSON document, and nothing else, on standard output."})
YES: Word = ("--yes", {**FLAG, "help": "Agree to what it says; without, it only says it."})
WAIT: Word = ("--wait", {**FLAG, "help": "Wait until nobody is at work."})
FILE: Word = ("FILE", {"nargs": "?", "help": "An archive (.tar.gz), by a path of this host that is not there yet."})
SHELL: Word = ("SHELL", {"choices": ["bash"]})
PAGE: Word = ("--html", {"metavar": "FILE", "help": "Write a page for a browser to a path of this host, or -."})

VERBS: Mapping[str, tuple[str, tuple[Word, ...]]] = {
    "run": ("Move the data root to TARGET.", (TARGET, *COPYING, *HOLDING, *AGREEING, IGNORE, *ROOTS, DRY)),
    "plan": (
        "Print what `run` would do; change nothing.",
        (TARGET, *COPYING, *HOLDING, *AGREEING, IGNORE, *ROOTS, JSON),
    ),
    "check": ("Say whether TARGET and the engine are fit; change nothing.", (TARGET, *AGREEING, IGNORE, *ROOTS)),
    "status": ("Say how the last move stands or ended.", (WAIT, JSON, PAGE)),
    "go": ("Let a run that is held (--hold) stop the engine, and switch.", ()),
    "abort": ("End a run that has not switched yet; the engine stays where it is.", (KEEP,)),
    "pause": ("Let a run that copies stand still; the engine runs on.", ()),
    "resume": ("Let it go on.", ()),
    "limit": ("Limit the copy of a run at work, as --bwlimit does; `none` for no limit.", (RATE,)),
    "rollback": ("Go back to the old root; says first what would be missing.", (YES,)),
    "cleanup": ("Remove the old root, after proving the new one.", (YES,)),
    "report": ("Write what one who helps needs to know to FILE; without FILE, say what would be in it.", (FILE,)),
    "script": ("Print a script that runs this and waits for the outcome.", ()),
    "completion": ("Print what lets a shell complete these words: `completion bash`.", (SHELL,)),
    "manual": ("Print the manual page, relocator(8).", ()),
    "bundle": ("Print that script with this image in it, for a host with a full disk: write it to a file.", ()),
}
EXAMPLES = (
    "check /mnt/data/docker",
    "plan /mnt/data/docker --bwlimit=50m",
    "/mnt/data/docker",
    "status",
    "rollback --yes",
)
CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done and verified, or already there",
    ExitCode.USAGE: "wrong usage, or the container was not given what it needs",
    ExitCode.REFUSED: "refused; nothing was changed",
    ExitCode.ROLLED_BACK: "failed, and the engine runs on the old root",
    ExitCode.BROKEN: "failed, and the engine needs you: see `relocator status`",
    ExitCode.AMISS: "moved, but something that is named does not run as before",
    ExitCode.HANDED_OVER: "held, or the engine is away; `relocator status --wait` tells the outcome",
    ExitCode.INTERRUPTED: "interrupted; nothing was changed",
}
VARIABLES = tuple(sorted({
    environment.variable(name) for _text, words in VERBS.values() for name, _how in words if name.startswith("--")
}))  # fmt: skip
WORKER = "worker"  # the part that the host's systemd starts
HIDDEN: Mapping[str, tuple[str, tuple[Word, ...]]] = {WORKER: ("", (("NUMBER", {"nargs": "?"}),))}
CHOICE = (
    f"The verbs are {', '.join([*VERBS][:-1])} and {[*VERBS][-1]}. A target is an absolute path, such as "
    "/mnt/data/docker."
)


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
    if verb in VERSION:
        say(f"relocator {__version__}", sys.stdout)
        return None
    if not verb:
        raise UsageError("Where to?", resolution="Usage: relocator /new/path   (more with --help)")
    try:
        if verb in HELP:
            everything().print_help()
            return None
        text, known = {**VERBS, **HIDDEN}[verb]
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
    verbs = "\n".join(f"  {verb:<10} {text}" for verb, (text, _words) in VERBS.items())
    examples = "\n".join(f"  relocator {words}" for words in EXAMPLES)
    codes = "\n".join(f"  {code:<10} {text}" for code, text in CODES.items())
    return Parser(
        verb="",
        words=((VERSION[0], {**FLAG, "help": "Print the version, and end."}),),
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
    if not words or words[0] in (*VERBS, *HIDDEN, *HELP, *VERSION):
        return words
    meant = "" if words[0].startswith("/") else similar(words[0])
    if meant or WORD.fullmatch(words[0]):
        raise UsageError(
            f"There is no `{printable(words[0])}`.", resolution=f"Did you mean `{meant}`?" if meant else CHOICE
        )
    return ["run", *words]


def with_help_as_option(arguments: Sequence[str]) -> list[str]:
    """`help`, and `help VERB`, as the option that is meant."""
    first, rest = list(arguments[:1]), list(arguments[1:])
    return [*rest, HELP[0]] if first == ["help"] else [*first, *rest]


def similar(word: str) -> str:
    """The verb that a word is a misspelling or another name of, if it is one."""
    known = (*VERBS, HELP[0], VERSION[0], *MEANT)
    found = next(iter(get_close_matches(word.lower(), known, n=1, cutoff=0.75)), "")
    return MEANT.get(found, found)


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
    words = [str(request.target), *(option for option, (what, _text) in AGREED.items() if what in request.accepted)]
    words += [f"--bwlimit={request.bwlimit}"] * bool(request.bwlimit) + ["--checksum"] * request.checksum
    words += [f"--ignore={id}" for id in sorted(request.accepted - {what for what, _text in AGREED.values()})]
    words += ["--hold"] * request.holds + [f"--at={request.at}"] * bool(request.at)
    words += [f"--max-downtime={request.longest}"] * bool(request.longest)
    words += [f"--containerd-root={request.containerd}"] * bool(request.containerd)
    return shlex.join([*words, *([f"--only={request.only}"] if request.only else [])])

"""Which verbs there are, which options each takes, and what else `--help` tells: tables, and nothing is done here."""

import argparse
import re
from collections.abc import Mapping

from entrypoint.commands.line import parser
from entrypoint.commands.line.parser import Word
from entrypoint.console import environment
from entrypoint.console.errors import ExitCode
from entrypoint.console.wording import printable
from entrypoint.move.roots.finishing import FINISH
from entrypoint.preflight.adoption import ADOPT
from entrypoint.preflight.checks.containerd.images import USERS
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.checks.target import SAME_DISK
from entrypoint.preflight.request import Only

HELP, VERSION = parser.HELP, ("--version", "-V")
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

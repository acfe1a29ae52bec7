"""The command line: verbs, options and how a target without a verb means `run`."""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from typing import Annotated, Protocol

import typer

from entrypoint import __version__
from entrypoint.console.errors import ExitCode, UsageError
from entrypoint.console.events import say
from entrypoint.console.wording import printable
from entrypoint.copy.pace.throttle import bytes_a_second
from entrypoint.move.roots.finishing import FINISH
from entrypoint.preflight.adoption import ADOPT
from entrypoint.preflight.checks.containerd.images import USERS
from entrypoint.preflight.checks.engine.engine import EPHEMERAL
from entrypoint.preflight.request import Goal, Only

VERBS = ("run", "plan", "check", "status", "rollback", "cleanup", "script", "worker")
HELP = ("--help", "-h")
ALONE = ("--help", "--version")
WORD = re.compile(r"[A-Za-z][\w-]*")  # a target is a path; this can only be meant for a verb
MEANT = {
    **dict.fromkeys(("relocate", "move", "migrate", "start", "apply"), "run"),
    **dict.fromkeys(("undo", "revert", "back", "restore"), "rollback"),
    **dict.fromkeys(("remove", "delete", "prune", "purge"), "cleanup"),
    **dict.fromkeys(("preview", "dry-run", "diff"), "plan"),
    **dict.fromkeys(("verify", "test", "preflight"), "check"),
    **dict.fromkeys(("wait", "show", "progress", "info"), "status"),
}

CHOICE = (
    f"The verbs are {', '.join(VERBS[:-2])} and {VERBS[-2]}. A target is an absolute path, such as /mnt/data/docker."
)

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="The new root, an absolute path.")]
# A list, so that one that is empty, or given twice, is told from none.
BandwidthOption = Annotated[
    list[str] | None,
    typer.Option("--bwlimit", metavar="RATE", help="Limit of the copy while the engine runs: 50m is 50 MiB/s."),
]
ChecksumOption = Annotated[
    bool, typer.Option("--checksum", help="Compare the content of every file too; the engine is down for longer.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document, and nothing else, on standard output.")]
PageOption = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Write a page for a browser to a path of this host, or -.")
]
AdoptOption = Annotated[
    bool, typer.Option("--adopt", help="Use the data root that is in TARGET as it is, whoever has made it.")
]
FinishOption = Annotated[
    bool, typer.Option("--finish-copy", help="Make what is in TARGET a copy; what the root in use has not is removed.")
]
RemoveOption = Annotated[
    bool, typer.Option("--remove-ephemeral", help="Agree to the loss of containers started with --rm.")
]
ContainerdRootOption = Annotated[
    str, typer.Option("--containerd-root", metavar="PATH", help="Where containerd's root goes; without, beside TARGET.")
]
StopUsersOption = Annotated[
    bool, typer.Option("--stop-containerd-users", help="Agree to end what others run with the engine's containerd.")
]
OnlyOption = Annotated[
    Only | None, typer.Option("--only", help="Move this root alone; with containerd, TARGET is where its root goes.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Agree to what it says; without, it only says it.")]


class Verbs(Protocol):
    """What the verbs do; the composition root provides it."""

    def run(self, goal: Goal, bwlimit: str, checksum: bool, accepted: frozenset[str]) -> ExitCode: ...

    def plan(self, goal: Goal, bwlimit: str, checksum: bool, accepted: frozenset[str], as_json: bool) -> ExitCode: ...

    def check(self, goal: Goal, accepted: frozenset[str]) -> ExitCode: ...

    def status(self, wait: bool, as_json: bool, page: str | None) -> ExitCode: ...

    def rollback(self, agreed: bool) -> ExitCode: ...

    def cleanup(self, agreed: bool) -> ExitCode: ...

    def script(self) -> ExitCode: ...

    def worker(self, run: str) -> ExitCode: ...


class Asked:
    """In the place of the verbs, to see what is wrong with the words: notes which was asked for, and does nothing."""

    verb = ""

    def __getattr__(self, verb: str) -> Callable[..., ExitCode]:
        self.verb = verb
        return lambda *_: ExitCode.DONE


def with_default_verb(arguments: Sequence[str]) -> list[str]:
    """The arguments with `run` put first where a target or option stands alone.

    Raises UsageError for a word that can only be meant for a verb and is none.
    """
    words = list(arguments)
    if not words or words[0] in (*VERBS, *ALONE, *HELP):
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
    return [*rest, "--help"] if first == ["help"] else [*first, *rest]


def similar(word: str) -> str:
    """The verb that a word is a misspelling or another name of, if it is one."""
    known = (*VERBS[:-1], *ALONE, *MEANT)
    found = next(iter(get_close_matches(word.lower(), known, n=1, cutoff=0.75)), "")
    return MEANT.get(found, found)


def limit(given: Sequence[str] | None) -> str:
    """The one limit that was given, or none. Raises UsageError."""
    if not given:
        return ""
    if len(given) > 1:
        raise UsageError("--bwlimit was given more than once.", resolution="Give it once, as --bwlimit=50m.")
    bytes_a_second(given[0])
    return given[0]


def build(verbs: Verbs) -> "typer.Typer":
    """The application, whose commands return their exit code."""
    app = typer.Typer(
        name="relocator",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": [*HELP]},
        help="Move a Docker engine's storage to another path on this host. `relocator TARGET` means `run TARGET`.",
    )

    @app.callback(invoke_without_command=True)
    def main(
        context: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    ) -> None:
        if version:
            say(f"relocator {__version__}", sys.stdout)
            raise typer.Exit(ExitCode.DONE)
        if context.invoked_subcommand is None:
            raise UsageError("Where to?", resolution="Usage: relocator /new/path   (more with --help)")

    add_commands(app, verbs)
    return app


def add_commands(app: "typer.Typer", verbs: Verbs) -> None:
    @app.command(help="Move the data root to TARGET.")
    def run(
        target: TargetArgument,
        bwlimit: BandwidthOption = None,
        checksum: ChecksumOption = False,
        adopt: AdoptOption = False,
        finish_copy: FinishOption = False,
        remove_ephemeral: RemoveOption = False,
        containerd_root: ContainerdRootOption = "",
        only: OnlyOption = None,
        stop_users: StopUsersOption = False,
    ) -> None:
        goal = Goal.of(target, containerd_root, only, adopts=adopt)
        agreed = accepted(adopt, remove_ephemeral, stop_users, finish_copy)
        raise typer.Exit(verbs.run(goal, limit(bwlimit), checksum, agreed))

    @app.command(help="Print what `run` would do; change nothing.")
    def plan(
        target: TargetArgument,
        bwlimit: BandwidthOption = None,
        checksum: ChecksumOption = False,
        adopt: AdoptOption = False,
        finish_copy: FinishOption = False,
        remove_ephemeral: RemoveOption = False,
        containerd_root: ContainerdRootOption = "",
        only: OnlyOption = None,
        stop_users: StopUsersOption = False,
        as_json: JsonOption = False,
    ) -> None:
        goal = Goal.of(target, containerd_root, only, adopts=adopt)
        agreed = accepted(adopt, remove_ephemeral, stop_users, finish_copy)
        raise typer.Exit(verbs.plan(goal, limit(bwlimit), checksum, agreed, as_json))

    @app.command(help="Say whether TARGET and the engine are fit; change nothing.")
    def check(
        target: TargetArgument,
        adopt: AdoptOption = False,
        finish_copy: FinishOption = False,
        remove_ephemeral: RemoveOption = False,
        containerd_root: ContainerdRootOption = "",
        only: OnlyOption = None,
        stop_users: StopUsersOption = False,
    ) -> None:
        goal = Goal.of(target, containerd_root, only, adopts=adopt)
        agreed = accepted(adopt, remove_ephemeral, stop_users, finish_copy)
        raise typer.Exit(verbs.check(goal, agreed))

    @app.command(help="Say how the last move stands or ended.")
    def status(
        wait: Annotated[bool, typer.Option("--wait", help="Wait until nobody is at work.")] = False,
        as_json: JsonOption = False,
        page: PageOption = None,
    ) -> None:
        if as_json and page is not None:
            raise UsageError("Either --json or --html.", resolution="See: relocator status --help")
        raise typer.Exit(verbs.status(wait, as_json, page))

    @app.command(help="Go back to the old root; says first what would be missing.")
    def rollback(yes: YesOption = False) -> None:
        raise typer.Exit(verbs.rollback(yes))

    @app.command(help="Remove the old root, after proving the new one.")
    def cleanup(yes: YesOption = False) -> None:
        raise typer.Exit(verbs.cleanup(yes))

    @app.command(help="Print a script that runs this and waits for the outcome.")
    def script() -> None:
        raise typer.Exit(verbs.script())

    @app.command(hidden=True, help="The part that the host's systemd starts.")
    def worker(run: str) -> None:
        raise typer.Exit(verbs.worker(run))


def accepted(adopt: bool, remove_ephemeral: bool, stop_users: bool, finish_copy: bool) -> frozenset[str]:
    """What options agree to: the ids of findings, and the root that is in the target."""
    if adopt and finish_copy:
        raise UsageError("Either --adopt or --finish-copy.", resolution="See: relocator --help")
    given = {ADOPT: adopt, EPHEMERAL: remove_ephemeral, USERS: stop_users, FINISH: finish_copy}
    return frozenset(what for what, is_given in given.items() if is_given)


def words(goal: Goal, bwlimit: str, checksum: bool, agreed: frozenset[str]) -> str:
    """What was asked of `plan`, as one types it to have it done."""
    options = {"--adopt": ADOPT, "--remove-ephemeral": EPHEMERAL, "--stop-containerd-users": USERS,
               "--finish-copy": FINISH}  # fmt: skip
    typed = [str(goal.target), *(option for option, id in options.items() if id in agreed)]
    typed += [f"--bwlimit={bwlimit}"] * bool(bwlimit) + ["--checksum"] * checksum
    typed += [f"--containerd-root={goal.containerd}"] * bool(goal.containerd)
    return shlex.join([*typed, *([f"--only={goal.only}"] if goal.only else [])])


def call(app: "typer.Typer", arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name. Raises UsageError for what they should not be."""
    arguments = with_help_as_option(arguments)
    helping = redirect_stdout(StringIO()) if set(HELP) & set(arguments) else nullcontext()
    try:
        with helping as told:
            code = int(app(with_default_verb(arguments), prog_name="relocator", standalone_mode=False) or 0)
    except typer.TyperException as error:
        raise UsageError(printable(error.format_message()), resolution="See: relocator --help") from error
    if told:
        say(told.getvalue(), sys.stdout, end="")
    return code

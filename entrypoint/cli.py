"""The command line: verbs, options and how a target without a verb means `run`."""

from collections.abc import Sequence
from typing import Annotated, Protocol

import typer

from entrypoint import __version__
from entrypoint.errors import ExitCode, UsageError

VERBS = ("run", "plan", "check", "status", "worker")

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="The new data root, an absolute path.")]
BandwidthOption = Annotated[
    str, typer.Option("--bwlimit", help="Limit of the live passes, as in rsync: 50m is 50 MiB/s.")
]


class Verbs(Protocol):
    """What the verbs do; the composition root provides it."""

    def run(self, target: str, bwlimit: str) -> ExitCode: ...

    def plan(self, target: str) -> ExitCode: ...

    def check(self, target: str) -> ExitCode: ...

    def status(self, wait: bool, as_json: bool) -> ExitCode: ...

    def worker(self, run: str) -> ExitCode: ...


def with_default_verb(arguments: Sequence[str]) -> list[str]:
    """The arguments with `run` put first where a target or option stands alone."""
    words = list(arguments)
    if not words or words[0] in VERBS or words[0] in ("--help", "--version"):
        return words
    return ["run", *words]


def build(verbs: Verbs) -> "typer.Typer":
    """The application, whose commands return their exit code."""
    app = typer.Typer(
        name="relocator",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Move a Docker engine's storage to another path on this host. `relocator TARGET` means `run TARGET`.",
    )

    @app.callback(invoke_without_command=True)
    def main(
        context: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    ) -> None:
        if version:
            print(f"relocator {__version__}")
            raise typer.Exit(ExitCode.DONE)
        if context.invoked_subcommand is None:
            raise UsageError("Where to?", resolution="Usage: relocator /new/path   (more with --help)")

    add_commands(app, verbs)
    return app


def add_commands(app: "typer.Typer", verbs: Verbs) -> None:
    @app.command(help="Move the data root to TARGET.")
    def run(target: TargetArgument, bwlimit: BandwidthOption = "") -> None:
        raise typer.Exit(verbs.run(target, bwlimit))

    @app.command(help="Print what `run` would do; change nothing.")
    def plan(target: TargetArgument) -> None:
        raise typer.Exit(verbs.plan(target))

    @app.command(help="Say whether TARGET and the engine are fit for a move; change nothing.")
    def check(target: TargetArgument) -> None:
        raise typer.Exit(verbs.check(target))

    @app.command(help="Say how the last move stands or ended; the exit code says it too.")
    def status(
        wait: Annotated[bool, typer.Option("--wait", help="Wait until nobody is at work.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    ) -> None:
        raise typer.Exit(verbs.status(wait, as_json))

    @app.command(hidden=True, help="The part that the host's systemd starts.")
    def worker(run: str) -> None:
        raise typer.Exit(verbs.worker(run))


def call(app: "typer.Typer", arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name. Raises UsageError for what they should not be."""
    try:
        return int(app(with_default_verb(arguments), standalone_mode=False) or 0)
    except typer.TyperException as error:
        raise UsageError(error.format_message(), resolution="See: relocator --help") from error

"""The composition root: signals, the real host, one verb, one exit code."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing

from entrypoint.commands import sibling
from entrypoint.commands.line import cli
from entrypoint.commands.verbs import VERBS
from entrypoint.console import command
from entrypoint.console import events as logging
from entrypoint.console.errors import ExitCode, Interrupted, RelocatorError
from entrypoint.console.events import log
from entrypoint.host.host import Host
from entrypoint.host.machine import standing
from entrypoint.host.machine.standing import Standing
from entrypoint.host.services import access
from entrypoint.host.services.systemd import Systemd
from entrypoint.host.signals import Signals
from entrypoint.journal.journal import Journal
from entrypoint.move.context import Context

NEEDS_NO_HOST = ("script", "bundle", "completion", "manual")
BUG = 70  # EX_SOFTWARE: not one of ours


def open_streams() -> None:
    """Started with a stream closed, there is none in Python; and no name on a host may keep a line from being told."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for all its life
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream)


def give_up_streams() -> None:
    """What could not be written would be tried again at the very end, and change the exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main(arguments: Sequence[str]) -> int:
    host = Host(signals=Signals())  # both are one a process: the kernel has one handler of a signal for all of it
    host.signals.install()
    open_streams()
    logging.configure(human=sys.stdout.isatty())
    try:
        return dispatch(host, arguments)
    except RelocatorError as error:
        explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        explain(Interrupted("Interrupted. Nothing was changed."))
        return ExitCode.INTERRUPTED
    except Exception:
        logging.say(traceback.format_exc(), sys.stderr, end="")
        return BUG


def dispatch(host: Host, arguments: Sequence[str]) -> int:
    """Run the verb here, in a sibling container, or say what to run instead."""
    asked = cli.parse(arguments)  # whatever this container was given
    if asked is None:
        return ExitCode.DONE
    if asked.verb not in NEEDS_NO_HOST:
        found = standing.find_standing()
        if found is Standing.SOCKET_ONLY:
            return sibling.run_sibling(arguments)
        if found is Standing.BARE:
            raise standing.unreachable(arguments)
        standing.require_same_host()
        standing.require_systemd()
        access.require(host)
    with closing(Systemd(host)) as services:  # what acts on the host is made here, once, and passed down
        return VERBS[asked.verb](Context(host, services, Journal(host)), asked)


def explain(error: RelocatorError) -> None:
    """The last word, for people on standard error: what failed, why, what to do; in a pipe as an event too."""
    if error.exit_code is not ExitCode.USAGE and not sys.stdout.isatty():
        facts = {"brief": error.brief, "details": error.details, "resolution": error.resolution}
        log.error("ended", exit_code=int(error.exit_code), **facts)
    logging.end_draft()
    logging.say(f"\n{command.told(error.text())}", sys.stderr)


if __name__ == "__main__":
    os.chdir("/")
    ended = main(sys.argv[1:])
    give_up_streams()
    sys.exit(ended)

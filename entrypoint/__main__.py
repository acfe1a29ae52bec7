"""The composition root: signals, the real host, one verb, one exit code."""

import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import cast

from entrypoint.commands import cleanup, cli, rollback, script, sibling
from entrypoint.commands import run as relocation
from entrypoint.commands.status import page as report
from entrypoint.commands.status import status as statuses
from entrypoint.commands.status import text
from entrypoint.commands.status.state import State
from entrypoint.console import command
from entrypoint.console import events as logging
from entrypoint.console.discretion import discreet
from entrypoint.console.errors import ExitCode, Interrupted, Left, RelocatorError, SystemdError, UsageError
from entrypoint.console.events import log
from entrypoint.host import signals
from entrypoint.host.host import Host
from entrypoint.host.machine import standing
from entrypoint.host.machine.processes import Process
from entrypoint.host.machine.standing import Standing
from entrypoint.host.services import access
from entrypoint.host.services.systemd import Systemd
from entrypoint.journal import journal, trace
from entrypoint.move import recovery
from entrypoint.move.steps import steps_of
from entrypoint.move.worker import departure, handover, keeper
from entrypoint.move.worker import worker as migration
from entrypoint.plan import outlook
from entrypoint.preflight import preflight
from entrypoint.preflight.request import Goal

NEEDS_NO_HOST = ("script",)
STANDARD_OUTPUT = "-"  # in the place of a file, as everywhere
BUG = 70  # EX_SOFTWARE: not one of ours


class Application:
    """The verbs, on the real host."""

    def __init__(self) -> None:
        self.host = Host()

    def run(self, goal: Goal, bwlimit: str, checksum: bool, accepted: frozenset[str]) -> ExitCode:
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            return self._told(relocation.relocate(self.host, systemd, goal, bwlimit, checksum, accepted))

    def plan(self, goal: Goal, bwlimit: str, checksum: bool, accepted: frozenset[str], as_json: bool) -> ExitCode:
        if as_json:
            logging.configure(sys.stderr, human=sys.stderr.isatty())
        survey = self._look(goal, accepted)
        document = outlook.head("already-there", survey.findings)
        if not preflight.is_already_there(survey.facts):
            if as_json and preflight.refuses(survey.findings):
                logging.say(
                    json.dumps(command.told_all(discreet(outlook.head("refused", survey.findings)))), sys.stdout
                )
            preflight.require(survey.findings)
            plan = relocation.make_plan(survey, bwlimit, checksum, accepted)
            document = outlook.to_json(plan, survey.facts, survey.findings)
            log.info("plan.ended", words=cli.words(goal, bwlimit, checksum, accepted))
        if as_json:
            logging.say(json.dumps(command.told_all(discreet(document))), sys.stdout)
        return ExitCode.DONE

    def check(self, goal: Goal, accepted: frozenset[str]) -> ExitCode:
        survey = self._look(goal, accepted)
        if not preflight.is_already_there(survey.facts):
            preflight.require(survey.findings)
            log.info("check.passed", target=str(survey.facts.moved.target.resolved))
        return ExitCode.DONE

    def _look(self, goal: Goal, accepted: frozenset[str]) -> relocation.Survey:
        with closing(Systemd()) as systemd:
            survey = relocation.look(self.host, systemd, goal, accepted)
        if preflight.is_already_there(survey.facts):
            log.info("already_there", target=str(survey.facts.moved.source.path))
        return survey

    def status(self, wait: bool, as_json: bool, page: str | None) -> ExitCode:
        logging.configure(sys.stderr, human=sys.stderr.isatty())
        place = None if page in (None, STANDARD_OUTPUT) else report.place_of(self.host, str(page))
        book = journal.Journal(self.host)
        with closing(Systemd()) as systemd:
            if wait:
                self._await(book, systemd)
            self._settle(book, systemd)
            found = statuses.wait(book, systemd) if wait else statuses.read(book, systemd)
            found = statuses.with_present(self.host, systemd, book, found)
        found = statuses.told_by(self.host, found, book)
        if page == STANDARD_OUTPUT:
            logging.say(report.page(found), sys.stdout, end="")
            return found.exit_code
        if place:
            report.save(place, found)
        if as_json:
            logging.say(json.dumps(command.told_all(discreet(found.to_json()))), sys.stdout)
        else:
            logging.say(command.told(text.report(found, shutil.get_terminal_size().columns)), sys.stdout)
        return found.exit_code

    def _await(self, book: journal.Journal, systemd: Systemd) -> None:
        """Until the outcome. Raises Left where the engine takes this container along, and Interrupted for a person."""
        try:
            statuses.wait(book, systemd)
        except KeyboardInterrupt:
            if not departure.is_handed_over(book):
                raise
            again = f"To wait on this host for its outcome:\n    {handover.outcome_line()}"
            if signals.is_ended_from_outside():
                raise Left("The engine goes down, and this container with it. The move goes on.", "", again) from None
            raise Interrupted("Interrupted. Nothing was changed, and the move goes on.", "", again) from None

    def _settle(self, book: journal.Journal, systemd: Systemd) -> None:
        """Finish what was cut off, and try again what does not stand; one that is at work is left alone.

        Nobody who only asks has the engine stopped.
        """
        found = statuses.read(book, systemd)
        is_open = found.state in (State.CUT_OFF, State.ABANDONED, State.BROKEN)
        if is_open or (found.amiss and found.state is not State.WORKING):
            with book.locked():
                recovery.settle(self.host, systemd, book, stops=False)

    def rollback(self, agreed: bool) -> ExitCode:
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            return self._told(rollback.go_back(self.host, systemd, agreed=agreed))

    def cleanup(self, agreed: bool) -> ExitCode:
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            return self._told(cleanup.clean_up(self.host, systemd, agreed=agreed))

    def script(self) -> ExitCode:
        print(script.text(), end="")
        return ExitCode.DONE

    def _told(self, code: ExitCode) -> ExitCode:
        if code is ExitCode.HANDED_OVER:
            log.info("handed_over", unit=handover.UNIT, wait=handover.outcome_line())
        return code

    def worker(self, run: str) -> ExitCode:
        book = journal.Journal(self.host)
        record = book.run(run)
        if "NOTIFY_SOCKET" not in os.environ or record not in book.runs():
            raise UsageError("A worker is started by systemd, not by hand.", resolution="See: relocator status")
        logging.configure(sys.stdout, logging.open_log(record.log))
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            move = recovery.load(self.host, systemd, record, stops=True)
            keeper.say_ready()
            code = migration.work(move, book, Process(**record.plan()["front"]), steps_of(move.plan))
            with suppress(SystemdError):
                handover.dismiss(systemd)
        return code


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
    signals.install()
    open_streams()
    logging.configure(human=sys.stdout.isatty())
    try:
        return dispatch(arguments)
    except RelocatorError as error:
        explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        explain(Interrupted("Interrupted. Nothing was changed."))
        return ExitCode.INTERRUPTED
    except Exception:
        logging.say(traceback.format_exc(), sys.stderr, end="")
        return BUG


def dispatch(arguments: Sequence[str]) -> int:
    """Run the verb here, in a sibling container, or say what to run instead."""
    asked = cli.Asked()
    code = cli.call(cli.build(cast(cli.Verbs, asked)), arguments)  # whatever this container was given
    if not asked.verb:
        return code
    if asked.verb not in NEEDS_NO_HOST:
        found = standing.find_standing()
        if found is Standing.SOCKET_ONLY:
            return sibling.run_sibling(arguments)
        if found is Standing.BARE:
            raise standing.unreachable(arguments)
        standing.require_same_host()
        standing.require_systemd()
        access.require(Host())
    return cli.call(cli.build(Application()), arguments)


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

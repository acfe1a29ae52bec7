"""The composition root: signals, the real host, one verb, one exit code."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing, suppress
from types import FrameType

from entrypoint import (
    cli,
    handover,
    journal,
    keeper,
    migration,
    preflight,
    recovery,
    relocation,
    sibling,
    standing,
    target_checks,
    trace,
)
from entrypoint import host as hosts
from entrypoint import log as logging
from entrypoint import status as statuses
from entrypoint.errors import ExitCode, RelocatorError, SystemdError
from entrypoint.host import Host
from entrypoint.log import log
from entrypoint.standing import Standing
from entrypoint.systemd import Systemd

BUG = 70  # EX_SOFTWARE: not one of ours


class Application:
    """The verbs, on the real host."""

    def __init__(self) -> None:
        self.host = Host()

    def run(self, target: str, bwlimit: str) -> ExitCode:
        path = target_checks.parse_target(target)
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            code = relocation.relocate(self.host, systemd, path, bwlimit)
        if code is ExitCode.HANDED_OVER:
            log.info("handed_over", unit=handover.UNIT, image=os.environ.get(standing.IMAGE, "relocator"))
        return code

    def plan(self, target: str) -> ExitCode:
        survey = self._look(target)
        if preflight.is_already_there(survey.facts):
            return ExitCode.DONE
        preflight.require(survey.findings)
        relocation.make_plan(survey.facts)
        return ExitCode.DONE

    def check(self, target: str) -> ExitCode:
        survey = self._look(target)
        if not preflight.is_already_there(survey.facts):
            preflight.require(survey.findings)
            log.info("check.passed", target=str(survey.facts.target.resolved))
        return ExitCode.DONE

    def _look(self, target: str) -> relocation.Survey:
        path = target_checks.parse_target(target)
        with closing(Systemd()) as systemd:
            survey = relocation.look(self.host, systemd, path)
        if preflight.is_already_there(survey.facts):
            log.info("already_there", target=str(survey.facts.source.path))
        return survey

    def status(self, wait: bool, as_json: bool) -> ExitCode:
        book = journal.Journal(self.host)
        with closing(Systemd()) as systemd:
            if wait:
                statuses.wait(book, systemd)
            self._settle(book, systemd)
            found = statuses.wait(book, systemd) if wait else statuses.read(book, systemd)
        print(json.dumps(found.to_json()) if as_json else found.text())
        return found.exit_code

    def _settle(self, book: journal.Journal, systemd: Systemd) -> None:
        """Finish what was cut off; one that is at work is left alone."""
        if statuses.read(book, systemd).state in (statuses.State.CUT_OFF, statuses.State.ABANDONED):
            logging.configure(sys.stderr, human=sys.stderr.isatty())
            with book.locked():
                recovery.settle(self.host, systemd, book)

    def worker(self, run: str) -> ExitCode:
        book = journal.Journal(self.host)
        record = book.run(run)
        logging.configure(sys.stdout, logging.open_log(record.log))
        trace.arm(self.host)
        with closing(Systemd()) as systemd:
            move = recovery.load(self.host, systemd, record)
            keeper.say_ready()
            code = migration.work(move, book, int(record.plan()["front_pid"]))
            with suppress(SystemdError):
                handover.dismiss(systemd)
        return code


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first signal ends the work in good order; a second one while that is under way is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hosts.end_children()
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    logging.configure(human=sys.stdout.isatty())
    try:
        return dispatch(arguments)
    except RelocatorError as error:
        explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. Nothing was changed.", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except Exception:
        traceback.print_exc()
        return BUG


def dispatch(arguments: Sequence[str]) -> int:
    """Run the verb here, in a sibling container, or say what to run instead."""
    if arguments and not {"--help", "--version"} & set(arguments):
        found = standing.find_standing()
        if found is Standing.SOCKET_ONLY:
            return sibling.run_sibling(arguments)
        if found is Standing.BARE:
            raise standing.unreachable(arguments)
        standing.require_systemd()
    return cli.call(cli.build(Application()), arguments)


def explain(error: RelocatorError) -> None:
    """The last word, for people on standard error: what failed, why, what to do; in a pipe as an event too."""
    if error.exit_code is not ExitCode.USAGE and not sys.stdout.isatty():
        facts = {"brief": error.brief, "details": error.details, "resolution": error.resolution}
        log.error("ended", exit_code=int(error.exit_code), **facts)
    print(f"\n{error.text()}", file=sys.stderr)


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(main(sys.argv[1:]))

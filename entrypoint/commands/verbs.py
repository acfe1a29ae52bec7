"""The verbs, on the real host: each reads what was asked, calls what is below, and returns an exit code."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress

from entrypoint.commands import cleanup, cli, rollback, run, script, survey
from entrypoint.commands.cli import Asked
from entrypoint.commands.status import page, text
from entrypoint.commands.status import status as statuses
from entrypoint.commands.status.state import State
from entrypoint.console import command, events
from entrypoint.console.discretion import discreet
from entrypoint.console.errors import ExitCode, Interrupted, Left, SystemdError, UsageError
from entrypoint.console.events import log
from entrypoint.host.disks.stored import from_json
from entrypoint.host.host import Host
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.manager import ServiceManager
from entrypoint.host.services.systemd import Systemd
from entrypoint.journal import trace
from entrypoint.journal.journal import Journal
from entrypoint.move import recovery
from entrypoint.move.steps import steps_of
from entrypoint.move.worker import departure, handover, keeper, worker
from entrypoint.plan import outlook
from entrypoint.preflight import preflight
from entrypoint.preflight.request import Request

STANDARD_OUTPUT = "-"  # in the place of a file, as everywhere


def move(host: Host, asked: Asked) -> ExitCode:
    host = trace.armed(host)
    with closing(Systemd(host)) as systemd:
        return told(run.relocate(host, systemd, Journal(host), requested(asked)))


def plan(host: Host, asked: Asked) -> ExitCode:
    if asked.as_json:
        events.configure(sys.stderr, human=sys.stderr.isatty())
    request = requested(asked)
    seen = look(host, request)
    document = outlook.head("already-there", seen.findings)
    if not preflight.is_already_there(seen.facts):
        if asked.as_json and preflight.refuses(seen.findings):
            print_json(outlook.head("refused", seen.findings))
        preflight.require(seen.findings)
        made = survey.make_plan(seen, request)
        document = outlook.to_json(made, seen.facts, seen.findings)
        log.info("plan.ended", words=cli.typed(request))
    if asked.as_json:
        print_json(document)
    return ExitCode.DONE


def check(host: Host, asked: Asked) -> ExitCode:
    seen = look(host, requested(asked))
    if not preflight.is_already_there(seen.facts):
        preflight.require(seen.findings)
        log.info("check.passed", target=str(seen.facts.first.target.resolved))
    return ExitCode.DONE


def look(host: Host, request: Request) -> survey.Survey:
    with closing(Systemd(host)) as systemd:
        seen = survey.look(host, systemd, Journal(host), request)
    if preflight.is_already_there(seen.facts):
        log.info("already_there", target=str(seen.facts.first.source.path))
    return seen


def requested(asked: Asked) -> Request:
    assert asked.request is not None  # the verb has a target
    return asked.request


def status(host: Host, asked: Asked) -> ExitCode:
    events.configure(sys.stderr, human=sys.stderr.isatty())
    place = None if asked.page in (None, STANDARD_OUTPUT) else page.place_of(host, str(asked.page))
    book = Journal(host)
    with closing(Systemd(host)) as systemd:
        if asked.wait:
            await_outcome(host, book, systemd)
        settle(host, book, systemd)
        found = statuses.wait(book, systemd) if asked.wait else statuses.read(book, systemd)
        found = statuses.with_present(host, systemd, book, found)
    found = statuses.told_by(host, found, book)
    if asked.page == STANDARD_OUTPUT:
        events.say(page.page(found), sys.stdout, end="")
        return found.exit_code
    if place:
        page.save(place, found)
    if asked.as_json:
        print_json(found.to_json())
    else:
        events.say(command.told(text.report(found, shutil.get_terminal_size().columns)), sys.stdout)
    return found.exit_code


def await_outcome(host: Host, book: Journal, systemd: ServiceManager) -> None:
    """Until the outcome. Raises Left where the engine takes this container along, and Interrupted for a person."""
    try:
        statuses.wait(book, systemd)
    except KeyboardInterrupt:
        if not departure.is_handed_over(book):
            raise
        again = f"To wait on this host for its outcome:\n    {handover.outcome_line()}"
        if host.signals.is_ended_from_outside():
            raise Left("The engine goes down, and this container with it. The move goes on.", "", again) from None
        raise Interrupted("Interrupted. Nothing was changed, and the move goes on.", "", again) from None


def settle(host: Host, book: Journal, systemd: ServiceManager) -> None:
    """Finish what was cut off, and try again what does not stand; one that is at work is left alone.

    Nobody who only asks has the engine stopped.
    """
    found = statuses.read(book, systemd)
    is_open = found.state in (State.CUT_OFF, State.ABANDONED, State.BROKEN)
    if is_open or (found.amiss and found.state is not State.WORKING):
        with book.locked():
            recovery.settle(host, systemd, book, stops=False)


def go_back(host: Host, asked: Asked) -> ExitCode:
    host = trace.armed(host)
    with closing(Systemd(host)) as systemd:
        return told(rollback.go_back(host, systemd, Journal(host), agreed=asked.agreed))


def clean_up(host: Host, asked: Asked) -> ExitCode:
    host = trace.armed(host)
    with closing(Systemd(host)) as systemd:
        return told(cleanup.clean_up(host, systemd, Journal(host), agreed=asked.agreed))


def print_script(_host: Host, _asked: Asked) -> ExitCode:
    print(script.text(), end="")
    return ExitCode.DONE


def print_bundle(_host: Host, _asked: Asked) -> ExitCode:
    if sys.stdout.isatty():
        raise UsageError("A bundle is written to a file: it is no text.",
                         resolution="Without -it: docker run --rm IMAGE bundle >relocator.run")  # fmt: skip
    script.write_bundle(sys.stdout.buffer)
    return ExitCode.DONE


def work(host: Host, asked: Asked) -> ExitCode:
    book = Journal(host)
    record = book.run(asked.run)
    if "NOTIFY_SOCKET" not in os.environ or record not in book.runs():
        raise UsageError("A worker is started by systemd, not by hand.", resolution="See: relocator status")
    events.configure(sys.stdout, events.open_log(record.log))
    host = trace.armed(host)
    with closing(Systemd(host)) as systemd:
        loaded = recovery.load(host, systemd, record, stops=True)
        keeper.say_ready()
        code = worker.work(loaded, book, from_json(Process, record.plan()["front"]), steps_of(loaded.plan))
        with suppress(SystemdError):
            handover.dismiss(systemd)
    return code


def told(code: ExitCode) -> ExitCode:
    if code is ExitCode.HANDED_OVER:
        log.info("handed_over", unit=handover.UNIT, wait=handover.outcome_line())
    return code


def print_json(document: Mapping[str, object]) -> None:
    events.say(json.dumps(command.told_all(discreet(document))), sys.stdout)


VERBS: Mapping[str, Callable[[Host, Asked], ExitCode]] = {
    "run": move,
    "plan": plan,
    "check": check,
    "status": status,
    "rollback": go_back,
    "cleanup": clean_up,
    "script": print_script,
    "bundle": print_bundle,
    cli.WORKER: work,
}

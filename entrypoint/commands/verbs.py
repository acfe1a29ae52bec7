"""The verbs, on the real host: each reads what was asked, calls what is below, and returns an exit code."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from entrypoint.commands import cleanup, control, rollback, run, survey
from entrypoint.commands.line import cli, options
from entrypoint.commands.line.cli import Asked
from entrypoint.commands.printed import completion, manual, script
from entrypoint.commands.status import page, report, text
from entrypoint.commands.status import status as statuses
from entrypoint.commands.status.state import State
from entrypoint.console import command, events, wording
from entrypoint.console.discretion import discreet
from entrypoint.console.errors import ExitCode, Interrupted, Left, SystemdError, UsageError
from entrypoint.console.events import log
from entrypoint.host.disks.stored import from_json
from entrypoint.host.machine.processes import Process
from entrypoint.journal import trace
from entrypoint.move import recovery
from entrypoint.move.context import Context
from entrypoint.move.steps import steps_of
from entrypoint.move.worker import departure, handover, hold, keeper, worker
from entrypoint.plan import outlook
from entrypoint.preflight import preflight
from entrypoint.preflight.request import Request

STANDARD_OUTPUT = "-"  # in the place of a file, as everywhere


def move(context: Context, asked: Asked) -> ExitCode:
    request = requested(asked)
    if control.is_for(context, request):
        return control.watch(traced(context))
    code = run.relocate(traced(context), request)
    if code is ExitCode.HANDED_OVER and hold.is_open(context.journal.runs()[-1].records()):
        return control.watch(traced(context))
    return told(code)


def go(context: Context, _asked: Asked) -> ExitCode:
    return control.go(traced(context))


def abort(context: Context, asked: Asked) -> ExitCode:
    return control.abort(context, keeps=asked.keeps)


def plan(context: Context, asked: Asked) -> ExitCode:
    if asked.as_json:
        speak_beside_a_document(is_one=True)
    request = requested(asked)
    run.going_at(context.host, request)  # one that has passed is refused here, too
    seen, code = survey.look(context, request), ExitCode.DONE
    document = outlook.head("already-there", seen.findings)
    if preflight.is_already_there(seen.facts):
        code = survey.tell_there(context, seen.facts)
    else:
        if asked.as_json and preflight.refuses(seen.findings):
            print_json(outlook.head("refused", seen.findings))
            if events.is_one_terminal():
                return ExitCode.REFUSED  # said in the document, behind which nothing may stand
        preflight.require(seen.findings)
        made = survey.make_plan(seen, request)
        document = outlook.to_json(made, seen.facts, seen.findings)
        log.info("plan.ended", words=cli.typed(request))
    if asked.as_json:
        print_json(document)
    return code


def check(context: Context, asked: Asked) -> ExitCode:
    seen = survey.look(context, requested(asked))
    if preflight.is_already_there(seen.facts):
        return survey.tell_there(context, seen.facts)
    preflight.require(seen.findings)
    log.info("check.passed", target=str(seen.facts.first.target.resolved))
    return ExitCode.DONE


def requested(asked: Asked) -> Request:
    assert asked.request is not None  # the verb has a target
    return asked.request


def traced(context: Context) -> Context:
    """The same, with the instants at which a test stops the program: for a command that changes something."""
    return replace(context, host=trace.armed(context.host))


def status(context: Context, asked: Asked) -> ExitCode:
    speak_beside_a_document(is_one=asked.as_json or asked.page == STANDARD_OUTPUT)
    host, book, services = context.host, context.journal, context.services
    place = None if asked.page in (None, STANDARD_OUTPUT) else page.place_of(host, str(asked.page))
    if asked.wait:
        await_outcome(context)
    settle(context)
    found = statuses.wait(book, services) if asked.wait else statuses.read(book, services)
    found = statuses.told_by(host, statuses.with_present(context, found), book)
    if asked.page == STANDARD_OUTPUT:
        with events.as_written(sys.stdout):
            events.say(page.page(found), sys.stdout, end="")
        return found.exit_code
    if place:
        page.save(place, found)
    if asked.as_json:
        print_json(found.to_json())
    else:
        events.say(command.told(text.report(found, shutil.get_terminal_size().columns)), sys.stdout)
    return found.exit_code


def write_report(context: Context, asked: Asked) -> ExitCode:
    place = None if asked.page is None else report.place_of(context.host, asked.page)
    found = report.parts(context)
    for part in found:
        log.info("report.part", name=part.name, size=wording.size(len(part.text.encode())))
    if place:
        report.save(place, found)
        log.info("report.written", path=asked.page)
    else:
        log.info("report.asked")
    return ExitCode.DONE


def await_outcome(context: Context) -> None:
    """Until the outcome. Raises Left where the engine takes this container along, and Interrupted for a person."""
    try:
        statuses.wait(context.journal, context.services)
    except KeyboardInterrupt:
        if not departure.is_handed_over(context.journal):
            raise
        again = f"To wait on this host for its outcome:\n    {handover.outcome_line()}"
        if context.host.signals.is_ended_from_outside():
            raise Left("The engine goes down, and this container with it. The move goes on.", "", again) from None
        raise Interrupted("Interrupted. Nothing was changed, and the move goes on.", "", again) from None


def settle(context: Context) -> None:
    """Finish what was cut off, and try again what does not stand; one that is at work is left alone.

    Nobody who only asks has the engine stopped.
    """
    found = statuses.read(context.journal, context.services)
    is_open = found.state in (State.CUT_OFF, State.ABANDONED, State.BROKEN)
    if is_open or (found.amiss and found.state is not State.WORKING):
        with context.journal.locked():
            recovery.settle(context, stops=False)


def pause(context: Context, _asked: Asked) -> ExitCode:
    return control.pace(context, pauses=True)


def resume(context: Context, _asked: Asked) -> ExitCode:
    return control.pace(context, pauses=False)


def limit(context: Context, asked: Asked) -> ExitCode:
    return control.pace(context, limit=asked.rate)


def go_back(context: Context, asked: Asked) -> ExitCode:
    return told(rollback.go_back(traced(context), agreed=asked.agreed))


def clean_up(context: Context, asked: Asked) -> ExitCode:
    return told(cleanup.clean_up(traced(context), agreed=asked.agreed))


def print_script(_context: Context, _asked: Asked) -> ExitCode:
    with events.as_written(sys.stdout):
        print(script.text(), end="", flush=True)
    return ExitCode.DONE


def print_completion(_context: Context, _asked: Asked) -> ExitCode:
    with events.as_written(sys.stdout):
        events.say(completion.bash(), sys.stdout, end="")
    return ExitCode.DONE


def print_manual(_context: Context, _asked: Asked) -> ExitCode:
    with events.as_written(sys.stdout):
        events.say(manual.page(), sys.stdout, end="")
    return ExitCode.DONE


def print_bundle(_context: Context, _asked: Asked) -> ExitCode:
    if sys.stdout.isatty():
        image = os.environ.get(command.IMAGE, "relocator")
        raise UsageError("A bundle is written to a file: it is no text.",
                         resolution=f"Without -it: docker run --rm {image} bundle >relocator.run")  # fmt: skip
    script.write_bundle(sys.stdout.buffer)
    return ExitCode.DONE


def work(context: Context, asked: Asked) -> ExitCode:
    record = context.journal.run(asked.run)
    if "NOTIFY_SOCKET" not in os.environ or record not in context.journal.runs():
        raise UsageError("A worker is started by systemd, not by hand.", resolution="See: relocator status")
    events.configure(sys.stdout, events.open_log(record.log))
    loaded = recovery.load(traced(context), record, stops=True)
    keeper.say_ready()
    code = worker.work(loaded, context.journal, from_json(Process, record.plan()["front"]), steps_of(loaded.plan))
    with suppress(SystemdError):
        handover.dismiss(context.services)
    return code


def told(code: ExitCode) -> ExitCode:
    if code is ExitCode.HANDED_OVER:
        log.info("handed_over", unit=handover.UNIT, wait=handover.outcome_line())
    return code


def speak_beside_a_document(*, is_one: bool) -> None:
    """What is said beside an answer goes to standard error; not if the answer is a document, and both end in one."""
    if is_one and events.is_one_terminal():
        events.configure(io.StringIO())
    else:
        events.configure(sys.stderr, human=sys.stderr.isatty())


def print_json(document: Mapping[str, object]) -> None:
    with events.as_written(sys.stdout):
        events.say(json.dumps(command.told_all(discreet(document))), sys.stdout)


VERBS: Mapping[str, Callable[[Context, Asked], ExitCode]] = {
    "run": move,
    "plan": plan,
    "check": check,
    "status": status,
    "report": write_report,
    "go": go,
    "abort": abort,
    "pause": pause,
    "resume": resume,
    "limit": limit,
    "rollback": go_back,
    "cleanup": clean_up,
    "script": print_script,
    "bundle": print_bundle,
    "completion": print_completion,
    "manual": print_manual,
    options.WORKER: work,
}

"""The safety net: what brings the engine back with the host's own programs, whatever became of the worker.

Its lines are the worker unit's `ExecStopPost=`, so systemd runs them however the worker ended; after a good end they
change nothing. They lift the hold and start what ran. If the engine does not come up then, a script puts back the two
files that the move writes, and starts the engine on the root it had:

    /var/lib/relocator/runs/000001/back/
        back.sh                  POSIX sh; needs cat, cp, mv, rm, sync and systemctl
        switch.before, .after    what the file held and was to hold; absent where the file was or is to be absent
        ordering.before, .after, listening.before, .after
        containerd.before, …     the same of containerd's files
    switch.sh                what a service runs before it starts, until the run has ended (guard.py)
    ran                      what ran, for what the engine does not start by itself
    starts                   when each container on the target was last started before the switch, and the last of them
                             made or removed (served.py)

Where there is a `stat`, it sees containers that have left nothing but a time, too (served.py).

Of a run that is held the lines start nothing, until it goes (`arm`): then `going.sh` beside that directory does.

It is there from the hand-over until the run has ended well, and after a rollback that failed, for people.
"""

import shlex
from pathlib import Path, PurePosixPath
from shutil import rmtree

from entrypoint.console.errors import ContainerError, JournalError
from entrypoint.engine.inventory import ALIVE, OURS, TITLE, Inventory, Status
from entrypoint.host.disks.filesystem import atomic_write, make_directories
from entrypoint.host.host import Host
from entrypoint.host.services import hold
from entrypoint.host.services.units import Command
from entrypoint.journal.record import PLACE, Run
from entrypoint.move.since import served
from entrypoint.move.switch import guard
from entrypoint.plan.plan import Plan
from entrypoint.settings.file_edit import FileEdit

GOING = "going.sh"  # beside the records: a run that has ended well has put the rest away

FUNCTIONS = """\
here={here}

# holds FILE COPY: FILE has the content of COPY, or both are absent
holds() {{
    if [ -e "$2" ]; then
        [ -e "$1" ] && [ "$(cat "$1"; echo .)" = "$(cat "$2"; echo .)" ]
    else
        ! [ -e "$1" ]
    fi
}}

# put FILE NAME WANTED OTHER: FILE, if it has the content of OTHER, gets that of WANTED, in one rename
put() {{
    if holds "$1" "$here/$2.$3"; then
        return 0
    elif ! holds "$1" "$here/$2.$4"; then
        echo "$1 was changed by somebody else and is left as it is" >&2
        return 1
    elif [ -e "$here/$2.$3" ]; then
        if [ -e "$1" ]; then cp -p "$1" "$1.relocator" || return 1; fi
        cat "$here/$2.$3" >"$1.relocator" && sync && mv -f "$1.relocator" "$1"
    else
        rm -f "$1"
    fi
}}

put_back() {{
    put "$1" "$2" before after
}}
"""
SCRIPT = """\
# Written by relocator before it stopped the engine. If the engine does not run, and no container has run on the new
# root, this puts the host's configuration back as it was, and starts the engine on {source}. With the argument `now` it
# does so whatever runs or has run: what was written since stays in {target}.
{functions}
# has_served: a container was started on the new root since it is configured; its clients may have written there
has_served() {{
    [ -e "$here/starts" ] || return 1
    then=$(cat "$here/starts")
    for one in {containers}/*; do
        [ -e "$one/config.v2.json" ] || continue
        now=$(cat "$one/config.v2.json")
        case $now in *'"{title}":"{ours}"'*) continue ;; esac
        now=${{now#*'"StartedAt":"'}}
        case "
$then
" in
            *"
${{one##*/}} ${{now%%'"'*}}
"*) continue ;;
        esac
        case $now in {never}*) ;; *) return 0 ;; esac
    done
    # one with --rm that has ended has left nothing but the time of their directory
    changed=$(stat -c %Y {containers} 2>/dev/null) || return 1
    case "
$then" in
        *"
{all} $changed."*) return 1 ;;
        *"
{all} "[0-9]*) return 0 ;;
    esac
    return 1
}}

is_up() {{
    for unit in {started}; do
        systemctl is-active --quiet "$unit" || return 1
    done
}}

if ! [ -d "$here" ]; then exit 0; fi
if [ "${{1:-}}" != now ]; then
    if is_up; then exit 0; fi
    if has_served; then
        echo Containers have run on {root}: what they have written is only there, and nothing is taken back. >&2
        exit 1
    fi
fi
# a host that goes down starts the engine at its next boot, on whichever root is configured; both are complete
if [ "$(systemctl is-system-running)" = stopping ]; then exit 0; fi
{stop}
{back}
code=$?
sync
systemctl daemon-reload
systemctl reset-failed {units}
{start} || code=$?
# what the engine does not start by itself
if [ -e "$here/ran" ] && command -v docker >/dev/null; then
    while read -r act one; do docker "$act" "$one" >/dev/null || code=$?; done <"$here/ran"
fi
exit "$code"
"""


def place_of(run: Run) -> str:
    """The net's directory, as a path of the host."""
    return f"{PLACE}/runs/{run.number}/back"


def by_hand(number: str) -> str:
    """The command that puts everything back, for people."""
    return f"sh {PLACE}/runs/{number}/back/back.sh now"


def script(run: Run, plan: Plan) -> str:
    # The first is what decides which pair of roots it is (paired_switch.py).
    back = [f"put_back {shlex.quote(edit.path)} {name}" for name, edit in kept(plan)]
    return SCRIPT.format(
        source=plan.first.source,
        target=plan.first.target,
        root=shlex.quote(plan.first.target),
        containers=shlex.quote(str(PurePosixPath(plan.data_root(is_target=True), plan.within, "containers"))),
        title=TITLE,
        ours=OURS,
        never=served.NEVER,
        all=served.ALL,
        functions=functions(run),
        units=shlex.join(plan.every_unit),
        started=shlex.join(plan.started),
        stop="\n".join(f"systemctl stop {shlex.join(units)}" for units in reversed(in_order(plan, plan.units))),
        back=" && ".join(back),
        start=" && ".join(f"systemctl start {shlex.join(units)}" for units in in_order(plan, plan.started)) or "true",
    )


def functions(run: Run) -> str:
    """What the scripts have in common."""
    return FUNCTIONS.format(here=shlex.quote(place_of(run)))


def kept(plan: Plan) -> tuple[tuple[str, FileEdit], ...]:
    """The files that are put back, the one that decides first, and the names of their copies."""
    switches = zip(("switch", "containerd"), (root.switch for root in plan.roots), strict=False)
    services = (("containerd-ordering", service.ordering) for service in plan.services)
    orderings = (("ordering", plan.ordering), *services, *(("listening", edit) for edit in plan.listening))
    follow = ((f"containerd-{number}", edit) for number, edit in enumerate(plan.follow))
    return (*switches, *orderings, *follow)


def in_order(plan: Plan, units: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What is started together, and one after the other: containerd first; nothing where nothing is to start."""
    first = tuple(service.name for service in plan.services if service.started)
    return [group for group in (first, units) if group]


def spread(run: Run, plan: Plan) -> None:
    """Put everything in its place that the net needs; before anything is touched."""
    folder = run.place / "back"
    make_directories(folder, 0o700)
    for name, edit in kept(plan):
        _save(folder, name, edit)
    atomic_write(folder / guard.SCRIPT_NAME, guard.script(functions(run), plan).encode(), mode=0o600)
    atomic_write(folder / "back.sh", script(run, plan).encode(), mode=0o600)


def _save(folder: Path, name: str, edit: FileEdit) -> None:
    for when, content in (("before", edit.before), ("after", edit.after)):
        if content is not None:
            atomic_write(folder / f"{name}.{when}", content, mode=0o600)


def note_running(run: Run, held: Inventory) -> None:
    """Keep what ran for the script, a line an act: the engine alone does not start all of it."""
    lines = []
    for one in held.containers:
        if one.status in ALIVE and not one.is_fleeting:
            lines += [f"start {one.id}\n"] + ([f"pause {one.id}\n"] if one.status is Status.PAUSED else [])
    make_directories(run.place / "back", 0o700)
    atomic_write(run.place / "back/ran", "".join(lines).encode(), mode=0o600)


def put_away(run: Run) -> None:
    """The run ends well: from here on a start that fails is none of its business."""
    rmtree(run.place / "back", ignore_errors=True)


def lines(host: Host, run: Run, plan: Plan) -> tuple[Command, ...]:
    """The lines, in order; each is run whatever became of the one before.

    Where the switch is in a unit, the units are read again while the hold is still in force: the engine would else
    start as an older unit says, and be found elsewhere at its next start. Of a run that is held nothing is started but
    what it has stopped, as it was when it went: until then others stop and start units, for days.
    """
    rm, systemctl, sh = program(host, "rm"), program(host, "systemctl"), program(host, "sh")
    files = (hold.HOLD, *(hold.drop_in(unit) for unit in plan.every_unit))
    found = [
        *([(systemctl, "daemon-reload")] if plan.first.switch.setting.needs_reload else []),
        *([if_there(sh, f"{place_of(run)}/{guard.SCRIPT_NAME}")] if plan.roots[1:] else []),
        (rm, "-f", *files),
        *([if_there(sh, f"{PLACE}/runs/{run.number}/{GOING}")] if plan.holds else starting(host, run, plan)),
        (systemctl, "daemon-reload"),  # last: nothing above depends on it
    ]
    return tuple(Command(line, ignore_failure=True) for line in found)


def starting(host: Host, run: Run, plan: Plan) -> list[tuple[str, ...]]:
    """What starts again all that a run has stopped. One of several managers of a swarm is not taken back without a look
    at what it has written since (migration.stays): that is the next worker's, or a person's."""
    systemctl, sh = program(host, "systemctl"), program(host, "sh")
    along = (*plan.dependents, *plan.awaited)
    return [
        (systemctl, "reset-failed", *plan.every_unit),
        *((systemctl, "start", *units) for units in in_order(plan, plan.started)),
        *([] if plan.one_of_managers else [if_there(sh, f"{place_of(run)}/back.sh")]),
        *([(systemctl, "start", "--no-block", *along)] if along else []),
    ]


def arm(host: Host, run: Run, plan: Plan) -> None:
    """A run that was held goes: from here on the net starts again what it stops, by the plan as it is now.

    Raises JournalError.
    """
    script = "\n".join(["# Written by relocator before it stopped the engine.",
                        *map(shlex.join, starting(host, run, plan))])  # fmt: skip
    try:
        spread(run, plan)
    except OSError as error:
        raise JournalError("The journal cannot be written.", details=str(error)) from error
    run.keep(GOING, f"{script}\n".encode())


def if_there(sh: str, script: str) -> tuple[str, ...]:
    """After a good end it is not; nobody is to read then that something could not be opened."""
    return sh, "-c", f"if [ -e {script} ]; then exec {sh} {script}; fi"


def program(host: Host, name: str) -> str:
    place = host.program(name)
    if place is None:
        raise ContainerError(f"The host has no `{name}`.", details="It is part of every system with systemd.")
    return place

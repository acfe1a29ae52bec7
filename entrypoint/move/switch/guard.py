"""Between the first and the last write of a switch the host may go down, and its next boot is to find a root.

What makes a service wait for its roots (ordering.py) names them by their paths, so it would be wrong on one side of the
rename that decides: an engine that is still configured to the old root would wait for the disk of the new one, or one
that is configured to the new one would begin an empty root where that disk is missing. So it is taken away before, and
written when the rename is done; meanwhile, and until the run has ended, the services have a drop-in in /etc that runs a
script before they start. It asks for the roots that are configured then:

the file that decides    containerd's file (paired_switch.py)    must be there
as it is to be           is made as it is to be         the targets
as it was                is made as it was              the sources
neither                  left alone                     nothing: whoever has changed it has looked at it

What starts the engine when a disk comes late (waking.py) knows both roots meanwhile; that of the sources goes when the
run has arrived.

The script needs cat, cp, mv, rm and sync.
"""

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.errors import ContainerError, SystemdError
from entrypoint.console.events import log
from entrypoint.host.disks.filesystem import atomic_write, make_directories, mount_of, mounts, remove_durably
from entrypoint.host.services.waking import ROOT, by_either, escaped
from entrypoint.journal.record import PLACE
from entrypoint.move.context import Move
from entrypoint.plan.plan import Plan
from entrypoint.settings import edits

SCRIPT_NAME = "switch.sh"
SCRIPT = """\
# Written by relocator for the time of a move: what is configured is one whole pair of roots, and it is there.
{functions}
# is_root DIRECTORY: there is something in it; without its disk it would be an empty directory
is_root() {{
    for one in "$1"/*; do
        if [ -e "$one" ]; then return 0; fi
    done
    echo "There is nothing in $1: its disk is missing" >&2
    return 1
}}

if ! [ -d "$here" ]; then exit 0; fi
if holds {switch} "$here/switch.after"; then
    {after}
elif holds {switch} "$here/switch.before"; then
    {before}
else
    echo {switch} was changed by somebody else, and all is left as it is >&2
fi
exit 0
"""
DROP_IN = "00-relocator-switch.conf"
GUARDING = """\
# Written by relocator for the time of a move
[Unit]
After={mounts}
[Service]
ExecStartPre={sh} -c 'if [ -e {script} ]; then exec {sh} {script} {service}; fi'
"""


def drop_in(service: str) -> str:
    return f"/etc/systemd/system/{service}.d/{DROP_IN}"


def services(plan: Plan) -> tuple[str, ...]:
    return (plan.service, *(service.name for service in plan.services))


def script(functions: str, plan: Plan) -> str:
    return SCRIPT.format(
        functions=functions,
        switch=shlex.quote(plan.first.switch.path),
        after="\n    ".join(_asked(plan, "after", "before", is_target=True)),
        before="\n    ".join(_asked(plan, "before", "after", is_target=False)),
    )


def _asked(plan: Plan, wanted: str, other: str, *, is_target: bool) -> Iterator[str]:
    for root in plan.roots[1:]:
        yield f"put {shlex.quote(root.switch.path)} containerd {wanted} {other}"
    all_there = " && ".join(f"is_root {shlex.quote(root.place(is_target=is_target))}" for root in plan.roots)
    yield f'if [ "${{1:-}}" = {shlex.quote(plan.service)} ]; then {all_there} || exit 1; fi'
    for root in plan.roots:
        if root.service:
            there = f"is_root {shlex.quote(root.place(is_target=is_target))}"
            yield f'if [ "${{1:-}}" = {root.service.name} ]; then {there} || exit 1; fi'


def take(move: Move) -> None:
    """From here on no service starts without a look; what names its roots by their paths is away meanwhile."""
    sh = move.host.program("sh")
    if sh is None:
        raise ContainerError("The host has no `sh`.")
    place = f"{PLACE}/runs/{move.run.number}/back/{SCRIPT_NAME}"
    for service in services(move.plan):
        file = move.host.path(drop_in(service))
        make_directories(file.parent)
        atomic_write(file, GUARDING.format(sh=sh, script=place, service=service, mounts=awaited(move.plan)).encode())
    for edit in move.plan.orderings:
        edits.put(move.host.path(edit.path), None)


def awaited(plan: Plan) -> str:
    """The mounts of all roots: where they are to be mounted at a boot, that has ended before a look is taken."""
    table = mounts()
    places = [PurePosixPath(place) for root in plan.roots for place in (root.source, root.target)]
    points = {mount_of(place, table).point for place in places}
    return " ".join(f"{escaped(one)}.mount" for one in sorted(points - {ROOT}))


def name_targets(move: Move) -> None:
    """The targets are configured: the services wait for them, by their paths."""
    for edit in move.plan.orderings:
        edits.make(move.host, edit)


def name_sources(move: Move) -> None:
    for edit in move.plan.orderings:
        edits.take_back(move.host, edit)


def wake_by_either(move: Move) -> None:
    """Whichever root is configured at a boot, its disk starts the engine when it comes late (waking.py)."""
    for edit in move.plan.waking:
        edits.put(move.host.path(edit.path), by_either(edit.before, edit.after))


def wake_by_targets(move: Move) -> None:
    """The run has arrived, and nothing leads back to the sources any more."""
    try:
        for edit in move.plan.waking:
            edits.make(move.host, edit)
    except OSError as problem:
        log.warning("waking.left", why=str(problem))


def release(move: Move) -> None:
    """The run has ended: nobody changes what decides any more."""
    try:
        places = [move.host.path(drop_in(service)) for service in services(move.plan)]
        if not any(place.exists() for place in places):
            return
        for place in places:
            remove_durably(place)
        for edit in move.plan.orderings:
            folder = str(PurePosixPath(edit.path).parent)
            edits.remove_empty(move.host, dict.fromkeys((folder, *reversed(edit.created))))
        move.systemd.reload()
    except (OSError, SystemdError) as problem:
        log.warning("guard.left", why=str(problem))

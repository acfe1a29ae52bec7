"""The checks of the host: its clock, its packages, the engine's unit, and what else stops with it."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.findings import Finding, error, warning
from entrypoint.console.wording import size, span
from entrypoint.host.disks.filesystem import Mount, Space
from entrypoint.host.services.units import RUNNING, STOPPED
from entrypoint.preflight.facts import WRITTEN, HostFacts

TO_START = 8 << 20  # bytes: the engine's trial mounts and databases, and what each container is given at its start


def clock(facts: HostFacts) -> Iterator[Finding]:
    """Each look takes what is from the future for changed, so that all of it is left to the last pass."""
    ahead = facts.first.source.ahead
    if count := ahead.entries:
        yield warning(
            "clock-behind",
            "The clock is behind files of the data root",
            f"By this clock {count} of them were changed in the future, up to {span(ahead.seconds)} from "
            "now. They are copied once more while the engine is down.",
            "See that the clock is right (date; timedatectl), or wait until it has come so far.",
        )


def room(facts: HostFacts) -> Iterator[Finding]:
    """Beside the copy: the record of the run, and the files that are changed."""
    for place, needed in WRITTEN.items():
        if (free := facts.room.get(place, needed)) < needed:
            yield error(
                "no-room-for-records",
                f"The disk of {place} is full",
                f"{size(free)} are free there, and a move needs {size(needed)} for what it writes beside the copy.",
                "Free them, for example: journalctl --vacuum-size=50M; apt-get clean. Or shorten a container's log: "
                "truncate --size=0 /var/lib/docker/containers/ID/ID-json.log",
            )


def room_behind(facts: HostFacts) -> Iterator[Finding]:
    """If the move fails while the engine is down, it has to start where it was, and overlay2 writes at every start."""
    for root in facts.roots:
        yield from _room_to_start(root.source.path, root.source.mount, root.source.space)


def room_ahead(facts: HostFacts) -> Iterator[Finding]:
    """Where nothing is copied to: what a copy needs is asked of its target, and is more."""
    for root in facts.roots:
        yield from _room_to_start(root.target.resolved, root.target.mount, root.target.space)


def _room_to_start(path: PurePosixPath, mount: Mount, space: Space) -> Iterator[Finding]:
    if space.free < TO_START:
        yield error(
            "no-room-to-start",
            f"The disk of {path} is full",
            f"{size(space.free)} are free on {mount.point}. An engine writes there at every start: it could not be "
            f"started on {path}.",
            f"Free {size(TO_START)} there: a file of yours; docker builder prune; or shorten a container's log, "
            f"truncate --size=0 {path}/containers/ID/ID-json.log",
        )


def unsettled(facts: HostFacts) -> Iterator[Finding]:
    if facts.unsettled and facts.worker.active_state in STOPPED:
        yield warning(
            "run-unsettled",
            "An earlier run was cut off",
            f"Run {facts.unsettled} has no end. The next move, or `status`, finishes or undoes it first.",
            "Settle it now, then look again: relocator status",
        )


def unit(facts: HostFacts) -> Iterator[Finding]:
    if not facts.service.exists or facts.service.active_state not in RUNNING:
        yield error(
            "no-service",
            f"The engine does not run as {facts.service.name}",
            f"systemd says: {facts.service.load_state}, {facts.service.active_state}.",
            "An engine from a snap, a rootless engine or one started by hand is moved by its own means.",
        )
    if facts.worker.active_state in RUNNING | {"activating", "deactivating"}:
        yield error("already-running", "Another relocator is at work on this host", f"{facts.worker.name} is active.",
                    "Wait for it with `relocator status --wait`.")  # fmt: skip


def dependents(facts: HostFacts) -> Iterator[Finding]:
    if along := (*facts.dependents, *facts.awaited):
        yield warning(
            "dependent-units",
            "Other units stop along with the engine",
            f"systemd stops them with it, and they are started again after the move: {', '.join(along)}.",
            "Stop them first if they must not be restarted at this hour.",
        )


def packages(facts: HostFacts) -> Iterator[Finding]:
    if facts.package_programs:
        yield warning(
            "packages-changing",
            "Packages are being installed or removed",
            f"{', '.join(facts.package_programs)} is at work. A change of the engine's package would fail while the "
            "engine is held, or start another version of it after the move.",
            "Wait until it has ended, then run again.",
        )
    if facts.wants_reboot:
        yield warning(
            "reboot-pending",
            "The host waits for a reboot",
            "Packages were changed that are in force after a reboot only.",
            "Reboot first if you can: then what the move starts is what the next boot starts.",
        )

"""The checks of where containerd's root is set: one place must win, be understood, and be ours to change in one rename.

A flag in its unit wins over the file that is named there, and over files that this one imports; of these the last.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error
from entrypoint.engine.containerd.service import CONFIG_FLAGS, ROOT_FLAGS, Containerd
from entrypoint.engine.drivers import SNAPSHOTTERS
from entrypoint.preflight.edits.containerd import naming
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind
from entrypoint.settings import flags, masked
from entrypoint.settings.formats import config_toml
from entrypoint.settings.formats.unit import is_vendors
from entrypoint.settings.places import SPECIFIER, Place
from entrypoint.settings.setting import Kind
from entrypoint.settings.switch import is_overridden


def pending(found: Containerd) -> Iterator[Finding]:
    """The command as its unit has it must be the one that it runs with: any start would put another into force."""
    if not (found.unit_files or found.root_flag):
        return
    try:
        read = [one.text for one in found.command_line()]
    except ValueError as problem:
        if found.root_flag:  # else it is of no account
            yield _flag_unknown(found, str(problem))
        return
    for names in (ROOT_FLAGS, CONFIG_FLAGS):
        then, now = flags.last(read, names), flags.last(found.arguments[1:], names)
        if then is None and now is not None and names is ROOT_FLAGS:
            yield _flag_unknown(found, "Neither that nor a file that it names has the flag.")
        elif (then and then.value) != (now and now.value) and not (then and SPECIFIER.search(then.value)):
            yield error(
                "containerd-command-differs",
                f"The next start of {found.service.name} would be with another {names[0]}",
                f"It runs with {now.value if now else 'none'}; its unit names {then.value if then else 'none'}.",
                f"Put the unit right, or restart {found.service.name} and the engine, then run again.",
            )


def _flag_unknown(found: Containerd, why: str) -> Finding:
    return error(
        "containerd-flag-unknown",
        f"containerd's root is set on its command line, and not by a place in {found.service.name} that is understood",
        f"It runs as {masked.command(found.arguments)}. {why}",
        f'Set root = "{found.root_flag}" in {found.config.path} instead, take the flag out, restart it and the '
        "engine, and run again.",
    )


def of_setting(facts: HostFacts, found: Containerd) -> Iterator[Finding]:
    """Where its root is set, and what else its files say of the root."""
    yield from pending(found)
    for file in (found.config, *found.imported):
        try:
            config_toml.parse(file.content, str(file.path))
        except PreflightError as problem:
            yield error("containerd-config-invalid", problem.brief, problem.details, problem.resolution)
            return
    place = found.place
    if place is None:
        return  # told above
    if place.setting.kind is not Kind.TOML and facts.root(RootKind.DATA_ROOT):
        yield error(
            "containerd-root-flag",
            "containerd's root is set on its command line, and cannot move in one with the data root",
            f"It is set in {place.text()}. If the power failed between the two files, systemd would have read the unit "
            "before it could be put to what belongs to the engine's.",
            "Move one after the other: first containerd's root (relocator --only containerd PATH), then the data root "
            "(relocator --only data-root TARGET).",
        )
    yield from _divided(found, place)
    yield from _editable(facts, found, place)


def _divided(found: Containerd, place: Place) -> Iterator[Finding]:
    """A snapshotter that is elsewhere would be used by both roots; one in the root follows in the same rename."""
    for file in (found.config, *found.imported):
        path = config_toml.snapshots_in(file.content, str(file.path), [row.name for row in SNAPSHOTTERS])
        if path and not PurePosixPath(path).is_relative_to(found.root):
            yield error("containerd-snapshots-elsewhere", "containerd keeps snapshots outside its root",
                        f"{file.path} has the snapshotter in {path}. The new root and the old would share it, and "
                        "there would be no way back.",
                        "Move the data root alone: relocator --only data-root TARGET")  # fmt: skip
        elif path and file.path != place.file.path:
            yield error("containerd-root-divided", "The snapshotter's place is named in another file than the root",
                        f"{place.file.path} sets the root; {file.path} has the snapshotter in {path}.",
                        "Name both in one file, restart containerd and the engine, and run again.")  # fmt: skip


def _editable(facts: HostFacts, found: Containerd, place: Place) -> Iterator[Finding]:
    path, overridden = str(place.file.path), is_overridden(place)
    written = found.override if overridden else place.file
    if not overridden and (is_vendors(path) or not place.file.is_file):
        yield error(
            "containerd-config-vendors",
            "containerd's configuration is not to be edited",
            f"{path} belongs to a package, is made anew at each start, or is no file.",
            f"Copy it to /etc, let {found.service.name} name the copy (--config), restart it, and run again.",
        )
        return
    files = (written, found.drop_in, *(file for file, _ in naming(facts)))
    if file := next((file for file in files if not file.can_be_written), None):
        why, remedy = file.why_not(
            "Set the root by the means of this system's image, or make that file system writable."
        )
        yield error("containerd-config-read-only", f"{file.path} cannot be written", why, remedy)

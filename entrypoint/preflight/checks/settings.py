"""The checks of where the data root is set: one place must win, be understood, and be ours to change."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error, warning
from entrypoint.host.disks.host_file import HostFile
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import flags, masked
from entrypoint.settings.formats import daemon_json
from entrypoint.settings.formats.unit import is_vendors
from entrypoint.settings.places import Decision, is_as_loaded
from entrypoint.settings.setting import Kind
from entrypoint.settings.switch import is_overridden

UNTIL_REBOOT = "/run/systemd/system/"
NIX = 'virtualisation.docker.daemon.settings.data-root = "{target}";'


def decided(facts: HostFacts) -> Decision | None:
    """The decision, if there is one; what stands in its way is told by another check."""
    try:
        return facts.decision()
    except (PreflightError, ValueError):
        return None


def understood(facts: HostFacts) -> Iterator[Finding]:
    """The command as read from the unit's files must be the one that systemd has, and that the engine runs with."""
    try:
        read = [one.text for one in facts.command_line()]
        if facts.unit_files and not is_as_loaded(facts.unit_files, facts.service.command[1:]):
            raise ValueError("systemd reads it as another: " + masked.command(facts.service.command))
    except ValueError as problem:
        yield _not_understood(facts, str(problem))
        return
    running, named = flags.last(facts.arguments[1:], flags.ROOT), flags.last(read, flags.ROOT)
    if running is not None and named is None:
        yield error(
            "root-by-unknown-place",
            "The data root is set on the engine's command line, and not by its unit",
            f"The engine runs with {running.name} {running.value}, which stands neither in {facts.service.name} nor in "
            f"a file that it names. A program between them sets it: {masked.command(facts.service.command)}",
            f"Take the flag out of that program and put it into the unit, or set the root in {facts.config.path}; "
            "restart the engine, and run again.",
        )
    configured, used = flags.last(read, flags.CONFIG), flags.last(facts.arguments[1:], flags.CONFIG)
    if facts.unit_files and (configured and configured.value) != (used and used.value):
        yield error(
            "config-file-differs",
            "The next start would read another configuration file",
            f"The engine runs with {used.value if used else 'the default'}; its unit names "
            f"{configured.value if configured else 'none'}.",
            "Restart the engine, or put the unit right, then run again.",
        )


def _not_understood(facts: HostFacts, why: str) -> Finding:
    files = ", ".join(str(file.path) for file in (*facts.unit_files, *facts.environment_files))
    return error(
        "unit-not-understood",
        f"The command of {facts.service.name} cannot be understood",
        f"{why}; it is made of {files}.",
        f'Write one plain ExecStart= line, or set the root as "data-root" in {facts.config.path}, and run again.',
    )


def readable(facts: HostFacts) -> Iterator[Finding]:
    if not facts.config.is_file:
        yield error("config-not-file", f"{facts.config.path} is not a file",
                    "The engine's configuration cannot be edited.",
                    "Put a file in its place, see that the engine restarts, and run again.")  # fmt: skip
        return
    try:
        daemon_json.parse(facts.config.content, str(facts.config.path))
    except PreflightError as problem:
        yield error("config-invalid", problem.brief, problem.details, problem.resolution)


def unambiguous(facts: HostFacts) -> Iterator[Finding]:
    decision = decided(facts)
    if decision is None or not decision.others:
        return
    places = " and ".join(place.text() for place in (decision.place, *decision.others))
    if decision.conflict:
        yield error(
            "root-set-twice",
            "The data root is set in two places, and the engine would not start again",
            f"It is set in {places}.",
            f"It runs on {facts.data_root}: keep the place that says so, take the setting out of the other, then: "
            f"systemctl daemon-reload; systemctl restart {facts.service.name}; and run again.",
        )
    else:
        yield warning(
            "root-set-elsewhere",
            "The data root is set in more than one place",
            f"It is set in {places}; the first wins, and is the one that is changed.",
            "Take the others out when the move is done.",
        )


def editable(facts: HostFacts) -> Iterator[Finding]:
    """The file that will be written, and our drop-ins, must be files on a disk that can be written."""
    decision = decided(facts)
    if decision is None:
        return
    place, path = decision.place, str(decision.place.file.path)
    if facts.is_nixos or path.startswith("/nix/"):
        yield error(
            "config-generated",
            "NixOS makes the engine's configuration",
            f"{path} is made anew from the system's configuration.",
            f"In configuration.nix: {NIX.format(target=facts.data_root_to_be)} Stop "
            f"{' and '.join(unit.name for unit in facts.units)}, copy {facts.data_root} there (cp -a), then: "
            "nixos-rebuild switch.",
        )
        return
    if path.startswith(UNTIL_REBOOT):
        yield error("root-until-reboot", "The data root is set for this boot only",
                    f"{place.text()} is gone after a reboot, and the engine then looks elsewhere.",
                    f"Move it below /etc/systemd/system/{facts.service.name}.d, reload, and run again.")  # fmt: skip
        return
    if is_vendors(path) and not is_overridden(place):
        yield error(
            "config-is-vendors",
            "The data root is set in a file that is not to be edited",
            f"{place.text()} belongs to a package, or is made anew at each start.",
            "Copy it to /etc, let the unit name the copy (systemctl edit), restart the engine, and run again.",
        )
    yield from _writable(facts, facts.override if is_overridden(place) else place.file)


def _writable(facts: HostFacts, written: HostFile) -> Iterator[Finding]:
    for file in dict.fromkeys((written, facts.drop_in, *facts.listening)):
        if not file.can_be_written:
            why, remedy = file.why_not(
                "Set the root by the means of this system's image or generator, or make that file system writable. "
                f"On NixOS the option is: {NIX.format(target=facts.data_root_to_be)}"
            )
            yield error("config-read-only", f"{file.path} cannot be written", why, remedy)


def lasting(facts: HostFacts) -> Iterator[Finding]:
    """What writes the configuration anew at each start would take the edit away again, and with it the data."""
    decision = decided(facts)
    if decision is None or decision.place.setting.kind is not Kind.JSON or not facts.service.before:
        return
    path, (began, done) = facts.config.path, facts.service.starting
    commands = [masked.command(words, str(path)) for words in facts.service.before]
    naming = [command for command in commands if str(path) in command]
    if facts.config.content is None or not began <= facts.config.changed_at <= done:
        if naming:  # to check it, say; what writes it shows by the time of the file
            yield warning(
                "config-named-at-start",
                f"A command that is run before the engine names {path}",
                f"{facts.service.name} runs {'; '.join(naming)}; the last start has not changed the file.",
                "If it can write the file, see that it leaves data-root alone; else the move is rolled back.",
            )
        return
    yield error(
        "config-overwritten",
        f"{path} is written anew at each start of the engine",
        f"{facts.service.name} runs before it: {'; '.join(naming or commands)}",
        f'Set "data-root": "{facts.data_root}" in what that command writes or copies from, or take the command out '
        "(systemctl edit, with an empty ExecStartPre= line). Set in a flag of the unit instead, the move is possible: "
        f"--data-root={facts.data_root}.",
    )


def pending(facts: HostFacts) -> Iterator[Finding]:
    """What the next start would change by itself: any start during the move would do it, also one that goes back."""
    decision = decided(facts)
    if facts.configured_root not in (None, facts.data_root):
        named = decision.place.text() if decision and decision.place.said else "the configuration"
        yield error(
            "configured-root-differs",
            "The engine is configured for another root than the one it runs on",
            f"It runs on {facts.data_root}; {named} names {facts.configured_root}.",
            "Put that right and restart the engine, or take the setting out, then run again.",
        )
    for unit in (facts.service, facts.socket):
        if unit.exists and unit.needs_reload:
            yield error(
                "unit-needs-reload",
                f"{unit.name} was changed and not loaded",
                "The move reloads unit files, which would put that change into force.",
                "Look at the change, then: systemctl daemon-reload",
            )


def linked(facts: HostFacts) -> Iterator[Finding]:
    decision = decided(facts)
    if decision is None or facts.configured_root != facts.data_root:
        return
    named = PurePosixPath("/", decision.place.root)
    if named != facts.data_root:
        yield warning(
            "root-is-link",
            f"{named} leads to the data root by a symbolic link",
            f"The data is in {facts.data_root}. The link is left as it is: after the move it still leads to the old "
            f"root, and the engine, set to {facts.data_root_to_be}, does not use it any more.",
            "Scripts and bind mounts that use the link see the old root; point them to the new one.",
        )


def drop_in(facts: HostFacts) -> Iterator[Finding]:
    yield from _writable(facts, facts.drop_in)

"""What the engine's next start would change: all that its files say by now, and it does not run with.

Somebody has changed a file since the engine was started, and not restarted it. Whoever starts it next puts that into
force. If a move does, nobody looks for the cause there, and the way back is the same start. So what decides where and
how the engine keeps things, who may do what, or whether it starts at all, refuses; all else is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error, warning
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import options
from entrypoint.settings.formats import daemon_json
from entrypoint.settings.options import Effect
from entrypoint.settings.places import SPECIFIER, is_as_loaded

# What another check asks more closely: where the root is set, and what keeps the images.
ASKED_ELSEWHERE = frozenset({"data-root", "graph", "config-file", "storage-driver"})
FEATURES = "features"
IMAGE_STORE = "containerd-snapshotter"
MINOR_FEATURES = frozenset({"buildkit", "cdi", "firewall-backend"})
WHY = {
    Effect.KEEPS: "where or how the engine keeps things",
    Effect.TRUSTS: "whom it trusts",
    Effect.STARTS: "whether it starts",
}


@dataclass(frozen=True)
class Change:
    """An option that is not in force as it is written now; it cannot be seen if that `is_unseen`. Values may be
    secrets, and are not told."""

    key: str
    where: str
    effect: Effect
    is_unseen: bool = False

    @property
    def text(self) -> str:
        return f"{self.key} ({self.where})"


def differs(facts: HostFacts) -> Iterator[Finding]:
    """One error for what must not change by the way, one warning for what else will."""
    try:
        changes = tuple(of_engine(facts))
    except (PreflightError, ValueError):
        return  # what cannot be read is told by another check
    if grave := [change for change in changes if change.effect in WHY]:
        reasons = " and ".join(dict.fromkeys(WHY[change.effect] for change in grave))
        yield error(
            "start-would-change",
            "The next start of the engine would put a change into force that nobody has tried",
            f"{_told(grave, facts)} This decides {reasons}.",
            "Take back what was changed. Or, where that cannot be seen or the change is meant, and a stop suits: "
            f"systemctl restart {facts.service.name}; see that everything is there; then run again.",
        )
    if less := [change for change in changes if change.effect not in WHY]:
        yield warning(
            "start-would-differ",
            "The next start of the engine puts changes into force",
            _told(less, facts),
            "Take them back before, if they are not meant.",
        )


def programs(facts: HostFacts) -> Iterator[Finding]:
    """Without its default runtime an engine starts, and none of its containers does."""
    for program in facts.lost_programs:
        yield error(
            "program-missing",
            f"{program} is gone, which the engine needs at its next start",
            "It is named as the default runtime, or as the proxy of published ports.",
            f"Install it again, or take it out of the engine's configuration; systemctl restart {facts.service.name}; "
            "see that everything is there; then run again.",
        )


def _told(changes: Sequence[Change], facts: HostFacts) -> str:
    """What is seen to differ, and of what is not seen why it may."""
    seen, unseen = (
        ", ".join(dict.fromkeys(change.text for change in changes if change.is_unseen is is_unseen))
        for is_unseen in (False, True)
    )
    sentences = [f"Changed since it was started: {seen}."] if seen else []
    if unseen:
        sentences.append(
            f"{facts.config.path} was changed after that start, and the engine does not tell whether it has read there "
            f"what is now: {unseen}."
        )
    return " ".join(sentences)


def of_engine(facts: HostFacts) -> Iterator[Change]:
    """Every change of its flags, its variables and its file. Raises PreflightError or ValueError."""
    yield from _of_flags(facts)
    yield from _of_variables(facts)
    if 0 < facts.service.starting[1] < facts.config.changed_at:
        yield from _of_file(facts)


def _of_flags(facts: HostFacts) -> Iterator[Change]:
    """Where a program between unit and engine makes the flags, they cannot be known before the start."""
    words = [argument.text for argument in facts.command_line()]
    program = facts.service.command[0].rpartition("/")[2] if facts.service.command else ""
    is_known = program in options.PROGRAMS and is_as_loaded(facts.unit_files, facts.service.command[1:])
    if not facts.arguments or not is_known:
        return
    running, written = options.given(facts.arguments[1:]), options.given(words)
    for key in sorted({*running, *written} - ASKED_ELSEWHERE):
        if running.get(key) != written.get(key) and not any(SPECIFIER.search(text) for text in written.get(key, ())):
            yield Change(key, f"flag of {facts.service.name}", options.effect_of(key))


def _of_variables(facts: HostFacts) -> Iterator[Change]:
    if not facts.environment:
        return  # the process cannot be looked at
    written = facts.variables()
    for name in sorted({*facts.environment, *written}):
        effect, text = options.effect_of_variable(name), written.get(name, "")
        is_same = facts.environment.get(name, "") in (text, text.replace("%%", "%"))  # systemd.unit(5), specifiers
        if effect and not is_same and not SPECIFIER.search(text):
            yield Change(name, f"variable of {facts.service.name}", effect)


def _of_file(facts: HostFacts) -> Iterator[Change]:
    """The file is younger than the engine's start: what the engine tells is compared, all else may be new."""
    config, where = daemon_json.parse(facts.config.content, str(facts.config.path)), facts.config.path.name
    meant, flags = options.meant(config), options.given(facts.arguments[1:])
    for key, value in facts.engine.in_force.items():
        if key not in flags and meant[key] not in (None, value):
            yield Change(key, where, options.effect_of(key))
    for key in sorted(set(config) - set(meant) - ASKED_ELSEWHERE - {FEATURES}):
        yield Change(key, where, options.effect_of(key), is_unseen=True)
    features = config.get(FEATURES)
    for name in sorted(features if isinstance(features, dict) else ()):
        if name != IMAGE_STORE:
            effect = Effect.LESS if name in MINOR_FEATURES else Effect.KEEPS
            yield Change(f"{FEATURES}.{name}", where, effect, is_unseen=True)

"""The engine's own opinion of the configuration that is to be: `dockerd --validate`, from 23.0 on.

It is asked with every flag that the next start will pass, so that it sees conflicts between flags and file too.
"""

from collections.abc import Sequence

from entrypoint import flags
from entrypoint.errors import PreflightError
from entrypoint.facts import HostFacts
from entrypoint.filesystem import make_directories
from entrypoint.host import Host
from entrypoint.plan import switch_edit
from entrypoint.settings import Kind

PLACE = "/run/relocator/validated.json"
SINCE = 23  # moby: cmd/dockerd/options.go
PROGRAMS = ("dockerd", "dockerd-current", "dockerd-ce", ".dockerd-wrapped")


def require_valid(host: Host, facts: HostFacts) -> None:
    """Raises PreflightError if the engine would not start with the new configuration; a bad edit is one of ours."""
    edit = switch_edit(facts, facts.target.resolved)
    if not can_validate(facts):
        return
    words = [one.text for one in facts.command_line()]
    if edit.setting.kind is not Kind.JSON:
        result = host.run([facts.program, "--validate", *with_root(words, str(facts.target.resolved))], check=False)
    else:
        place = host.path(PLACE)
        made = make_directories(place.parent, 0o700)
        try:
            place.write_bytes(edit.after or b"")
            result = host.run([facts.program, "--validate", *with_config(words, PLACE)], check=False)
        finally:
            place.unlink(missing_ok=True)
            for directory in reversed(made):
                directory.rmdir()
    if result.code:
        raise PreflightError(
            "The engine would not start with the new configuration. Nothing was changed.",
            details=f"`dockerd --validate` says of {edit.path} with the new root: {result.stderr.strip()[-1000:]}",
            resolution="Correct what it names, see that the engine restarts, and run again.",
        )


def can_validate(facts: HostFacts) -> bool:
    return facts.program.rpartition("/")[2] in PROGRAMS and facts.engine.is_at_least(SINCE)


def with_root(words: Sequence[str], root: str) -> list[str]:
    """The arguments with another data root in the flag that counts."""
    flag = flags.last(words, flags.ROOT)
    if flag is None:
        return list(words)
    return [*words[: flag.number], words[flag.number][: flag.offset] + root, *words[flag.number + 1 :]]


def with_config(words: Sequence[str], path: str) -> list[str]:
    """The arguments with another configuration file; of a flag that is given twice the last counts."""
    return [*words, f"--config-file={path}"]

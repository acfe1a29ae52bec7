"""The engine's own opinion of the configuration that is to be: `dockerd --validate`, from 23.0 on.

It is asked with every flag that the next start will pass, so that it sees conflicts between flags and file too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from entrypoint.console.errors import HostCommandError, PreflightError
from entrypoint.engine.versions import Since
from entrypoint.host.children import Result
from entrypoint.host.disks.filesystem import atomic_write, make_directories
from entrypoint.host.host import Host
from entrypoint.preflight.edits import containerd as containerd_edits
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind
from entrypoint.settings import flags, formats, masked
from entrypoint.settings.file_edit import FileEdit
from entrypoint.settings.options import PROGRAMS
from entrypoint.settings.setting import Kind

PLACE, CONTAINERD_PLACE = "/run/relocator/validated.json", "/run/relocator/validated.toml"


def require_valid(host: Host, facts: HostFacts, edit: FileEdit | None, target: str) -> None:
    """Raises PreflightError if the engine would not start with the configuration as it will be.

    `edit` is what sets its root to the `target`; without one the root stays, and so does the configuration.
    """
    if not can_validate(facts):
        return
    words = [argument.text for argument in facts.command_line()]
    if edit is None:
        result = _asked(host, [facts.program, "--validate", *words])
    elif edit.setting.kind is not Kind.JSON:
        result = _asked(host, [facts.program, "--validate", *with_root(words, target)])
    else:
        with _put(host.path(PLACE), edit.after):
            result = _asked(host, [facts.program, "--validate", *with_config(words, PLACE)])
    if result.code:
        what = f"{edit.path} with the root {target}" if edit else f"{facts.config.path} and the flags"
        raise PreflightError(
            "The engine would not start with its configuration. Nothing was changed.",
            details=f"`dockerd --validate` says of {what}: {result.stderr.strip()[-1000:]}",
            resolution="Correct what it names, see that the engine restarts, and run again.",
        )


def require_valid_containerd(host: Host, facts: HostFacts) -> None:
    """Raises PreflightError if containerd would read the new configuration otherwise than it is meant.

    `containerd config dump` prints what it makes of the file that is edited. A flag needs no file.
    """
    root = facts.root(RootKind.IMAGE_STORE)
    if facts.containerd is None or root is None:
        return
    edit = containerd_edits.switch_edit(facts, root)
    if edit.setting.kind is not Kind.TOML:
        return
    with _put(host.path(CONTAINERD_PLACE), edit.after):
        result = host.run([facts.containerd.program, "--config", CONTAINERD_PLACE, "config", "dump"], check=False)
    target = str(root.target.resolved)
    if result.code or formats.root_in(result.stdout.encode(), edit.setting, "what it says") != target:
        raise PreflightError(
            "containerd would not start with the new configuration. Nothing was changed.",
            details=f"`containerd config dump` of {edit.path} with the root {target} ended with code {result.code}: "
            f"{result.stderr.strip()[-1000:]}",
            resolution="Correct what it names, see that containerd restarts, and run again.",
        )


@contextmanager
def _put(place: Path, content: bytes | None) -> Iterator[None]:
    """A configuration for as long as it is looked at; it may hold secrets, and is root's alone from the beginning."""
    made = make_directories(place.parent, 0o700)
    place.unlink(missing_ok=True)  # what one that was killed has left would keep its mode
    try:
        atomic_write(place, content or b"", mode=0o600)
        yield
    finally:
        place.unlink(missing_ok=True)
        for directory in reversed(made):
            directory.rmdir()


def _asked(host: Host, words: Sequence[str]) -> Result:
    """What the engine's program says; the words of a failure are not told, for a flag may hold a secret."""
    try:
        return host.run(words, check=False)
    except HostCommandError as error:
        raise PreflightError(f"`{masked.command(words)}` cannot be asked.") from error


def can_validate(facts: HostFacts) -> bool:
    return facts.program.rpartition("/")[2] in PROGRAMS and facts.engine.is_at_least(Since.VALIDATE)


def with_root(words: Sequence[str], root: str) -> list[str]:
    """The arguments with another data root in the flag that counts."""
    flag = flags.last(words, flags.ROOT)
    if flag is None:
        return list(words)
    return [*words[: flag.number], words[flag.number][: flag.offset] + root, *words[flag.number + 1 :]]


def with_config(words: Sequence[str], path: str) -> list[str]:
    """The arguments with another configuration file; of a flag that is given twice the last counts."""
    return [*words, f"--config-file={path}"]

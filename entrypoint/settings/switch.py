"""The edit that makes the next start of the engine take another data root: in the place that wins, or over it.

Files of packages are overridden by a drop-in of ours in /etc; everything else is changed where it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from entrypoint.host.disks.host_file import HostFile
from entrypoint.settings import formats
from entrypoint.settings.formats import unit
from entrypoint.settings.formats.text import text_of_file
from entrypoint.settings.places import Place
from entrypoint.settings.setting import Kind, Setting

NAME = "relocator.conf"


@dataclass(frozen=True)
class Change:
    """A file, what it will hold, and the setting in it that names the data root then."""

    file: HostFile
    content: bytes
    setting: Setting


def change(place: Place, override: HostFile, root: str) -> Change:
    """Raises PreflightError where no edit would mean exactly that."""
    file, setting = place.file, place.setting
    content = formats.with_root(file.content, root, setting, str(file.path))
    if not is_overridden(place):
        return Change(file, content, setting)
    text = text_of_file(content)
    lines = _command(text) if setting.kind is Kind.COMMAND else _variable(text, setting.name)
    made = unit.overriding(lines, f"as in {file.path}, but for the root")
    if formats.root_in(made, setting, str(override.path)) != root:
        raise AssertionError(made)
    return Change(override, made, replace(setting))


def is_overridden(place: Place) -> bool:
    return place.setting.needs_reload and unit.is_vendors(str(place.file.path))


def _command(text: str) -> list[str]:
    """The command anew: an empty assignment forgets the one that is overridden."""
    _, command = unit.effective([text], "ExecStart")[-1]
    return ["ExecStart=", f"ExecStart={command.written}"]


def _variable(text: str, name: str) -> list[str]:
    """The variable anew: the later assignment counts."""
    assigned = [
        value
        for _, one in unit.effective([text], "Environment")
        for key, value in unit.variables(one.value)
        if key == name
    ]
    quoted = unit.in_environment(f"{name}={assigned[-1]}", '"')
    return [f'Environment="{quoted}"']


def override_path(service: str, drop_ins: Sequence[str]) -> str:
    """A drop-in that comes after all others: systemd takes them in the order of their names, whatever their folder."""
    name = f"zz-{NAME}"
    others = [PurePosixPath(one).name for one in drop_ins]
    if name not in others:
        while any(one > name for one in others):
            name = f"z{name}"
    return unit.drop_in(service, name)

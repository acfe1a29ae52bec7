"""Where in which file a root is set, as a plan holds it and a journal keeps it.

kind          the file                     what is changed
json          daemon.json                  the value of `data-root`
toml          containerd's config.toml     the value of `root`
command       a unit or a drop-in          the value of `--data-root` in the last `ExecStart=`
variable      a unit or a drop-in          what `Environment=` assigns to a variable of the command line
environment   an `EnvironmentFile=`        what the file assigns to such a variable

How each kind is read and written stands in `formats`, a file each.
"""

from dataclasses import dataclass
from enum import StrEnum

from entrypoint.settings import flags


class Kind(StrEnum):
    JSON = "json"
    TOML = "toml"
    COMMAND = "command"
    VARIABLE = "variable"
    ENVIRONMENT = "environment"


class Form(StrEnum):
    """What a variable holds: words with the flag among them, the root as a word, or the root as it is."""

    FLAG = "flag"
    WORD = "word"
    VERBATIM = "verbatim"


@dataclass(frozen=True)
class Setting:
    """Where in its file a root is set. `name` is the key or the variable; `was` the root it named before, as it is
    written there, or empty if it named none. `flag` is another than those of the engine."""

    kind: Kind = Kind.JSON
    name: str = "data-root"
    form: Form = Form.FLAG
    was: str = ""
    flag: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag,) if self.flag else flags.ROOT

    @property
    def needs_reload(self) -> bool:
        """Whether systemd has to read its units again before a change is in force."""
        return self.kind in (Kind.COMMAND, Kind.VARIABLE)

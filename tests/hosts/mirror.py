"""Where the outer machine gets its packages from: nothing here knows the name of a mirror."""

import re
import shlex
from pathlib import Path

from tests.hosts.command import HostError, run

APT = Path("/etc/apt")
ONE_LINE = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s")
# What the machine has set for its way to the mirror; a snapshot, for one, has an expired date.
INHERITED = (
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::https::CaInfo",
)


def mirror(apt: Path = APT) -> str:
    for uri in [*_deb822(apt), *_one_line(apt)]:
        if "security" not in uri:
            return uri
    raise HostError(f"no package source in {apt}")


def options() -> list[str]:
    variables = [f"V{number} {name}" for number, name in enumerate(INHERITED)]
    shell = run(["apt-config", "shell", *" ".join(variables).split()])
    values = dict(word.split("=", 1) for word in shlex.split(shell))
    return [f'{INHERITED[int(key[1:])]} "{value}";' for key, value in values.items()]


def _deb822(apt: Path) -> list[str]:
    uris: list[str] = []
    for file in sorted(apt.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", file.read_text()):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            wanted = "deb" in fields.get("Types", "").split() and fields.get("Enabled") != "no"
            uris += fields.get("URIs", "").split() if wanted else []
    return uris


def _one_line(apt: Path) -> list[str]:
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [match[1] for line in lines if (match := ONE_LINE.match(line.strip()))]

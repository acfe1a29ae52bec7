"""A directory in the place of a host's /etc, for one whose root is read-only, or whose /etc is new at each boot."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.base import SUITES, base
from tests.hosts.command import copy_content, remove_tree

MACHINE_ID = "0123456789abcdef0123456789abcdef\n"


@dataclass(frozen=True)
class Etc:
    """`files` by their place below /etc; `enabled` are units that the boot starts."""

    place: Path
    suite: str
    files: Mapping[str, str]
    enabled: tuple[str, ...] = ()

    def option(self) -> str:
        """systemd-nspawn's."""
        return f"--bind={self.place}:/etc"

    def make(self) -> None:
        """As the suite has it, whatever a host has written; the host is off."""
        remove_tree(self.place)
        with base(SUITES[self.suite]) as root:
            copy_content(root.path / "etc", self.place)
        for name, text in {"machine-id": MACHINE_ID, **self.files}.items():
            file = self.place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for unit in self.enabled:
            link = self.place / "systemd/system/multi-user.target.wants" / unit
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(f"/etc/systemd/system/{unit}", link)

"""A command of a transient unit, as D-Bus wants it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One `Exec…=` line of a transient unit; `ignore_failure` is the `-` of unit files."""

    argv: tuple[str, ...]
    ignore_failure: bool = False

    def to_dbus(self) -> tuple[str, list[str], bool]:
        return self.argv[0], list(self.argv), self.ignore_failure

"""What a check found: a record, so that all can be shown together, counted, and tested one by one."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


# The errors that may be insisted on: none of them costs data, or an engine that does not start.
INSISTED = frozenset({
    "same-file-system", "ephemeral-containers", "containerd-users", "target-space", "target-inodes", "target-nosuid",
})  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing the operator should know: what, how it was seen, what to do."""

    id: str
    severity: Severity
    title: str
    detail: str
    remedy: str = ""

    def text(self) -> str:
        remedy = f"    {self.remedy}" if self.remedy else ""
        return "\n".join(part for part in (f"{self.title} [{self.id}]", self.detail, remedy) if part)


def agreed(finding: Finding, ids: Collection[str]) -> Finding | None:
    """What the operator has agreed to by its id: an error refuses nothing, and is said all the same, if it is one that
    may be insisted on; of a warning nothing is said any more."""
    if finding.id not in ids:
        return finding
    if finding.severity is Severity.WARNING:
        return None
    if finding.id not in INSISTED:
        return replace(finding, detail=f"{finding.detail} This cannot be ignored.")
    return insisted(finding)


def insisted(finding: Finding) -> Finding:
    """It refuses nothing any more."""
    title = finding.title.replace(" would be ", " will be ")
    return replace(finding, severity=Severity.WARNING, title=title, remedy="")


def error(id: str, title: str, detail: str, remedy: str = "") -> Finding:
    return Finding(id, Severity.ERROR, title, detail, remedy)


def warning(id: str, title: str, detail: str, remedy: str = "") -> Finding:
    return Finding(id, Severity.WARNING, title, detail, remedy)

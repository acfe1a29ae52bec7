"""A file of the host's configuration, as it was when the facts were gathered."""

import os
from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.console.errors import PreflightError
from entrypoint.host.confined.chattr import is_fixed
from entrypoint.host.disks.filesystem import Mount, existing_ancestor, mount_of
from entrypoint.host.host import Host


@dataclass(frozen=True)
class HostFile:
    """A file of the host's configuration; `content` is None where there is none. `path` is free of symlinks.

    `ancestor` is the nearest directory above it that exists. `changed_at` is in seconds since 1970; where the file is
    not there it is the directory's, from which it may have been removed then. `fixed` is what chattr(1) keeps from
    being changed: the file, or that directory.
    """

    path: PurePosixPath
    content: bytes | None
    is_file: bool
    writable: bool
    ancestor: PurePosixPath
    changed_at: float = 0.0
    fixed: str = ""

    @classmethod
    def read(cls, host: Host, path: str, table: tuple[Mount, ...]) -> "HostFile":
        resolved = host.resolve(path)
        place, ancestor = host.path(resolved), existing_ancestor(host, resolved.parent)
        options = mount_of(ancestor, table).options
        try:
            content = place.read_bytes() if place.is_file() else None
        except OSError as error:
            raise PreflightError(
                f"{resolved} cannot be read.",
                details=f"{error.strerror}; the engine could not read it either.",
                resolution="Mend the file or its disk, see that the engine restarts, and run again.",
            ) from error
        changed_at = (place if content is not None else host.path(ancestor)).stat().st_ctime
        is_file = place.is_file() or not os.path.lexists(place)
        fixed = next((str(path) for path in (resolved, ancestor) if is_fixed(host.path(path))), "")
        return cls(resolved, content, is_file, "ro" not in options, ancestor, changed_at, fixed)

    @property
    def can_be_written(self) -> bool:
        return self.writable and not self.fixed

    def why_not(self, way: str) -> tuple[str, str]:
        """Why it cannot be written, and what to do; `way` is for a file system that is read-only."""
        if self.fixed:
            return f"chattr has set a flag on {self.fixed} that forbids it.", f"chattr -i -a {self.fixed}"
        return "It is on a read-only file system.", way

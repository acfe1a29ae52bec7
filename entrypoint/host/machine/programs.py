"""The programs that a host must have: nothing is installed there, and what brings the engine back is not of this image.

All are part of systemd, coreutils and util-linux; no interpreter, no rsync, no jq. `mount` and `unshare` are used to
try an overlay beforehand if they are there.
"""

from entrypoint.console.errors import PreflightError
from entrypoint.host.host import Host

NEEDED = ("sh", "cat", "cp", "mv", "rm", "sync", "nsenter", "systemctl", "systemd-stdio-bridge")


def require(host: Host) -> None:
    """Raises PreflightError: without one of them an engine could be stopped and not be brought back."""
    if missing := [name for name in NEEDED if host.program(name) is None]:
        raise PreflightError(
            f"The host lacks {', '.join(missing)}.",
            details="A move needs these programs of the host, to bring the engine back if everything else fails.",
            resolution="They are part of systemd, coreutils and util-linux: install what is missing. "
            "Nothing was changed.",
        )

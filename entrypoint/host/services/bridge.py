"""The program that connects us to the host's bus: nsenter starts it there, and D-Bus is spoken on its streams.

Where SELinux enforces, its policy may keep that program from the bus (Debian's does where a service starts it), but us
not: there the bus's own socket comes first.
"""

from entrypoint.host.host import HOST_PID, Host
from entrypoint.host.selinux import is_enforcing

BRIDGE = ("nsenter", "--target", str(HOST_PID), "--mount", "--ipc", "--net", "--wd=/", "--", "systemd-stdio-bridge")
VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
SOCKET = f"unix:path=/proc/{HOST_PID}/root/run/dbus/system_bus_socket"
# setsid: Ctrl-C goes to every program of a terminal's foreground, and must not take the bridge from under us.
# env: since some version before 262 the bridge heeds the variable too, and would start another bridge, without end.
PROGRAM = "unixexec:path=/usr/bin/setsid," + ",".join(
    f"argv{number}={word.replace('/', '%2f')}"
    for number, word in enumerate(("env", f"--unset={VARIABLE}", *BRIDGE), start=1)
)


def address(host: Host) -> str:
    """What sd-bus is told; it goes on to a second only if it cannot connect to the first, so a program comes last."""
    return f"{SOCKET};{PROGRAM}" if is_enforcing(host) else PROGRAM

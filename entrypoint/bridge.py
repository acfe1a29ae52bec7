"""The ways to the host's bus, the first that leads there is taken: its socket, or a program that connects us to it.

nsenter starts that program on the host, and D-Bus is spoken on its streams. SELinux's policy may keep it from the bus
(Debian's does where a service starts it), but us not.
"""

from entrypoint.host import HOST_PID

BRIDGE = ("nsenter", "--target", str(HOST_PID), "--mount", "--ipc", "--net", "--wd=/", "--", "systemd-stdio-bridge")
VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
SOCKET = f"unix:path=/proc/{HOST_PID}/root/run/dbus/system_bus_socket"
# setsid: Ctrl-C goes to every program of a terminal's foreground, and must not take the bridge from under us.
# env: since some version before 262 the bridge heeds the variable too, and would start another bridge, without end.
PROGRAM = "unixexec:path=/usr/bin/setsid," + ",".join(
    f"argv{number}={word.replace('/', '%2f')}"
    for number, word in enumerate(("env", f"--unset={VARIABLE}", *BRIDGE), start=1)
)
ADDRESS = f"{SOCKET};{PROGRAM}"

"""The program that connects us to the host's bus: nsenter starts it there, and D-Bus is spoken on its streams."""

from entrypoint.host import HOST_PID

BRIDGE = ("nsenter", "--target", str(HOST_PID), "--mount", "--ipc", "--net", "--wd=/", "--", "systemd-stdio-bridge")
VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
# setsid: Ctrl-C goes to every program of a terminal's foreground, and must not take the bridge from under us.
# env: since some version before 262 the bridge heeds the variable too, and would start another bridge, without end.
ADDRESS = "unixexec:path=/usr/bin/setsid," + ",".join(
    f"argv{number}={word.replace('/', '%2f')}"
    for number, word in enumerate(("env", f"--unset={VARIABLE}", *BRIDGE), start=1)
)

"""Keeps the image's root file system at hand while the worker works: a process that does nothing, in its namespace.

The container ends at the hand-over, and with its last process its mount namespace would go. Should the worker be
killed, systemd starts it again through this process.
"""

import os
import signal
import socket

HOST_ROOT = "/proc/1/root"


def say_ready() -> None:
    """Tell systemd that this process has arrived (sd_notify(3)); the socket is in the host's directory."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    place = "\0" + address[1:] if address.startswith("@") else HOST_ROOT + address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"READY=1", place)


if __name__ == "__main__":
    os.chdir("/")
    say_ready()
    signal.pause()

"""The bus's own socket is tried first; the bridge is one program, and does not find its address in its environment."""

from urllib.parse import unquote

from entrypoint.bridge import ADDRESS, PROGRAM, VARIABLE


def test_the_bridge_does_not_inherit_the_address_that_starts_it() -> None:
    words = [unquote(part.partition("=")[2]) for part in PROGRAM.split(",")]
    assert words[:5] == ["/usr/bin/setsid", "env", f"--unset={VARIABLE}", "nsenter", "--target"]
    assert words[-1] == "systemd-stdio-bridge"


def test_the_socket_comes_before_the_bridge() -> None:
    """sd-bus goes on to the next address only if it cannot connect to one; a program can always be started."""
    first, second = ADDRESS.split(";")
    assert first == "unix:path=/proc/1/root/run/dbus/system_bus_socket"
    assert second == PROGRAM

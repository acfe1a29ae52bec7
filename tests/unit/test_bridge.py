"""The bridge to the host's bus is one program, and does not find its own address in its environment."""

from urllib.parse import unquote

from entrypoint.bridge import ADDRESS, VARIABLE


def test_the_bridge_does_not_inherit_the_address_that_starts_it() -> None:
    words = [unquote(part.partition("=")[2]) for part in ADDRESS.split(",")]
    assert words[:5] == ["/usr/bin/setsid", "env", f"--unset={VARIABLE}", "nsenter", "--target"]
    assert words[-1] == "systemd-stdio-bridge"

"""The bridge is one program, and does not find its address in its environment; SELinux may need another way."""

from pathlib import Path
from urllib.parse import unquote

from entrypoint.host.selinux import SWITCH
from entrypoint.host.services.bridge import PROGRAM, VARIABLE, address
from tests.unit.support.fakes import make_host


def test_the_bridge_does_not_inherit_the_address_that_starts_it() -> None:
    words = [unquote(part.partition("=")[2]) for part in PROGRAM.split(",")]
    assert words[:5] == ["/usr/bin/setsid", "env", f"--unset={VARIABLE}", "nsenter", "--target"]
    assert words[-1] == "systemd-stdio-bridge"


def test_the_bridge_is_the_way_unless_selinux_may_keep_it_from_the_bus(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    assert address(host) == PROGRAM
    switch = host.path(SWITCH)
    switch.parent.mkdir(parents=True)
    switch.write_text("0")
    assert address(host) == PROGRAM
    switch.write_text("1")
    assert address(host).split(";") == ["unix:path=/proc/1/root/run/dbus/system_bus_socket", PROGRAM]

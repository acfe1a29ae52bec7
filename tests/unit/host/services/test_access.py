"""What SELinux lets the program ask of systemd, against a made-up selinuxfs that answers as the kernel does."""

import os
from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, PreflightError
from entrypoint.host.host import Host
from entrypoint.host.services import access

SYSTEM = {"start": 1, "stop": 2, "status": 3, "reload": 4}
ALL, NONE = 0xFFFF, 0


class Kernel:
    """Says what it is told to allow of each class, and keeps what it was asked."""

    def __init__(self, allowed: dict[int, int], flags: int = 0) -> None:
        self.allowed, self.flags = allowed, flags
        self.asked: list[str] = []

    def write(self, _file: int, question: bytes) -> int:
        self.asked.append(question.decode())
        return len(question)

    def read(self, _file: int, _size: int) -> bytes:
        allowed = self.allowed[int(self.asked[-1].split()[2])]
        return f"{allowed:x} ffffffff 0 ffffffff 7 {self.flags:x}\0".encode()


def host(root: Path, enforcing: str = "1") -> Host:
    policy = root / "sys/fs/selinux"
    for number, kind in enumerate(("system", "service"), 1):
        (policy / f"class/{kind}/perms").mkdir(parents=True)
        (policy / f"class/{kind}/index").write_text(str(number))
        for name, bit in SYSTEM.items():
            (policy / f"class/{kind}/perms/{name}").write_text(str(bit))
    (policy / "enforce").write_text(enforcing)
    (policy / "access").touch()
    (root / "proc/1/attr").mkdir(parents=True)
    (root / "proc/1/attr/current").write_text("system_u:system_r:init_t:s0\0")
    unit = root / "usr/lib/systemd/system/docker.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    return Host(root)


def ask(monkeypatch: pytest.MonkeyPatch, host: Host, kernel: Kernel) -> tuple[str, ...]:
    unit = host.path("/usr/lib/systemd/system/docker.service")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", kernel.write)
        patch.setattr(os, "read", kernel.read)
        patch.setattr(os, "getxattr", lambda place, _name: b"u:r:unit_t:s0\0" if place == unit else _missing(place))
        return access.denied(host, "system_u:system_r:spc_t:s0")


def _missing(place: Path) -> bytes:
    raise FileNotFoundError(place)


def test_what_is_allowed_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel({1: ALL, 2: ALL})
    assert ask(monkeypatch, host(tmp_path), kernel) == ()
    assert kernel.asked[0] == "system_u:system_r:spc_t:s0 system_u:system_r:init_t:s0 1"
    assert kernel.asked[-1] == "system_u:system_r:spc_t:s0 u:r:unit_t:s0 2"


def test_each_permission_that_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_start_and_status = 0b101
    denied = ask(monkeypatch, host(tmp_path), Kernel({1: only_start_and_status, 2: NONE}))
    assert denied == ("system reload", "service status", "service reload", "service start", "service stop")


def test_a_permissive_domain_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, host(tmp_path), Kernel({1: NONE, 2: NONE}, flags=1)) == ()


def test_a_class_that_the_policy_has_not_guards_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = host(tmp_path)
    for index in tmp_path.glob("sys/fs/selinux/class/*/index"):
        index.unlink()
    assert ask(monkeypatch, here, Kernel({})) == ()


def test_the_refusal_has_the_line_that_lets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "denied", lambda _host, _own: ("system reload",))
    monkeypatch.setattr(access, "own_context", lambda: "system_u:system_r:spc_t:s0:c1,c2")
    with pytest.raises(PreflightError) as refused:
        access.require(host(tmp_path))
    assert refused.value.exit_code is ExitCode.REFUSED
    assert "[selinux-access]" in refused.value.details
    assert "'(allow spc_t init_t (system (status reload start)))'" in refused.value.details
    assert "'(allow spc_t systemdunit (service (status reload start stop)))'" in refused.value.details
    assert "semodule --remove=relocator" in refused.value.details


@pytest.mark.parametrize("enforcing", ["0", ""])
def test_nothing_is_asked_where_nothing_is_enforced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enforcing: str
) -> None:
    monkeypatch.setattr(access, "denied", lambda _host, _own: ("system reload",))
    here = host(tmp_path, enforcing)
    if not enforcing:
        (tmp_path / "sys/fs/selinux/enforce").unlink()
    access.require(here)

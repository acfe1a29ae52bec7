"""A container that was not given what it needs says what it lacks, each with the option that gives it."""

import os
from pathlib import Path

import pytest

from entrypoint.console import command
from entrypoint.console.errors import ContainerError, ExitCode
from entrypoint.host.machine import standing

NO_HOST = "has no view of the host's processes (--pid=host)"
NOT_ROOT = "does not run as root (--user=0)"
OWN, OTHER = 1, 4711  # the process id of the first in a namespace of its own, and in the host's


@pytest.mark.parametrize(
    ("missing", "sees", "user", "pid", "told"),
    [
        ([], False, 0, OWN, [NO_HOST]),
        ([], False, 0, OTHER, [NO_HOST]),
        (["MKNOD"], True, 0, OTHER, ["lacks MKNOD (--privileged)"]),
        (["SYS_ADMIN", "SYS_PTRACE"], False, 0, OWN, ["lacks SYS_ADMIN, SYS_PTRACE (--privileged)", NO_HOST]),
        (["SYS_PTRACE"], False, 0, OTHER, ["lacks SYS_PTRACE (--privileged)"]),
        (["SYS_PTRACE"], False, 1000, OTHER, [NOT_ROOT, "lacks SYS_PTRACE (--privileged)"]),
    ],
)
def test_what_is_lacking_is_named_with_its_option(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], sees: bool, user: int, pid: int, told: list[str]
) -> None:
    monkeypatch.setattr(standing, "missing_capabilities", lambda: missing)
    monkeypatch.setattr(standing, "sees_host", lambda: sees)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "getpid", lambda: pid)
    assert standing.lacking() == told


@pytest.mark.parametrize("terminal", [True, False])
def test_the_line_to_run_instead_keeps_the_terminal(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: terminal)
    assert standing.full_command(["/new"]).startswith("docker run --rm -it " if terminal else "docker run --rm --priv")


def test_the_line_to_run_instead_is_one_that_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "lacking", lambda: ["lacks X", "has no Y"])
    monkeypatch.setenv(command.IMAGE, "registry/relocator:1; reboot")
    error = standing.unreachable(["plan", "/my disk/$HOME"])
    assert error.exit_code is ExitCode.USAGE
    assert error.details.startswith("It lacks X, has no Y, and it has no Docker socket")
    line = error.resolution.strip().splitlines()[-1]
    assert line.endswith("'registry/relocator:1; reboot' plan '/my disk/$HOME'")


@pytest.mark.parametrize(("called_on", "other"), [("this", False), ("that", True), ("", False), (None, False)])
def test_an_engine_of_another_host_is_known_by_its_boot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, called_on: str | None, other: bool
) -> None:
    monkeypatch.setattr(standing, "BOOT", tmp_path / "boot_id")
    monkeypatch.delenv(standing.CALLED_ON, raising=False)
    if called_on is not None:
        monkeypatch.setenv(standing.CALLED_ON, called_on)
    standing.require_same_host()  # where it cannot be read nothing is known
    (tmp_path / "boot_id").write_text("this\n")
    if not other:
        standing.require_same_host()
        return
    with pytest.raises(ContainerError, match="another host") as refused:
        standing.require_same_host()
    assert refused.value.exit_code is ExitCode.USAGE


# Of a host that is a container of another engine itself, seen through a bind mount of its root.
OUTER = f"1 2 8:1 /var/lib/docker/containers/{'a' * 64}/hostname /host/etc/hostname rw - ext4 /dev/sda rw\n"


@pytest.mark.parametrize(("outer", "own"), [("", "b" * 64), (OUTER, "b" * 64), (OUTER, "")])
def test_the_own_container_is_the_one_whose_files_are_in_etc(tmp_path: Path, outer: str, own: str) -> None:
    line = f"3 2 8:1 /docker/containers/{own}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda rw\n" if own else ""
    (tmp_path / "mountinfo").write_text(outer + line)
    assert standing.own_container(tmp_path / "mountinfo") == (own or None)

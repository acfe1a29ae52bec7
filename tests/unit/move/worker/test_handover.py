"""The worker's unit, to the property: what the host's systemd is asked to start, and what it does afterwards."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.__main__ import BUG
from entrypoint.console.errors import ContainerError, ExitCode, SystemdError
from entrypoint.host.host import Host
from entrypoint.host.machine.processes import Process, look
from entrypoint.host.services.units import Command, Unit, UnitState
from entrypoint.journal.record import Run
from entrypoint.move.worker import handover, keeper
from tests.unit.support.fakes import MAIN_PID, SERVICE, SOCKET, Calls, FakeSystemd, make_host
from tests.unit.support.world import make_plan

WORKER, KEEPER = "relocator.service", "relocator-keeper.service"
FAILURES = [*(int(code) for code in ExitCode if code is not ExitCode.DONE), 69]
HOLD = "/run/relocator/hold"
DROP_INS = (
    "/run/systemd/system/docker.socket.d/00-relocator-hold.conf",
    "/run/systemd/system/docker.service.d/00-relocator-hold.conf",
)
BACK = "/var/lib/relocator/runs/000042/back/back.sh"
NET = (
    Command(("/usr/bin/rm", "-f", HOLD, *DROP_INS), ignore_failure=True),
    Command(("/usr/bin/systemctl", "reset-failed", SOCKET, SERVICE), ignore_failure=True),
    Command(("/usr/bin/systemctl", "start", SOCKET, SERVICE), ignore_failure=True),
    Command(("/usr/bin/sh", "-c", f"if [ -e {BACK} ]; then exec /usr/bin/sh {BACK}; fi"), ignore_failure=True),
    Command(("/usr/bin/systemctl", "daemon-reload"), ignore_failure=True),
)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    place = tmp_path / "000042"
    place.mkdir()
    return Run(place)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RELOCATOR_IMAGE", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)


PYTHON = (sys.executable, "-I", "-u", "-B", "-X", "utf8", "-m")


def python(process: Process, *module: str) -> tuple[str, list[str], bool]:
    """An ExecStart= that starts a module in the mount namespace of a process, if it is still that process."""
    asked = ["/usr/bin/sh", "/var/lib/relocator/runs/000042/enter.sh", str(process.pid), str(process.began)]
    enter = ["/usr/bin/nsenter", "--mount=/proc/self/fd/3", "--wd=/", "--", *PYTHON, *module]
    return "/usr/bin/nsenter", ["/usr/bin/nsenter", "--mount=/proc/1/ns/mnt", "--", *asked, *enter], False


def test_the_keeper_lives_in_this_containers_files_and_the_worker_in_the_keepers(host: Host, run: Run) -> None:
    systemd = FakeSystemd(host, Calls())
    handover.hand_over(host, systemd, run, make_plan())
    assert systemd.properties[KEEPER]["ExecStart"][1] == [python(Process.own(), "entrypoint.move.worker.keeper")]
    assert ((run.place / "enter.sh").read_text(), (run.place / "enter.sh").stat().st_mode) == (
        handover.SCRIPT,
        0o100600,
    )
    found = Process(MAIN_PID, look(MAIN_PID).began)
    assert systemd.properties[WORKER]["ExecStart"][1] == [python(found, "entrypoint", "worker", "000042")]


def entered(process: Process) -> subprocess.CompletedProcess[str]:
    """What the line of a unit does, with a program that tells where it is."""
    words = ["sh", "-c", handover.SCRIPT, "sh", str(process.pid), str(process.began), "readlink", "/proc/self/fd/3"]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("name", ["sleep", "a) S 1 (b", "x) "])
def test_the_namespace_is_entered_of_the_process_that_is_meant_whatever_its_name(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        ours = Process(child.pid, look(child.pid).began)
        assert entered(ours).stdout == os.readlink(f"/proc/{child.pid}/ns/mnt") + "\n"
        another = entered(Process(child.pid, ours.began - 1))  # the number is another's by now
        child.kill()
    gone = entered(ours)
    assert [(one.returncode, one.stdout) for one in (another, gone)] == [(69, "")] * 2
    assert f"has ended; its number was {child.pid}" in another.stderr


def test_a_keeper_whose_number_changes_hands_while_it_is_looked_at_is_none(host: Host) -> None:
    class Changing(FakeSystemd):
        asked = 0

        def unit(self, name: str) -> Unit:
            self.asked += 1
            return replace(super().unit(name), main_pid=MAIN_PID if self.asked == 1 else 0)

    with pytest.raises(SystemdError, match="ended at once"):
        handover.keeper(Changing(host, Calls()))


# Stopped before its disks and its bus, and not before the engine's socket, which it may be waiting for.
ORDER = {
    "DefaultDependencies": ("b", False),
    "After": ("as", ["local-fs.target", "dbus.service"]),
    "Before": ("as", ["shutdown.target"]),
    "Conflicts": ("as", ["shutdown.target"]),
}


def test_the_workers_unit_is_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELOCATOR_IMAGE", "relocator:1")
    monkeypatch.setenv("OTHER", "x")
    worker = Command(("/usr/bin/nsenter", "python"))
    assert handover.worker_properties(worker, NET[:2]) == {
        **ORDER,
        "Description": ("s", "Moves the Docker engine's data root (relocator)"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [("/usr/bin/nsenter", ["/usr/bin/nsenter", "python"], False)]),
        "ExecStopPost": ("a(sasb)", [
            ("/usr/bin/rm", ["/usr/bin/rm", "-f", HOLD, *DROP_INS], True),
            ("/usr/bin/systemctl", ["/usr/bin/systemctl", "reset-failed", SOCKET, SERVICE], True),
        ]),
        "Environment": ("as", ["RELOCATOR_IMAGE=relocator:1", "LC_ALL=C.UTF-8"]),
        "KillMode": ("s", "mixed"),
        "TimeoutStartUSec": ("t", 60_000_000),
        "TimeoutStopUSec": ("t", 1_800_000_000),
        "Restart": ("s", "on-failure"),
        "RestartUSec": ("t", 500_000),
        "RestartPreventExitStatus": ("(aiai)", (FAILURES, [])),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }  # fmt: skip


def test_the_keepers_unit_is_this() -> None:
    assert handover.keeper_properties(Command(("/usr/bin/nsenter", "python"))) == {
        **ORDER,
        "Description": ("s", "Keeps the image of relocator at hand"),
        "Type": ("s", "notify"),
        "NotifyAccess": ("s", "main"),
        "ExecStart": ("a(sasb)", [("/usr/bin/nsenter", ["/usr/bin/nsenter", "python"], False)]),
        "Environment": ("as", ["LC_ALL=C.UTF-8"]),
        "TimeoutStartUSec": ("t", 60_000_000),
        "OOMScoreAdjust": ("i", -900),
        "CollectMode": ("s", "inactive-or-failed"),
    }


def test_only_a_worker_that_died_is_started_again() -> None:
    prevented = handover.worker_properties(Command(("nsenter",)), ())["RestartPreventExitStatus"][1]
    assert set(prevented[0]) == {*ExitCode, handover.KEEPER_GONE} - {ExitCode.DONE}
    assert BUG not in prevented[0]


def test_the_image_is_put_into_memory_before_anything_is_started_in_it(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls()
    monkeypatch.setattr("entrypoint.move.worker.memory.move_into", lambda **_: calls.record("move_into"))
    handover.hand_over(host, FakeSystemd(host, calls), run, make_plan())
    assert [made[0] for made in calls.made] == ["move_into", "reset_failed", "start_transient", "start_transient"]


def test_an_earlier_failure_of_the_units_is_forgotten_first(host: Host, run: Run) -> None:
    calls = Calls()
    systemd = FakeSystemd(host, calls)
    handover.hand_over(host, systemd, run, make_plan())
    assert calls.made == [("reset_failed", WORKER, KEEPER), ("start_transient", KEEPER), ("start_transient", WORKER)]
    assert systemd.properties[WORKER]["ExecStopPost"][1] == [command.to_dbus() for command in NET]


def test_an_earlier_keeper_is_dismissed_before_another_is_started(host: Host, run: Run) -> None:
    calls = Calls()
    systemd = FakeSystemd(host, calls)
    systemd.states[KEEPER] = UnitState.ACTIVE
    handover.hand_over(host, systemd, run, make_plan())
    assert calls.made[0] == ("stop", KEEPER)
    assert calls.made[2] == ("start_transient", KEEPER)


def test_a_keeper_that_is_gone_needs_no_dismissal(host: Host) -> None:
    calls = Calls()
    handover.dismiss(FakeSystemd(host, calls))
    assert calls.made == []


def test_without_a_keeper_no_worker_is_started(host: Host, run: Run) -> None:
    systemd = FakeSystemd(host, Calls())
    systemd.stillborn.add(KEEPER)
    with pytest.raises(SystemdError, match="ended at once"):
        handover.hand_over(host, systemd, run, make_plan())
    assert WORKER not in systemd.properties


@pytest.mark.parametrize("missing", ["rm", "sh", "systemctl", "nsenter"])
def test_a_host_without_a_program_of_the_net_is_not_handed_over_to(host: Host, run: Run, missing: str) -> None:
    calls = Calls()
    (host.root / "usr/bin" / missing).unlink()
    with pytest.raises(ContainerError, match=f"The host has no `{missing}`"):
        handover.hand_over(host, FakeSystemd(host, calls), run, make_plan())
    assert ("start_transient", WORKER) not in calls.made


def test_the_worker_says_ready_on_the_hosts_socket(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "run/link").symlink_to("systemd")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        monkeypatch.chdir(host.root)  # the name of a socket must be short
        listener.bind("run/systemd/notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/link/notify")
        monkeypatch.setattr(keeper, "HOST_ROOT", ".")
        keeper.say_ready()
        listener.settimeout(5)
        assert listener.recv(100) == b"READY=1"


def test_the_worker_says_ready_on_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"relocator-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        keeper.say_ready()
        listener.settimeout(5)
        assert listener.recv(100) == b"READY=1"


def test_without_systemd_nobody_is_told() -> None:
    keeper.say_ready()

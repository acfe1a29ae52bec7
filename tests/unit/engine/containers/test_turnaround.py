"""Whether a container ends on its stop signal, as the kernel tells of its first process; and when it is asked for its
health."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from entrypoint.engine.containers import turnaround
from entrypoint.engine.containers.turnaround import FIRST_CHECK, Turnaround, is_deaf, look, number, signal_named

TERM, QUIT, WINCH = (1 << (one - 1) for one in (signal.SIGTERM, signal.SIGQUIT, signal.SIGWINCH))


def process(
    folder: Path, pid: int, *, caught: int = 0, ignored: int = 0, blocked: int = 0, spaces: str = "", name: str = "app"
) -> Path:
    """As /proc shows one (proc_pid_status(5))."""
    place = folder / str(pid)
    (place / "task" / str(pid)).mkdir(parents=True)
    (place / "comm").write_text(f"{name}\n")
    (place / "task" / str(pid) / "children").write_text("")
    inside = spaces or f"{pid}\t1"
    (place / "status").write_text(
        f"Name:\t{name}\nNSpid:\t{inside}\nSigPnd:\t{0:016x}\nShdPnd:\t{TERM:016x}\n"
        f"SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0\n"
    )
    return place


@pytest.mark.parametrize(
    ("masks", "name", "deaf"),
    [
        ({}, "SIGTERM", True),
        ({"caught": TERM}, "SIGTERM", False),
        ({"caught": TERM}, "SIGQUIT", True),
        ({"caught": QUIT}, "SIGQUIT", False),
        ({"caught": ~TERM & (1 << 64) - 1}, "SIGTERM", True),
        ({"blocked": TERM}, "SIGTERM", False),
        ({"ignored": TERM}, "SIGTERM", True),
        ({"ignored": TERM, "blocked": TERM}, "SIGTERM", True),
        ({}, "SIGKILL", False),
        ({"spaces": "7"}, "SIGTERM", False),
        ({"spaces": "7\t30"}, "SIGTERM", False),
        ({"spaces": "7\t11"}, "SIGTERM", False),
        ({"spaces": "7", "ignored": TERM}, "SIGTERM", True),
        ({"spaces": "7"}, "SIGWINCH", True),
        ({"spaces": "7", "caught": WINCH}, "SIGWINCH", False),
        ({"caught": 1 << (signal.SIGRTMIN + 3 - 1)}, "SIGRTMIN+3", False),
        ({"caught": TERM}, "SIGRTMIN+3", True),
    ],
)
def test_a_process_is_deaf_to_what_it_neither_handles_nor_waits_for(
    tmp_path: Path, masks: dict[str, Any], name: str, deaf: bool
) -> None:
    process(tmp_path, 7, **masks)
    assert is_deaf(7, name, tmp_path) is deaf


@pytest.mark.parametrize("name", sorted(turnaround.PASS_ON))
@pytest.mark.parametrize(("masks", "deaf"), [({}, False), ({"ignored": TERM}, True), ({"caught": TERM}, False)])
def test_an_init_is_as_deaf_as_what_it_has_started(
    tmp_path: Path, name: str, masks: dict[str, Any], deaf: bool
) -> None:
    init = process(tmp_path, 7, blocked=TERM, name=name)
    (init / "task/7/children").write_text("20 9 \n")
    process(tmp_path, 20, spaces="20\t7", **masks)
    process(tmp_path, 9, spaces="9\t12", ignored=TERM)
    assert is_deaf(7, "SIGTERM", tmp_path) is deaf


def test_an_init_without_a_child_hears_for_itself_and_one_that_is_gone_is_not_deaf(tmp_path: Path) -> None:
    process(tmp_path, 7, blocked=TERM, name="tini")
    assert not is_deaf(7, "SIGTERM", tmp_path)
    assert not is_deaf(8, "SIGTERM", tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "SIGTERM"),
        ("SIGQUIT", "SIGQUIT"),
        ("quit", "SIGQUIT"),
        ("3", "SIGQUIT"),
        ("SIGRTMIN+3", "SIGRTMIN+3"),
        ("rtmax-1", "SIGRTMAX-1"),
        (str(signal.SIGRTMIN + 3), "SIGRTMIN+3"),
        ("64", "SIGRTMAX"),
        ("nothing", "SIGTERM"),
        ("99", "SIGTERM"),
    ],
)
def test_a_signal_has_a_name_and_a_number(text: str, name: str) -> None:
    assert signal_named(text) == name
    if text.isdigit() and text != "99":
        assert number(name) == int(text)


@pytest.mark.parametrize(("handling", "deaf"), [("SIG_DFL", False), ("SIG_IGN", True), ("print", False)])
def test_the_kernel_tells_it_of_a_real_process(handling: str, deaf: bool) -> None:
    """It is not the first of its namespace, as one with `--pid=host`."""
    code = f"from signal import *; signal(SIGTERM, {handling}); print('ready', flush=True); pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            assert is_deaf(child.pid, "SIGTERM") is deaf
        finally:
            child.kill()


def described(pid: int, name: str = "/web", health: bool = False, **config: Any) -> dict[str, Any]:
    state = {"Pid": pid, "Health": {"Status": "healthy"} if health else None}
    return {"Name": name, "State": state, "Config": config}


def test_each_container_is_told_with_its_signal_and_its_time(tmp_path: Path) -> None:
    process(tmp_path, 7)
    process(tmp_path, 8, caught=QUIT)
    given = [described(7), described(8, "/db", StopSignal="SIGQUIT", StopTimeout=60), described(0, "/restarting")]
    assert look(given, tmp_path) == (
        Turnaround("db", "SIGQUIT", 60), Turnaround("restarting"), Turnaround("web", is_deaf=True),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        ({}, FIRST_CHECK),
        ({"Interval": 5_000_000_000}, 5.0),
        ({"Interval": 5_000_000_000, "StartPeriod": 1, "StartInterval": 1_000_000_000}, 1.0),
        ({"Interval": 5_000_000_000, "StartInterval": 1_000_000_000}, 5.0),
    ],
)
def test_a_health_check_is_asked_when_its_time_is_over(tmp_path: Path, check: dict[str, int], seconds: float) -> None:
    (found,) = look([described(0, health=True, Healthcheck=check)], tmp_path)
    assert found.first_check == pytest.approx(seconds)
    (without,) = look([described(0, Healthcheck=check)], tmp_path)
    assert without.first_check == 0.0

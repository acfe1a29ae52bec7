"""What runs on in containers although their engine is down: told by control groups, and ended in good order."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from entrypoint.console.errors import EngineError
from entrypoint.engine.containers import strays
from entrypoint.engine.containers.strays import Stray

LOST, OTHER, ELSEWHERE = "a" * 64, "b" * 64, "c" * 64


def process(processes: Path, pid: int, cgroup: str, parent: int = 1, state: str = "S", name: str = "sh") -> None:
    place = processes / str(pid)
    place.mkdir(parents=True)
    (place / "cgroup").write_text(cgroup)
    (place / "stat").write_text(f"{pid} ({name}) {state} {parent} " + " ".join("0" * 17) + f" {pid}0 0")


def test_control_groups_of_either_kind_and_below_any_parent(tmp_path: Path) -> None:
    process(tmp_path, 10, f"0::/system.slice/docker-{LOST}.scope\n")
    process(tmp_path, 11, f"12:pids:/docker/{LOST}\n1:name=systemd:/docker/{LOST}\n0::/\n", parent=10)
    process(tmp_path, 12, f"0::/customers/{OTHER}/init.scope\n", name="a) R 7 (b")
    process(tmp_path, 13, f"0::/system.slice/docker-{ELSEWHERE}.scope\n")
    process(tmp_path, 14, "0::/system.slice/relocator-worker.service\n")
    process(tmp_path, 15, f"0::/system.slice/docker-{LOST}.scope\n", state="Z")
    (tmp_path / "16").mkdir()  # it has just ended
    found = strays.strays({LOST, OTHER}, tmp_path)
    assert sorted(found, key=lambda one: one.pid) == [Stray(10, 1, LOST), Stray(11, 10, LOST), Stray(12, 1, OTHER)]
    assert {one.pid for one in strays.heads(found)} == {10, 12}


def test_a_control_group_whose_name_is_no_text_hides_nobody(tmp_path: Path) -> None:
    """Who may make control groups of his own in a container gives them any name."""
    process(tmp_path, 10, "")
    (tmp_path / "10/cgroup").write_bytes(b"0::/system.slice/docker-%s.scope/\xff\n" % LOST.encode())
    assert strays.strays({LOST}, tmp_path) == (Stray(10, 1, LOST),)


def test_the_containers_of_a_root(tmp_path: Path) -> None:
    (tmp_path / "containers" / LOST).mkdir(parents=True)
    assert strays.containers_in(tmp_path) == {LOST}
    assert strays.containers_in(tmp_path / "unmounted") == frozenset()


@pytest.mark.parametrize(("trap", "number"), [("-", signal.SIGTERM), ("''", signal.SIGKILL)])
def test_ended_as_a_stop_ends_them(monkeypatch: pytest.MonkeyPatch, trap: str, number: signal.Signals) -> None:
    script = f"trap {trap} TERM; echo; while :; do sleep 0.01; done"
    monkeypatch.setattr(strays, "GRACE", 0.5)
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:

        def found(_ids: object) -> tuple[Stray, ...]:
            return (Stray(child.pid, os.getpid(), LOST),) if child.poll() is None else ()

        assert child.stdout is not None
        child.stdout.readline()
        monkeypatch.setattr(strays, "strays", found)
        monkeypatch.setattr(strays, "_is_inside", lambda pid, _ids: pid == child.pid)
        strays.end({LOST})
    assert child.returncode == -number


def test_a_number_that_is_another_process_by_now_is_not_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was one of the container's when it was looked for, and is outside when it is to be ended."""
    with subprocess.Popen(["sleep", "60"]) as other:
        looks = [(Stray(other.pid, os.getpid(), LOST),)]
        monkeypatch.setattr(strays, "strays", lambda _ids: looks.pop() if looks else ())
        strays.end({LOST})
        assert other.poll() is None
        other.kill()


def test_what_cannot_be_ended_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = 2**22 + 1
    monkeypatch.setattr(strays, "strays", lambda _ids: (Stray(gone, 1, LOST),))
    monkeypatch.setattr(strays, "GRACE", 0.1)
    monkeypatch.setattr(strays, "DYING", 0.1)
    with pytest.raises(EngineError, match="s for containers that the engine has lost"):
        strays.end({LOST})

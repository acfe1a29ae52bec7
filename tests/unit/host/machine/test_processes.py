"""A number is not a process: told apart by the beginning, signalled by a handle."""

import errno
import os
import signal
import subprocess
from dataclasses import replace

import pytest

from entrypoint.host.machine import processes
from entrypoint.host.machine.processes import Process, look


def test_a_process_is_there_until_it_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        found = Process(child.pid, look(child.pid).began)
        assert found.is_there()
        assert not replace(found, began=found.began - 1).is_there()  # what had the number before
        assert look(child.pid).parent == os.getpid()
        child.kill()
    assert not found.is_there()
    assert Process.own().is_there()


@pytest.mark.parametrize("has_handles", [True, False])
def test_only_what_is_meant_is_signalled(monkeypatch: pytest.MonkeyPatch, has_handles: bool) -> None:
    def old_kernel(_pid: int) -> int:
        raise OSError(errno.ENOSYS, "not there")

    if not has_handles:
        monkeypatch.setattr(os, "pidfd_open", old_kernel)
    with subprocess.Popen(["sleep", "60"]) as child:
        processes.send(child.pid, signal.SIGKILL, lambda: False)
        assert child.poll() is None
        processes.send(child.pid, signal.SIGTERM, lambda: True)
        assert child.wait() == -signal.SIGTERM
    processes.send(child.pid, signal.SIGKILL, lambda: True)  # gone: nobody is reached, and that is no error


def test_a_process_that_takes_the_number_after_the_look_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look says yes, and the process that it was about has ended by the time of the signal."""
    by_number: list[int] = []
    with subprocess.Popen(["sleep", "60"]) as meant:

        def ends_meanwhile() -> bool:
            meant.kill()
            meant.wait()
            monkeypatch.setattr(os, "kill", lambda pid, _number: by_number.append(pid))
            return True

        processes.send(meant.pid, signal.SIGKILL, ends_meanwhile)
    assert by_number == []

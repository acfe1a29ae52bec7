"""What a stop and a start of each container take, told beforehand: by what its first process does with a signal.

The engine sends a container's stop signal to its first process alone, and kills what has not ended when the time is
over; it stops all containers together, so that the slowest decides (moby daemon/daemon.go, Shutdown). The first process
of a PID namespace gets no signal that it has not asked for (pid_namespaces(7)): a program that SIGTERM would end
anywhere else is deaf to it there.

its signal is        the process
caught, or blocked   hears: it has a handler, or waits for it as inits do (sigwaitinfo(2), signalfd(2))
ignored              is deaf
none of these        is deaf as the first of its namespace; else the kernel ends it, but for the signals that end nobody

An init that passes signals on (`--init`, tini) is as deaf as what it has started.
"""

import re
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoint.host.machine.processes import PROCESSES

USUAL = "SIGTERM"
ENDS_NOBODY = frozenset({"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"})
PASS_ON = frozenset({"tini", "docker-init", "dumb-init", "catatonit"})
REAL_TIME = re.compile(r"RTMIN\+(\d+)|RTMAX-(\d+)|(RTMIN|RTMAX)")
FIRST_CHECK = 30.0  # seconds until a health check is asked, if it does not say else
NANO = 1e-9
STATUS = re.compile(r"^(SigBlk|SigIgn|SigCgt|NSpid):\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Turnaround:
    """How a container stops, and when it is healthy again.

    `seconds` are what it is given to end on its `signal`, if it says so itself; below zero without end. `is_deaf` if it
    will not end on it. `first_check` is when it is asked for its health, after its start; 0 if it is not.
    """

    container: str
    signal: str = USUAL
    seconds: int | None = None
    is_deaf: bool = False
    first_check: float = 0.0


def look(described: Iterable[Mapping[str, Any]], processes: Path = PROCESSES) -> tuple[Turnaround, ...]:
    """Of containers that run, as the engine describes them."""
    return tuple(sorted(_of(one, processes) for one in described))


def _of(one: Mapping[str, Any], processes: Path) -> Turnaround:
    asked = one["Config"]
    name = signal_named(str(asked.get("StopSignal") or ""))
    pid = int(one["State"].get("Pid") or 0)
    return Turnaround(
        container=str(one["Name"]).lstrip("/"),
        signal=name,
        seconds=asked.get("StopTimeout"),
        is_deaf=bool(pid) and is_deaf(pid, name, processes),
        first_check=_first_check(asked.get("Healthcheck") or {}) if one["State"].get("Health") else 0.0,
    )


def signal_named(text: str) -> str:
    """The name of a signal as the engine takes it: a number, or a name with or without SIG. What it does not take it
    has refused, so SIGTERM stands for it."""
    word = text.upper().removeprefix("SIG")
    if word.isdigit():
        with suppress(ValueError):
            return signal.Signals(int(word)).name
        return f"SIGRTMIN+{int(word) - signal.SIGRTMIN}" if signal.SIGRTMIN < int(word) < signal.SIGRTMAX else USUAL
    known = f"SIG{word}" in signal.Signals.__members__ or REAL_TIME.fullmatch(word)
    return f"SIG{word}" if known else USUAL


def number(name: str) -> int:
    """The number of a signal by such a name."""
    if (found := REAL_TIME.fullmatch(name.removeprefix("SIG"))) is None:
        return int(signal.Signals[name])
    up, down, alone = found.groups()
    if alone:
        return int(signal.Signals[name])
    return signal.SIGRTMIN + int(up) if up else signal.SIGRTMAX - int(down)


def is_deaf(pid: int, name: str, processes: Path = PROCESSES) -> bool:
    """Whether a process will not end on a signal; one that is gone meanwhile is not asked."""
    if name == "SIGKILL":
        return False
    with suppress(OSError, ValueError):
        started = _started(pid, processes) if _command(pid, processes) in PASS_ON else 0
        return _is_deaf(started or pid, name, processes)
    return False


def _is_deaf(pid: int, name: str, processes: Path) -> bool:
    found = dict(STATUS.findall((processes / str(pid) / "status").read_text(errors="replace")))
    bit = 1 << (number(name) - 1)
    ignored, *heard = (int(found[one], 16) & bit for one in ("SigIgn", "SigCgt", "SigBlk"))
    if ignored or any(heard):
        return bool(ignored)
    is_first = found.get("NSpid", "").split()[-1:] == ["1"]
    return is_first or name in ENDS_NOBODY


def _command(pid: int, processes: Path) -> str:
    return (processes / str(pid) / "comm").read_text(errors="replace").strip()


def _started(pid: int, processes: Path) -> int:
    """What an init has started: the first of its children; those that it has taken in come after."""
    children = (processes / str(pid) / "task" / str(pid) / "children").read_text().split()
    return int(children[0]) if children else 0


def _first_check(check: Mapping[str, Any]) -> float:
    """A check that has a time to begin in is asked more often in it (since 25)."""
    often = check.get("StartInterval") if check.get("StartPeriod") else 0
    return float(often or check.get("Interval") or 0) * NANO or FIRST_CHECK

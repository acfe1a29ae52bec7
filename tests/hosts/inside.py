"""What a test does inside a running host."""

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import IO

from tests.hosts.command import CommandError
from tests.hosts.nspawn import Machine
from tests.hosts.shell import Command, Environment, Shell, words
from tests.hosts.terminal import Terminal

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "xterm",
}
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
Stream = int | IO[bytes] | None


class Inside(Shell):
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def name(self) -> str:
        return self.machine.hostname

    @property
    def leader(self) -> int:
        """The host's process 1, by its number outside."""
        raise NotImplementedError

    def run(
        self,
        command: Command,
        *,
        check: bool = True,
        timeout: float = 120,
        env: Environment = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        process = self.popen(command, env=env, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = _communicate(process, stdin, timeout)
        if check and process.returncode != 0:
            raise CommandError([f"{self.name}:", *words(command)], process.returncode, output + errors)
        return subprocess.CompletedProcess(words(command), process.returncode, output, errors)

    def popen(
        self,
        command: Command,
        *,
        env: Environment = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> subprocess.Popen[bytes]:
        # Apart from the tests' own processes, so that `end` reaches all of it and nothing else.
        return subprocess.Popen(
            self.entering(command, env), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )

    def terminal(self, command: Command, *, env: Environment = None) -> Terminal:
        return Terminal(self.entering(command, env))

    def entering(self, command: Command, env: Environment = None) -> list[str]:
        """The outer command line that becomes one of the host's processes: its groups, then its namespaces."""
        leader = str(self.leader)
        groups = [f"echo 0 > {shlex.quote(str(path))}" for path in self.machine.cgroup.enter_paths()]
        variables = [f"{key}={value}" for key, value in {**ENVIRONMENT, **(env or {})}.items()]
        enter = ["nsenter", "--target", leader, *NAMESPACES, "--"]
        argv = [*enter, "env", "-i", *variables, *words(command)]
        return ["sh", "-euc", "; ".join([*groups, f"exec {shlex.join(argv)}"])]

    def path(self, inside: str) -> Path:
        """The outer path of a file inside, seen through the host's own mounts.

        A link in it that starts with a slash is followed on the outer machine: name the file it leads to.
        """
        return Path(f"/proc/{self.leader}/root") / inside.lstrip("/")


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a `popen` and all that it started: nsenter alone would leave its child behind."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def _communicate(process: subprocess.Popen[bytes], stdin: str | None, timeout: float) -> tuple[str, str]:
    data = None if stdin is None else stdin.encode()
    try:
        output, errors = process.communicate(data, timeout)
    except BaseException:
        end(process)
        process.communicate()
        raise
    return output.decode(errors="replace"), errors.decode(errors="replace")

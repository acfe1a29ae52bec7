"""What a test asks of a host, however the host is made."""

import subprocess
import time
from collections.abc import Mapping, Sequence

from tests.hosts.command import HostError

Command = Sequence[str] | str
Environment = Mapping[str, str] | None


class Shell:
    """A command is a list of words, or a text for `sh -eu`. Limits of time are multiplied by how `slow` the host is."""

    slow = 1

    @property
    def name(self) -> str:
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
        raise NotImplementedError

    def docker(self, *arguments: str, check: bool = True, timeout: float = 120) -> str:
        return self.run(["docker", *arguments], check=check, timeout=timeout).stdout.strip()

    def wait_docker(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout * self.slow
        while self.run(["docker", "version"], check=False).returncode != 0:
            failed = self.run(["systemctl", "is-failed", "--quiet", "docker.service"], check=False)
            if failed.returncode == 0 or time.monotonic() > deadline:
                raise HostError(f"no engine in {self.name}\n{self.journal('docker.service')}")
            time.sleep(0.05)

    def journal(self, unit: str = "", lines: int = 60) -> str:
        selected = [f"--unit={unit}"] if unit else []
        return self.run(["journalctl", "--no-pager", f"--lines={lines}", *selected], check=False).stdout


def words(command: Command) -> list[str]:
    return ["sh", "-euc", command] if isinstance(command, str) else list(command)

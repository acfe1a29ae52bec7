"""A program in a host, attached to a terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.hosts.command import HostError

CHUNK = 65536


class Terminal:
    def __init__(self, argv: Sequence[str], rows: int = 40, columns: int = 120) -> None:
        self.output = ""
        self._fd, inner = pty.openpty()
        self.resize(rows, columns)
        try:
            # setsid --ctty: job control and keyboard signals need a controlling terminal.
            self.process = subprocess.Popen(["setsid", "--ctty", *argv], stdin=inner, stdout=inner, stderr=inner)
        finally:
            os.close(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str, timeout: float = 30) -> str:
        """Everything printed so far, once `text` is in it."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            if not self._read(deadline):
                raise HostError(f"{text!r} did not appear on the terminal:\n{self.output}")
        return self.output

    def wait(self, timeout: float = 60) -> int:
        """The exit code; what was printed until then is in `output`."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, CHUNK)
        except OSError:
            # The last one to hold the inner side has closed it.
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

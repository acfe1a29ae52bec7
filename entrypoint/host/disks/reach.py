"""Looking at what may lie on a server that does not answer: with an end.

A path that an operator's container names may be on a file system whose server is gone, and a call that looks there may
never return. So it is made by a thread of its own, which is left behind where it does not; the process does not wait
for it when it ends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TypeVar

from entrypoint.console.errors import HostCommandError
from entrypoint.host.host import Host

EACH = 5.0  # seconds for an answer, as long as not
ALL = 15.0  # seconds were waited in vain; then
BRIEFLY = 0.5  # seconds

T = TypeVar("T")


@dataclass
class Reach:
    """How long answers are waited for, by one who has many questions; `waited` tells it of the last."""

    left: float = ALL
    waited: float = EACH

    def ask(self, look: Callable[[], T]) -> T | None:
        """What is seen; nothing where there is no answer in time."""
        answers: list[T] = []
        self.waited = EACH if self.left > 0 else BRIEFLY
        thread = Thread(target=lambda: answers.append(look()), daemon=True)
        thread.start()
        thread.join(self.waited)
        if not answers:
            self.left -= self.waited
        return answers[0] if answers else None

    def resolved(self, host: Host, paths: Iterable[str]) -> tuple[str, ...]:
        """Paths that may lead through links, such as an old /var/lib/docker, as they are, and as what they lead to, if
        that can be seen."""
        absolute = [path for path in paths if path.startswith("/")]
        leading = (self.ask(partial(_leading, host, path)) for path in absolute)
        return tuple(dict.fromkeys((*absolute, *(end for end in leading if end))))


def _leading(host: Host, path: str) -> str:
    try:
        return str(host.resolve(path))
    except HostCommandError:  # links without end
        return path

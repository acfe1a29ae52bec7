"""The names of what the engine numbers with 64 digits, as they were seen: who reads a message knows no number.

Whatever this process tells, it tells with them; so they are kept where it stands how it speaks: in the configuration of
structlog, of which there is one a process (`Console`, in events.py).
"""

import re
from collections.abc import Mapping

import structlog

NUMBER = re.compile(r"\b(?:sha256:)?([0-9a-f]{64})\b")


class Names:
    """Names by number."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def learn(self, found: Mapping[str, str]) -> None:
        self._known.update({number.removeprefix("sha256:"): name for number, name in found.items() if name})

    def named(self, text: str) -> str:
        return NUMBER.sub(lambda found: self._known.get(found[1], found[0]), text)


def known() -> Names:
    """Those of this process; none, as long as it is not configured."""
    found = getattr(structlog.get_config()["logger_factory"], "names", None)
    return found if isinstance(found, Names) else Names()


def learn(found: Mapping[str, str]) -> None:
    """By number, with or without its algorithm; what has no name of its own stays a number."""
    known().learn(found)


def named(text: str) -> str:
    return known().named(text)

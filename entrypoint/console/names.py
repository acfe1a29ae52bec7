"""The names of what the engine numbers with 64 digits, as they were seen: who reads a message knows no number."""

import re
from collections.abc import Mapping

NUMBER = re.compile(r"\b(?:sha256:)?([0-9a-f]{64})\b")
_known: dict[str, str] = {}


def learn(found: Mapping[str, str]) -> None:
    """By number, with or without its algorithm; what has no name of its own stays a number."""
    _known.update({number.removeprefix("sha256:"): name for number, name in found.items() if name})


def named(text: str) -> str:
    return NUMBER.sub(lambda found: _known.get(found[1], found[0]), text)

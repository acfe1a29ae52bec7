"""What is told to people, written to logs or shown in a page has no password in it, wherever the text comes from.

Texts quote the engine, systemd and programs, which quote what they were given: a proxy with a password, the options of
a mount. This is the last net below what is left out on purpose (masked.py): it knows a secret by what stands before it.
"""

import re
from typing import Any

HIDDEN = "***"
# scheme://user:password@host; all up to the last @, for a password may hold another, or a slash.
USER = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<user>[^\s\"']*)@")
NAMES = r"passw(?:or)?d|passphrase|secret|token|credentials?|authorization|auth|(?:api|access|private|account)[-_]?key"
# Quotes may be escaped, where a text stands in another.
NAMED = re.compile(
    rf"(?P<name>(?:{NAMES})(?:[-_.]?(?:id|key))?[\"'\\]*\s*[=:]\s*[\"'\\]*(?:(?:Basic|Bearer)\s+)?)[^\s\"'\\,;<>]+",
    re.IGNORECASE,
)
FLAGGED = re.compile(rf"(?P<name>--[\w.-]{{0,60}}(?:{NAMES})[\w.-]{{0,60}}\s+)[^\s\"'\\,;<>]+", re.IGNORECASE)
# What dockerd says of an option that is set twice (moby daemon/config, findConfigurationConflicts).
TWICE = re.compile(r"\(from flag: .*, from file: .*\)")


def told(text: str) -> str:
    """A text without what is known to be secret by its form."""
    text = TWICE.sub(f"(from flag: {HIDDEN}, from file: {HIDDEN})", USER.sub(_without_user, text))
    return FLAGGED.sub(rf"\g<name>{HIDDEN}", NAMED.sub(rf"\g<name>{HIDDEN}", text))


def _without_user(match: "re.Match[str]") -> str:
    """A name alone is shown only where it is no more than a name."""
    is_name = match["scheme"] == "ssh://" and ":" not in match["user"]
    return match[0] if is_name else f"{match['scheme']}{HIDDEN}@"


def discreet(value: Any) -> Any:
    """The same of every text in a document."""
    match value:
        case str():
            return told(value) if type(value) is str else value  # a word of ours is no secret
        case dict():
            return {key: discreet(one) for key, one in value.items()}
        case list() | tuple():
            return type(value)(map(discreet, value)) if type(value) in (list, tuple) else value
        case _:
            return value

"""What is told, in the words of the one who reads it: commands as they can be typed there, paths as the host has them,
and names instead of numbers.

A text names a command as `relocator VERB`. How that is typed depends on how this program was started: by the printed
script, as a plugin of docker, by compose, or by `docker run`. Whoever starts it in another way than the last says so.
"""

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from entrypoint.console.names import named
from entrypoint.console.wording import harmless, printable

IMAGE = "RELOCATOR_IMAGE"
CALLED = "RELOCATOR_CALLED"  # what is typed in the place of `relocator`
NAMED = re.compile(
    r"(?<![/\w.-])relocator"
    r"(?= (?:run|plan|check|status|go|abort|pause|resume|limit|rollback|return|cleanup|report|script|bundle"
    r"|completion|manual|TARGET)\b"
    r"| (?:--[a-z]|'?/))"
)
STARTED = re.compile(r"\b(?:docker|compose) run\b[^`\n]*$")
# Where this program finds the host's files (host.HOST_ROOT), and how an OSError names files whose names are bytes.
SEEN = re.compile(r"/proc/1/root(?:(?=/)|\b)")
BYTES = re.compile(r"""(?<=: |> )b(['"])((?:(?!\1)[^\\]|\\.)*)\1""")
CONTENT = "diff"  # of a file: that is told as it is


def prefix() -> str:
    """What is typed before the verb."""
    if called := os.environ.get(CALLED):
        return printable(called)
    terminal = ("-it",) if has_terminal() else ()
    image = os.environ.get(IMAGE, "relocator")
    return shlex.join(("docker", "run", "--rm", *terminal, "--privileged", "--pid=host", image))


def has_terminal() -> bool:
    return os.isatty(0) and os.isatty(1)


def told(text: str) -> str:
    """A text as it is told."""
    text = NAMED.sub(lambda found: found[0] if STARTED.search(text, 0, found.start()) else prefix(), named(text))
    return harmless(BYTES.sub(r"'\2'", SEEN.sub(_on_host, text)))


def _on_host(found: "re.Match[str]") -> str:
    """The host's own name for what lies below; its root has one, too."""
    return "" if found.string[found.end() : found.end() + 1] == "/" else "/"


def told_all(value: Any) -> Any:
    """The same for every text in a document."""
    if isinstance(value, str):
        return told(value)
    if isinstance(value, Mapping):
        return {key: one if key == CONTENT else told_all(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [told_all(one) for one in value]
    return value

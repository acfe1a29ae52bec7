"""The manual page, in the words of `--help`: relocator(8) for man, as roff with man(7)'s macros."""

from collections.abc import Iterator

from entrypoint import __version__
from entrypoint.commands.line import options
from entrypoint.commands.line.parser import Word
from entrypoint.console.environment import variable

ABOUT = (
    "relocator moves the storage of this host's Docker engine to another path. It copies while the engine runs, stops "
    "it for some seconds, and starts it on a copy that it has compared with the original. If something fails, the "
    "engine is started on the old data root again.",
    "A target without a command means run. Each run is recorded below /var/lib/relocator.",
)
FILES = (
    ("/var/lib/relocator/runs", "A directory for each run, with its plan, its journal and its log."),
    ("/etc/systemd/system/docker.service.d/50-relocator.conf", "Lets the engine wait for the disk of its data root."),
)


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH RELOCATOR 8 "" "relocator {__version__}" "System administration"'
    yield from (".SH NAME", r"relocator \- move a Docker engine's storage to another path")
    yield from (".SH SYNOPSIS", *_synopsis())
    yield from (".SH DESCRIPTION", *(line for text in ABOUT for line in (".PP", _text(text))))
    yield ".SH COMMANDS"
    for verb, (text, words) in options.VERBS.items():
        yield from _item(_usage(verb, words), text)
    yield ".SH OPTIONS"
    for name, how in _options().items():
        yield from _item(f"{name} {how['metavar']}" if how.get("metavar") else name, how["help"])
    yield from (
        ".SH ENVIRONMENT",
        ".PP",
        _text("Each option can be given by a variable, too. What is typed comes first."),
    )
    for name, how in _options().items():
        yield from _item(
            variable(name), f"Like {name}." if how.get("metavar") or how.get("choices") else f"1 is {name}."
        )
    yield ".SH EXIT STATUS"
    for code, text in options.CODES.items():
        yield from _item(str(int(code)), f"{text[:1].upper()}{text[1:]}.")
    yield ".SH FILES"
    for place, text in FILES:
        yield from _item(place, text)
    yield ".SH EXAMPLES"
    yield from (line for words in options.EXAMPLES for line in (".PP", ".B " + _text(f"relocator {words}")))


def _synopsis() -> Iterator[str]:
    for verb, (_meaning, words) in options.VERBS.items():
        yield from (f".B {_text(f'relocator {_usage(verb, words)}')}", ".br")


def _usage(verb: str, words: tuple[Word, ...]) -> str:
    options = " [OPTIONS]" if any(name.startswith("--") for name, _how in words) else ""
    return f"{verb}{options}{''.join(f' {name}' for name, _how in words if not name.startswith('-'))}"


def _options() -> dict[str, dict[str, object]]:
    """Every option once, whichever commands take it."""
    return {name: dict(how) for _text, words in options.VERBS.values() for name, how in words if name.startswith("--")}


def _item(name: str, text: object) -> tuple[str, ...]:
    return (".TP", f".B {_text(name)}", _text(str(text)))


def _text(text: str) -> str:
    """Words as roff shows them: no escape, a hyphen that can be copied as one, no control line."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped

"""A shell's completion: verbs, options of the verb that stands there already, directories for a target."""

import shlex
from collections.abc import Iterable, Iterator

from entrypoint.commands.line import options

SHELLS = ("bash",)
NAMES = ("relocator", "relocate")  # as which the script is usually saved
BASH = """\
# Completion of relocator for bash. To use it: source this file, or save it as
# /etc/bash_completion.d/relocator
_relocator() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} verb= at
    COMPREPLY=()
    for at in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $at in
            {verbs}) verb=$at; break ;;
            /*) verb=run; break ;;
        esac
    done
    case $before in
{values}
    esac
    case $word in
        -*)
            case $verb in
{options}
            esac
            ;;
        /*) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        *) [ -n "$verb" ] || {words} ;;
    esac
}}
complete -o filenames -F _relocator {names}
"""


def bash() -> str:
    """The function that bash calls for each word."""
    return BASH.format(
        verbs="|".join(options.VERBS),
        values="\n".join(_values()),
        options="\n".join(_options()),
        words=_offered(options.VERBS),
        names=" ".join(NAMES),
    )


def _values() -> Iterator[str]:
    """The options that are followed by one of a few words, or by a path."""
    words = {
        name: how for _text, verb_words in options.VERBS.values() for name, how in verb_words if name.startswith("--")
    }
    for name, how in words.items():
        if choices := how.get("choices"):
            yield f"        {name}) {_offered(choices)}; return ;;"
        elif how.get("metavar") in ("PATH", "FILE"):
            yield f'        {name}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;'


def _options() -> Iterator[str]:
    for verb, (_text, words) in options.VERBS.items():
        names = [name for name, _how in words if name.startswith("--")]
        yield f"                {verb}) {_offered([*names, options.HELP[0]])} ;;"
    yield f"                *) {_offered((options.HELP[0], options.VERSION[0]))} ;;"


def _offered(words: Iterable[str]) -> str:
    """The words that begin as what stands there does."""
    return f'mapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(words))} -- "$word")'

"""`make docs`: docs/findings.md, from its words (docs/findings.toml) and from the code.

The code says of each finding how grave it is and which commands ask for it: which checks those are stands in
preflight/asked.py, and what a check can find in its source, and in that of the checks that it calls.
"""

import ast
import inspect
import textwrap
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import FunctionType
from typing import Any

from entrypoint.console.findings import Severity, error, warning
from entrypoint.engine import products
from entrypoint.host.services import access
from entrypoint.preflight.asked import OF_OLD_ROOT, OF_WAY_BACK, TABLE, Asked
from entrypoint.preflight.checks import adoption
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.engine.next_start import WHY
from entrypoint.settings.options import EFFECTS

DOCS = Path(__file__).parents[1] / "docs"
PAGE, WORDS = DOCS / "findings.md", DOCS / "findings.toml"
MARK = "<!-- `make docs` writes this page, from findings.toml and from the code. -->"
HEAD = "| id | level | asked by | what it means | what to do |\n|---|---|---|---|---|"
RUN, ADOPT, ONLY, ROLLBACK, CLEANUP = "`run`", "`--adopt`", "`--only containerd`", "`rollback`", "`cleanup`"
COMMANDS = {
    RUN: Asked.MOVE,
    ADOPT: Asked.ADOPT,
    ONLY: Asked.ALONE | Asked.NOTHING,
    ROLLBACK: Asked.RETURN | Asked.RETURN_ALONE,
    CLEANUP: Asked.REMOVAL,
}
# What a command asks beside the table: of a root that is there already, or of the host before anything else.
Checks = tuple[Callable[..., object], ...]
ALWAYS: Checks = (products.other, access.finding)
OWN: Mapping[str, Checks] = {
    RUN: (images.left_behind,),
    ADOPT: (adoption.check,),
    ROLLBACK: OF_WAY_BACK,
    CLEANUP: OF_OLD_ROOT,
}
STARTS = """
An engine reads its flags, its variables and its configuration file when it starts. What was changed in them since is
put into force by the next start, also by that of a move, and that of the way back. So the running engine is compared
with what a start now would read: its flags and variables with those of its process, daemon.json with what the engine
tells of itself. What it does not tell counts as changed if the file is younger than that start. An option that is in no
row is of a newer engine, and counts as one that decides whether it starts. Where data-root and storage-driver are set,
and where images are kept, other checks ask more closely.
""".strip()
Made = frozenset[tuple[str, Severity]]
# What a check of containerd's root finds only where the data root moves, too (tests/unit/preflight/test_walk.py).
OF_BOTH = frozenset({"containerd-root-flag", "containerd-target-unknown"})


def asked_by(command: str) -> Iterator[Callable[..., object]]:
    """The checks of one command."""
    own: Checks = OWN.get(command, ())
    yield from (*(check for check, when in TABLE if when & COMMANDS[command]), *ALWAYS, *own)


def made_by(checks: Collection[Any]) -> Made:
    """Id and level of all that these checks can find; an id that is put together is a pattern."""
    known: dict[FunctionType, Made] = {}
    todo = [check for check in checks if isinstance(check, FunctionType)]
    while todo:
        if (check := inspect.unwrap(todo.pop())) not in known:
            source = ast.parse(textwrap.dedent(inspect.getsource(check)))
            names = {name: value for name, value in check.__globals__.items() if name not in own_names(source)}
            known[check] = frozenset(found_in(source, names))
            todo += called_in(source, names)
    return frozenset().union(*known.values())


def own_names(source: ast.AST) -> frozenset[str]:
    """Arguments and variables, which hide what is outside under the same name."""
    arguments = {node.arg for node in ast.walk(source) if isinstance(node, ast.arg)}
    return frozenset(arguments | {node.id for node in ast.walk(source)
                                  if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)})  # fmt: skip


def found_in(source: ast.AST, names: Mapping[str, Any]) -> Iterator[tuple[str, Severity]]:
    levels: dict[Any, Severity] = {error: Severity.ERROR, warning: Severity.WARNING}
    for node in ast.walk(source):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if level := levels.get(names.get(name)):
                yield id_of(first, names), level
            case _:
                pass


def id_of(node: ast.expr, names: Mapping[str, Any]) -> str:
    match node:
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
        case ast.Name(id=name):
            return str(names[name])
        case _:
            return str(ast.literal_eval(node))


def called_in(source: ast.AST, names: Mapping[str, Any]) -> Iterator[FunctionType]:
    """The checks that a check names, by themselves or in a tuple."""
    for node in ast.walk(source):
        known = named(node, names)
        for check in known if isinstance(known, tuple) else (known,):
            if isinstance(check, FunctionType) and check not in (error, warning) and gives_findings(check):
                yield check


def named(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """What a name, or a name in a module, stands for."""
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name) if inspect.ismodule(names.get(module)):
            return getattr(names[module], name, None)
        case _:
            return None


def gives_findings(check: FunctionType) -> bool:
    return "Finding" in str(check.__annotations__.get("return"))


def matched(id: str, made: Made, whole: Collection[str]) -> list[Severity]:
    """The levels of an id; a pattern stands for those that nothing makes by their whole name."""
    return sorted({level for made_id, level in made
                   if made_id == id or (id not in whole and "*" in made_id and fnmatchcase(id, made_id))})  # fmt: skip


def page(words: Mapping[str, Any]) -> str:
    """The page's text. Raises ValueError for a finding without words, and for words without a finding."""
    commands = {command: made_by([*asked_by(command)]) for command in COMMANDS}
    every: Made = frozenset().union(*commands.values())
    ids = [id for section in sections(words).values() for id in section if id != "text"]
    whole = {id for id, _level in every if "*" not in id}
    if strange := sorted({*whole} ^ {id for id in ids if id in whole or not matched(id, every, whole)}):
        raise ValueError(f"in the code alone, or in {WORDS.name} alone: {', '.join(strange)}")
    parts = [f"# Findings\n\n{MARK}\n\n{words['text'].strip()}"]
    for title, section in sections(words).items():
        rows = [row(id, told, commands, every, whole) for id, told in section.items() if id != "text"]
        text = section.get("text", "").strip()
        parts.append("\n\n".join(filter(None, (f"## {title}", text, "\n".join((HEAD, *rows))))))
    return "\n\n".join((*parts, options_by_effect())) + "\n"


def options_by_effect() -> str:
    """What dockerd's options decide, by their keys in daemon.json."""
    rows = [f"| {WHY.get(effect, 'less')} | {'start-would-change' if effect in WHY else 'start-would-differ'} "
            f"| {' '.join(f'`{key}`' for key in sorted(keys))} |"
            for effect, keys in EFFECTS.items()]  # fmt: skip
    return "\n".join(("## What a start would change", "", STARTS, "", "| it decides | finding | options |",
                      "|---|---|---|", *rows))  # fmt: skip


def sections(words: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {title: section for title, section in words.items() if isinstance(section, dict)}


def row(id: str, told: list[str], commands: Mapping[str, Made], every: Made, whole: Collection[str]) -> str:
    asking = [command for command, made in commands.items()
              if matched(id, made, whole) and not (command == ONLY and id in OF_BOTH)]  # fmt: skip
    by = "all" if len(asking) == len(commands) else ", ".join(asking)
    return f"| `{id}` | {', '.join(matched(id, every, whole))} | {by} | {' | '.join(told)} |"


def written() -> str:
    return page(tomllib.loads(WORDS.read_text()))


if __name__ == "__main__":
    PAGE.write_text(written())

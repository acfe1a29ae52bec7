"""Which check is asked when: what every command depends on is asked by every command, and no check is forgotten."""

import ast
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from inspect import unwrap
from pathlib import Path

import pytest

from entrypoint.console.findings import Finding
from entrypoint.preflight.asked import OF_OLD_ROOT, OF_WAY_BACK, STOP, TABLE, Asked, asked
from entrypoint.preflight.checks.way_back import WayBack
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check, check_adoption, check_return
from tests.unit.preflight.checks.test_store import ON, facts
from tests.unit.support.good_facts import GOOD

ROOT = Path(__file__).parents[3]
CHECKS = ROOT / "entrypoint/preflight/checks"
LEFT = WayBack("000001", "/a", "/b", "/a", GOOD.engine.version)
COMMANDS: dict[str, Callable[[HostFacts], tuple[Finding, ...]]] = {
    "check, plan and run": check,
    "adopt": lambda found: check_adoption(found, None),
    "rollback": lambda found: check_return(found, LEFT),
    "rollback of containerd's root alone": lambda found: check_return(replace(found, roots=()), LEFT),
}


def ids(command: str, found: HostFacts) -> list[str]:
    return [finding.id for finding in COMMANDS[command](found)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_the_next_start_would_change_refuses_every_command_that_starts_the_engine(command: str) -> None:
    """An engine that came up with another store had ended a way back with code 5."""
    assert "store-pending" in ids(command, facts("graphdriver", "28.5.2", ON))
    assert "store-pending" not in ids(command, facts("graphdriver", "28.5.2", {}))


@pytest.mark.parametrize("command", COMMANDS)
def test_packages_that_are_being_changed_are_told_by_every_command_that_stops_the_engine(command: str) -> None:
    assert "packages-changing" in ids(command, replace(GOOD, package_programs=("dpkg",)))
    assert "packages-changing" not in ids(command, GOOD)


def test_what_is_asked_stands_in_the_table_once() -> None:
    named = [f"{check.__module__}.{check.__name__}" for check, _when in TABLE]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("when", STOP)
def test_every_command_asks_something(when: Asked) -> None:
    assert len(asked(when)) > 10


def takes_what_is_asked_with(function: ast.FunctionDef) -> bool:
    taken = [ast.unparse(one.annotation) for one in function.args.args if one.annotation]
    return taken in (["HostFacts"], ["HostFacts", "RootFacts"], ["HostFacts", "OldRoot"], ["HostFacts", "WayBack"])


def gives_findings(function: ast.FunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns) == "Iterator[Finding]"


@pytest.mark.parametrize("place", sorted(CHECKS.rglob("*.py")), ids=lambda place: str(place.relative_to(CHECKS)))
def test_no_check_is_forgotten(place: Path) -> None:
    """One that takes nothing but facts, or a root too, is in its table, or another of the checks calls it."""
    callers = (*CHECKS.rglob("*.py"), *(ROOT / "entrypoint/commands").rglob("*.py"))
    text = "\n".join(caller.read_text() for caller in callers)
    known = [*(unwrap(check) for check, _when in TABLE), *OF_OLD_ROOT, *OF_WAY_BACK]
    module = import_module(".".join(place.relative_to(ROOT).with_suffix("").parts))
    for function in ast.parse(place.read_text()).body:
        if isinstance(function, ast.FunctionDef) and takes_what_is_asked_with(function) and gives_findings(function):
            is_called = text.count(f"{function.name}(") > 1 or f".{function.name}," in text
            assert getattr(module, function.name) in known or is_called, function.name

"""A host that lacks a program that brings the engine back is refused before anything is touched."""

from pathlib import Path

import pytest

from entrypoint.console.errors import PreflightError
from entrypoint.host.host import Host
from entrypoint.host.machine import programs
from entrypoint.move import safety_net
from tests.unit.support.fakes import make_host


def make_without(root: Path, *missing: str) -> Host:
    host = make_host(root)
    for name in missing:
        host.path(f"/usr/bin/{name}").unlink()
    return host


def test_a_host_that_has_all_is_fit(tmp_path: Path) -> None:
    programs.require(make_without(tmp_path))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreflightError) as refused:
        programs.require(make_without(tmp_path, "nsenter", "sync"))
    assert refused.value.brief == "The host lacks sync, nsenter."


@pytest.mark.parametrize("name", programs.NEEDED)
def test_each_of_them_is_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(PreflightError, match=name):
        programs.require(make_without(tmp_path, name))


def test_what_the_script_of_the_net_says_it_needs_is_asked_for() -> None:
    needs = (
        (safety_net.__doc__ or "")
        .partition("POSIX sh; needs ")[2]
        .partition("\n")[0]
        .replace(" and ", ", ")
        .split(", ")
    )
    assert len(needs) > 4
    assert set(needs) <= set(programs.NEEDED)

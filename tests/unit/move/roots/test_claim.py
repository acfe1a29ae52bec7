"""Between the look and the act somebody may put another thing in the target's place: it is seen."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.commands import run
from entrypoint.console.errors import CopyError, PreflightError
from entrypoint.copy.copier import identity
from entrypoint.host.host import Host
from entrypoint.journal.record import Run
from entrypoint.journal.unfinished import NAME, Unfinished
from entrypoint.move.roots import claim
from entrypoint.plan.plan import Plan
from entrypoint.preflight.roots import Target
from tests.unit.support.fakes import make_host
from tests.unit.support.good_facts import TARGET as SEEN
from tests.unit.support.world import TARGET, make_plan

PARENT = str(PurePosixPath(TARGET).parent)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to somebody else")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = make_host(tmp_path)
    made.path(PARENT).mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def plan() -> Plan:
    return make_plan()


def seen(host: Host) -> Target:
    """As the preflight has seen a target that is not there yet."""
    path = PurePosixPath(TARGET)
    above = PurePosixPath(PARENT)
    return replace(SEEN, path=path, resolved=path, ancestor=above, identities=(identity(host.path(above)),))


def put_another_in_its_place(parent: Path) -> None:
    """As when its disk is unmounted, or another mounted over it."""
    parent.rename(parent.with_name("was"))
    parent.mkdir()


def lead_elsewhere(parent: Path) -> None:
    parent.rename(parent.with_name("was"))
    parent.symlink_to("was")


RACES: dict[str, Callable[[Path], object]] = {
    "a link to elsewhere": lambda parent: (parent / "root").symlink_to("/etc"),
    "a link that leads to nothing": lambda parent: (parent / "root").symlink_to("nowhere"),
    "a directory": lambda parent: (parent / "root").mkdir(),
    "a file": lambda parent: (parent / "root").touch(),
    "another directory above it": put_another_in_its_place,
    "a link above it": lead_elsewhere,
}


def test_what_is_as_it_was_is_taken(host: Host, plan: Plan) -> None:
    claim.require_as_seen(host, seen(host))
    claim.take(host, plan.first, plan.engine_id)
    assert oct(host.path(TARGET).stat().st_mode) == "0o40700"


@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_what_came_between_is_refused(host: Host, race: Callable[[Path], object]) -> None:
    was = seen(host)
    race(host.path(PARENT))
    with pytest.raises(PreflightError, match="not any more what it was"):
        claim.require_as_seen(host, was)


@pytest.mark.parametrize("content", [None, (), ("lost+found",)])
def test_a_target_that_is_still_empty_is_copied_to(host: Host, plan: Plan, content: tuple[str, ...] | None) -> None:
    if content is not None:
        host.path(TARGET).mkdir(parents=True)
    for name in content or ():
        (host.path(TARGET) / name).mkdir()
    claim.require_still_empty(host, plan.first, plan.engine_id)
    claim.take(host, plan.first, plan.engine_id)


def test_a_target_that_somebody_has_filled_meanwhile_is_refused(host: Host, plan: Plan) -> None:
    place = host.path(TARGET) / "theirs"
    place.mkdir(parents=True)
    with pytest.raises(PreflightError, match="not empty any more"):
        claim.require_still_empty(host, plan.first, plan.engine_id)
    with pytest.raises(CopyError, match="by somebody else"):
        claim.take(host, plan.first, plan.engine_id)
    assert place.exists()


def test_a_link_that_came_after_the_last_look_is_not_followed(host: Host, plan: Plan) -> None:
    other = host.path(PARENT) / "other"
    other.mkdir()
    other.chmod(0o755)
    host.path(TARGET).symlink_to("other")
    with pytest.raises(CopyError, match="by somebody else"):
        claim.take(host, plan.first, plan.engine_id)
    assert oct(other.stat().st_mode) == "0o40755"


@as_root
def test_a_directory_of_somebody_else_is_ours_before_anything_is_in_it(host: Host, plan: Plan) -> None:
    place = host.path(TARGET)
    place.mkdir()
    place.chmod(0o777)
    os.chown(place, 1000, 1000)
    found = claim.take(host, plan.first, plan.engine_id)
    info = place.stat()
    assert (info.st_uid, info.st_gid, oct(info.st_mode)) == (0, 0, "0o40700")
    assert found[:3] == (1000, 1000, 0o777)


@as_root
def test_a_record_that_somebody_else_has_written_makes_nothing_ours(host: Host, plan: Plan) -> None:
    place = host.path(TARGET)
    place.mkdir()
    Unfinished.begun(plan.first.source, plan.engine_id).write(place)
    claim.require_still_empty(host, plan.first, plan.engine_id)
    os.chown(place / NAME, 1000, 1000)
    with pytest.raises(PreflightError, match="not empty any more"):
        claim.require_still_empty(host, plan.first, plan.engine_id)


def test_the_copy_begins_with_taking_its_place(host: Host, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.path(TARGET) / "theirs").mkdir(parents=True)
    with pytest.raises(CopyError, match="by somebody else"):
        run.pre_copy(host, Run(host.path("/run/it")), plan, plan.first)
    assert [place.name for place in host.path(TARGET).iterdir()] == ["theirs"]
